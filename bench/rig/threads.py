"""What the threads of a process have used and waited for, to the nanosecond, from the scheduler's books in /proc."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Nanoseconds of all living threads on a processor and in line for one, and of the main thread in line."""

    cpu_ns: int
    waited_ns: int
    main_waited_ns: int

    def since(self, before: "Scheduled") -> "Scheduled":
        """What came after an earlier look."""
        return Scheduled(
            self.cpu_ns - before.cpu_ns,
            self.waited_ns - before.waited_ns,
            self.main_waited_ns - before.main_waited_ns,
        )


def scheduled(pid: int) -> Scheduled:
    """Look at a process now.

    Raises:
        OSError: it is gone.
    """
    cpu_ns = waited_ns = main_waited_ns = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            run, waited, _ = map(int, (thread / "schedstat").read_text(encoding="ascii").split())
        except FileNotFoundError:  # a thread that ended meanwhile
            continue
        cpu_ns += run
        waited_ns += waited
        if thread.name == str(pid):
            main_waited_ns = waited
    return Scheduled(cpu_ns, waited_ns, main_waited_ns)
