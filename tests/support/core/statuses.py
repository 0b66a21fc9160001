"""What a run says on `health-status`."""

import json

from tests.support.core.cores import Run

Status = tuple[str, object, object, object]


def told(run: Run) -> dict[str, list[Status]]:
    """The statuses of each module in their order, without the wall clock; a tombstone is `gone`."""
    out: dict[str, list[Status]] = {}
    for emitted in run.emitted:
        if emitted.role == "health_status":
            record = json.loads(emitted.value) if emitted.value else {"status": "gone"}
            assert emitted.value == b"" or (record["name"], record["kind"]) == (emitted.key.decode(), "module")
            entry = (record["status"], record.get("since"), record.get("score"), record.get("reasons"))
            out.setdefault(emitted.key.decode(), []).append(entry)
    return out
