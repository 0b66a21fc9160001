"""The group's client: how it stands, how long it may wait, how it leaves."""

import asyncio
import contextlib
from collections import deque
from types import SimpleNamespace
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import GroupAuthorizationFailedError, RequestTimedOutError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest

from schemas.errors import TaskFenced
from topology.consumer.coordinator import (
    FENCED_INSTANCE_ID,
    JOIN_MARGIN_S,
    LEAST_LOSSES,
    UNKNOWN_MEMBER_ID,
    WatchedCoordinator,
)

REBALANCE_S = 45.0
REQUEST_S = 30.0


class FakeClient:
    """A connection to one broker; `answers` decides what each request gets."""

    def __init__(self) -> None:
        self.connection = SimpleNamespace(_request_timeout=REQUEST_S)
        self.sent: list[tuple[type[Any], Any, float]] = []
        self.joining = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.fails = False
        self.error_code = 0

    async def _get_conn(self, node_id: int, *, group: Any) -> Any:
        return self.connection

    async def send(self, node_id: int, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        self.sent.append((type(request), group, self.connection._request_timeout))
        if isinstance(request, JoinGroupRequest):
            self.joining.set()
            await self.may_answer.wait()
        if isinstance(request, LeaveGroupRequest):
            self.may_answer.set()
        if self.fails:
            raise RequestTimedOutError
        return SimpleNamespace(error_code=self.error_code)


def coordinator_of(client: FakeClient) -> Any:
    coordinator: Any = WatchedCoordinator.__new__(WatchedCoordinator)
    coordinator._heard = None
    coordinator._waiting_for_others = False
    coordinator._fenced = None
    coordinator._losses = deque(maxlen=LEAST_LOSSES)
    coordinator._client = client
    coordinator.coordinator_id = 1
    coordinator.group_id = "g"
    coordinator.member_id = "m-1"
    coordinator.generation = -1
    coordinator._group_instance_id = None
    coordinator._rebalance_timeout_ms = REBALANCE_S * 1000
    coordinator._pending_exception = None
    coordinator._coordination_task = asyncio.get_running_loop().create_future()  # the loop that never ends
    coordinator._closing = asyncio.get_running_loop().create_future()
    coordinator._coordinator_dead_fut = asyncio.get_running_loop().create_future()
    coordinator._heartbeat_task = coordinator._commit_refresh_task = None
    coordinator._rejoin_needed_fut = asyncio.get_running_loop().create_future()
    return coordinator


def join() -> JoinGroupRequest:
    return JoinGroupRequest("g", 45_000, 45_000, "m-1", None, "consumer", [])


def test_a_request_that_waits_for_other_members_gets_the_time_they_may_take() -> None:
    async def scenario() -> None:
        client = FakeClient()
        coordinator = coordinator_of(client)
        client.may_answer.set()
        await coordinator._send_req(join())
        await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        assert [(kind, timeout) for kind, _, timeout in client.sent] == [
            (JoinGroupRequest, REBALANCE_S + JOIN_MARGIN_S),
            (HeartbeatRequest, REQUEST_S),
        ]

    asyncio.run(scenario())


def test_health_tells_when_the_group_was_last_heard_and_what_it_refuses() -> None:
    async def scenario() -> None:
        client = FakeClient()
        coordinator = coordinator_of(client)
        assert (coordinator.health().joined, coordinator.health().heard_s) == (False, None)
        await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        heard_s = coordinator.health().heard_s
        assert heard_s is not None
        assert heard_s < 60
        client.fails = True
        before = coordinator._heard
        with contextlib.suppress(RequestTimedOutError):
            await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        assert coordinator._heard == before, "a request without an answer is none"
        coordinator._pending_exception = GroupAuthorizationFailedError("g")
        assert isinstance(coordinator.health().error, GroupAuthorizationFailedError)

    asyncio.run(scenario())


def test_a_member_whose_place_went_to_another_of_its_name_is_fenced() -> None:
    async def scenario() -> None:
        client = FakeClient()
        coordinator = coordinator_of(client)
        client.may_answer.set()
        coordinator._group_instance_id = "host-1"
        await coordinator._send_req(join())
        assert coordinator.health().error is None
        client.error_code = FENCED_INSTANCE_ID
        await coordinator._send_req(join())
        assert isinstance(coordinator.health().error, TaskFenced)

    asyncio.run(scenario())


def test_two_idle_workers_of_one_name_are_told_by_how_often_they_lose_their_place() -> None:
    async def scenario() -> None:
        client = FakeClient()
        coordinator = coordinator_of(client)
        client.error_code = UNKNOWN_MEMBER_ID
        for _ in range(2 * LEAST_LOSSES):
            await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        assert coordinator.health().error is None, "without a name nobody takes its place"
        coordinator._group_instance_id = "host-1"
        for _ in range(LEAST_LOSSES - 1):
            await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        assert coordinator.health().error is None, "a session may time out now and then"
        await coordinator._send_req(HeartbeatRequest("g", 1, "m-1"))
        assert "kafka.group_instance_id = host-1" in str(coordinator.health().error)

    asyncio.run(scenario())


def test_a_member_that_is_closed_while_it_joins_asks_to_leave_on_another_connection() -> None:
    async def scenario() -> None:
        client = FakeClient()
        coordinator = coordinator_of(client)

        async def loop() -> None:
            await coordinator._send_req(join())
            assert coordinator._closing.done(), "it must not join again"

        coordinator._coordination_task = asyncio.ensure_future(loop())
        await client.joining.wait()
        await asyncio.wait_for(coordinator.close(), 5)
        assert [(kind, group) for kind, group, _ in client.sent] == [
            (JoinGroupRequest, ConnectionGroup.COORDINATION),
            (LeaveGroupRequest, ConnectionGroup.DEFAULT),
        ]

    asyncio.run(scenario())
