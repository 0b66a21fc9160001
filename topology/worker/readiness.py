"""Whether a worker is ready: it has its share, hears from the broker and from its group, and writes what it owes."""

from topology.consumer.coordinator import GroupHealth
from topology.worker.assignment import Assignment

# Readiness must be gone within 10 s of a loss; a heartbeat of the group and a look at the log's end come every 5 s at least.
UNHEARD_S = 8.0
# A flush takes some tens of milliseconds; one that is due or under way for so long cannot be written.
OVERDUE_S = 8.0


def not_ready(assignment: Assignment, group: GroupHealth, unheard_s: float) -> str | None:
    """Why the worker is not ready; None when it is.

    Args:
        assignment: its tasks.
        group: how it stands with its group.
        unheard_s: seconds since the broker last answered any question.
    """
    if group.error is not None:
        return f"the group refuses this worker: {group.error!r}"
    if unheard_s > UNHEARD_S:
        return f"the broker has not answered for {unheard_s:.0f} s"
    if not assignment.joined or not group.joined:
        return "waiting for the broker or the group"
    if assignment.opening:
        return "restoring"
    if assignment.parked and not assignment.tasks:
        return "\n".join(("every task stands still", *assignment.parked.lines()))
    for name, task in sorted(assignment.tasks.items()):
        if task.overdue_s > OVERDUE_S:
            return f"task {name} could not write for {task.overdue_s:.0f} s"
    return None
