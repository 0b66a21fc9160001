"""The consumer group's client, watched: when it last heard from the group, what it could not say, and how it leaves.

aiokafka 0.14 keeps a fatal error of the group until somebody fetches, times JoinGroup out before the group may answer, and leaves
the group only once it has joined. `WatchedCoordinator` mends these three; everything that touches aiokafka's coordinator is here.
"""

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from schemas.errors import ConfigError, ModpulseError, TaskFenced

# A group answers JoinGroup when all members have joined or the rebalance timeout is over; the Java client grants it so much more.
JOIN_MARGIN_S = 5.0
LEAVE_TIMEOUT_S = 3.0
# Kafka's codes. aiokafka 0.14 does not know the second one and reports it as an unknown error.
UNKNOWN_MEMBER_ID = 25
FENCED_INSTANCE_ID = 82
# A static member loses its place after a session timeout of silence, or to another member of the same name. Two members of one
# name take the place from each other several times a second. Each draws a limit; the one with the lower limit ends.
LEAST_LOSSES, MOST_LOSSES = 5, 15
LOSSES_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class GroupHealth:
    """How a member stands with its group.

    Attributes:
        joined: whether it has a generation.
        heard_s: seconds since the group last answered; None before the first answer.
        error: what the group refuses for good, or why the client's own loop ended.
    """

    joined: bool
    heard_s: float | None
    error: BaseException | None


class WatchedCoordinator(GroupCoordinator):  # type: ignore[misc]
    """aiokafka's coordinator of one group member, with its health."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._heard: float | None = None
        self._waiting_for_others = False
        self._fenced: ModpulseError | None = None
        self._losses: deque[float] = deque(maxlen=random.randint(LEAST_LOSSES, MOST_LOSSES))  # noqa: S311 - no secret
        super().__init__(*args, **kwargs)

    def health(self) -> GroupHealth:
        """How the member stands; may be asked from any thread."""
        error = self._fenced or self._pending_exception
        if error is None and self._coordination_task.done() and not self._closing.done():
            error = self._coordination_task.exception() or RuntimeError("the group's loop has ended")
        heard = self._heard
        return GroupHealth(self.generation > 0, None if heard is None else time.monotonic() - heard, error)

    async def _send_req(self, request: Any) -> Any:
        if isinstance(request, JoinGroupRequest | SyncGroupRequest):
            response = await self._send_patiently(request)
        else:
            response = await super()._send_req(request)
        self._heard = time.monotonic()
        if self._group_instance_id is not None:
            self._note_loss(isinstance(request, HeartbeatRequest), getattr(response, "error_code", 0))
        return response

    def _note_loss(self, is_heartbeat: bool, code: int) -> None:
        """See whether another worker of the same name takes this one's place."""
        if code == FENCED_INSTANCE_ID:
            self._fenced = TaskFenced(f"the group {self.group_id} gave this worker's place to another of the same name")
        if not is_heartbeat or code != UNKNOWN_MEMBER_ID:
            return
        now = time.monotonic()
        self._losses.append(now)
        if len(self._losses) == self._losses.maxlen and now - self._losses[0] < LOSSES_WITHIN_S:
            self._fenced = ConfigError(
                f"another worker uses kafka.group_instance_id = {self._group_instance_id} too (it took this one's place"
                f" {len(self._losses)} times within {LOSSES_WITHIN_S:g} s); give each worker a name of its own"
            )

    async def _send_patiently(self, request: Any) -> Any:
        """Send a request that is answered when other members have done their part, and grant it the time they may take."""
        self._waiting_for_others = True
        connection = await self._client._get_conn(self.coordinator_id, group=ConnectionGroup.COORDINATION)
        usual_s = None if connection is None else connection._request_timeout
        try:
            if connection is not None:
                connection._request_timeout = max(usual_s, self._rebalance_timeout_ms / 1000 + JOIN_MARGIN_S)
            return await super()._send_req(request)
        finally:
            self._waiting_for_others = False
            if connection is not None:
                connection._request_timeout = usual_s

    async def close(self) -> None:
        """Leave the group, also in the middle of joining it: else the group would give partitions to a member that is gone."""
        leaving: asyncio.Task[None] | None = None
        if not self._closing.done() and self._waiting_for_others and self._group_instance_id is None and self.member_id:
            # The request to leave ends the wait for others: the broker answers the request to join with an error. `super` sets
            # the client to closing before this task runs, so the client does not join again.
            leaving = asyncio.get_running_loop().create_task(self._leave())
        await super().close()
        if leaving is not None:
            await leaving

    async def _leave(self) -> None:
        node, request = self.coordinator_id, LeaveGroupRequest(self.group_id, self.member_id)
        if node is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                # The broker answers the requests of one connection in order, so this one must not stand behind JoinGroup.
                await self._client.send(node, request, group=ConnectionGroup.DEFAULT)
        except (KafkaError, OSError, TimeoutError):
            return
