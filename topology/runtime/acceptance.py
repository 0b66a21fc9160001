"""What an operator accepts for once at a start: lost state, an input that was made anew; for which tasks."""

from dataclasses import dataclass

from schemas.errors import ConfigError

ALL = "all"
OPTIONS = ("--accept-state-loss", "--accept-input-reset")


@dataclass(frozen=True, slots=True)
class Tasks:
    """Some tasks by name: partition numbers, and `system`; or every one.

    Attributes:
        names: None stands for every task.
    """

    names: frozenset[str] | None = frozenset()

    def __contains__(self, task: str) -> bool:
        return self.names is None or task in self.names


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Per task: may it go on with empty windows where its state is lost, and from another offset where its input was reset?"""

    state_loss: Tasks = Tasks()
    input_reset: Tasks = Tasks()

    def require_tasks(self, partitions: int) -> None:
        """Refuse names of tasks that cannot exist: in an emergency a typo must not pass for consent.

        Raises:
            ConfigError: a partition is named that the input does not have.
        """
        for option, tasks in zip(OPTIONS, (self.state_loss, self.input_reset), strict=True):
            for name in sorted(tasks.names or ()):
                if name.isdecimal() and int(name) >= partitions:
                    raise ConfigError(f"{option} names task {name}, and the input has partitions 0 to {partitions - 1}")

    def of_those_named(self) -> "Acceptance":
        """The same without what was accepted for every task."""
        kept = (tasks if tasks.names is not None else Tasks() for tasks in (self.state_loss, self.input_reset))
        return Acceptance(*kept)


def parse_tasks(option: str, text: str | None) -> Tasks:
    """The tasks of an option such as `3,system`, or `all`; None gives no task.

    Raises:
        ConfigError: it names no task.
    """
    if text is None:
        return Tasks()
    names = [name.strip() for name in text.split(",")]
    if names == [ALL]:
        return Tasks(None)
    for name in names:
        if name != "system" and not (name.isascii() and name.isdecimal() and str(int(name)) == name):
            raise ConfigError(
                f"{option} {text}: {name!r} is no task; name partitions, `system`, or `all`, such as 3,system"
            )
    return Tasks(frozenset(names))


def without_acceptance(arguments: list[str]) -> list[str]:
    """A command line without these options: what was accepted once is not accepted for every later loss."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in OPTIONS:
            skip = True
        elif not argument.startswith(tuple(f"{option}=" for option in OPTIONS)):
            kept.append(argument)
    return kept
