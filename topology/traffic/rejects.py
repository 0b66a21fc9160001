"""Why records of a file were refused: each reason with how often, for people who sent the file."""

from collections import Counter

from pipeline.outputs import Outbox

# A file of nothing but bad lines must not fill memory with messages, nor the screen.
_MOST_KINDS = 1_000
_SHOWN = 5
_EXAMPLE_BYTES = 80


class Rejects:
    """Late and dead letters of a replay, by reason and message."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], bytes] = {}
        self._more = 0

    def note(self, outbox: Outbox) -> None:
        """Count what an outbox holds of them."""
        for letter in outbox.rejected:
            kind = letter.reason, letter.message
            if kind not in self._counts and len(self._counts) == _MOST_KINDS:
                self._more += 1
                continue
            self._counts[kind] += 1
            self._examples.setdefault(kind, (letter.value or b"")[:_EXAMPLE_BYTES])

    def answer(self) -> list[dict[str, object]]:
        """For `--json`: every kind, the most frequent first."""
        return [
            {"reason": reason, "message": message, "count": count, "example": self._example((reason, message))}
            for (reason, message), count in self._counts.most_common()
        ]

    def lines(self) -> list[str]:
        """For people: the most frequent kinds, and what may be the matter with the whole file."""
        said = [
            f"{count} {reason}: {message}, as in {self._example((reason, message))}"
            for (reason, message), count in self._counts.most_common(_SHOWN)
        ]
        rest = self._counts.total() - sum(count for _, count in self._counts.most_common(_SHOWN)) + self._more
        if rest:
            said.append(f"{rest} more for other reasons (--json lists them)")
        if any(example.startswith(b"[") for example in self._examples.values()):
            said.append("a JSON array is no JSON Lines file, one value a line; convert it, as in `jq -c '.[]'`")
        return said

    def _example(self, kind: tuple[str, str]) -> str:
        return self._examples[kind].decode("utf-8", "backslashreplace")
