"""What the supervisor answers, from what its workers answered: one page of metrics, one verdict on readiness, one on life."""

from collections.abc import Mapping

_COMMENTS = ("# HELP ", "# TYPE ")


def merged_metrics(pages: Mapping[int, str]) -> str:
    """The pages of all workers as one, each family once, each sample with the label `worker`.

    Nothing is added up: a server that scrapes this can, and a worker that starts again then is a reset of its own series and
    of no other.

    Args:
        pages: Prometheus' text format (0.0.4) by worker; metric names are not quoted in it.
    """
    comments: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, page in pages.items():
        family = ""
        said: dict[str, list[str]] = {}
        for line in page.splitlines():
            if line.startswith(_COMMENTS):
                family = line.split(" ", 3)[2]
                said.setdefault(family, []).append(line)
            elif line and not line.startswith("#"):
                samples.setdefault(family, []).append(_with_worker(line, worker))
        for name, lines in said.items():
            comments.setdefault(name, lines)
    lines = [line for name, head in comments.items() for line in (*head, *samples.get(name, ()))]
    return "".join(f"{line}\n" for line in lines)


def _with_worker(sample: str, worker: int) -> str:
    """A sample with one more label, the first. A name holds neither a brace nor a space."""
    brace, space = sample.find("{"), sample.find(" ")
    if brace < 0 or space < brace:
        return f'{sample[:space]}{{worker="{worker}"}}{sample[space:]}'
    comma = "" if sample[brace + 1] == "}" else ","
    return f'{sample[: brace + 1]}worker="{worker}"{comma}{sample[brace + 1 :]}'


def readiness(said: Mapping[int, tuple[bool, str]]) -> tuple[bool, str]:
    """Whether every worker is ready, and a line or more for each.

    Args:
        said: by worker, whether it is ready and what it said, perhaps in several lines.
    """
    lines = [f"worker {worker}: {line}" for worker, (_, text) in sorted(said.items()) for line in text.splitlines()]
    return all(ready for ready, _ in said.values()), "".join(f"{line}\n" for line in lines)
