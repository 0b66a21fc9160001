"""Downloads jars by their coordinates with `jgo`; a program of its own, for jgo's packages are not ours.

Run as `python download_jars.py DIRECTORY`, with a `group:artifact:version` in each line of its input. It prints the path of a jar
as soon as the jar is there.
"""

import sys
from pathlib import Path


def main() -> None:
    """Read coordinates, write paths."""
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=Path(sys.argv[1]))
    for line in sys.stdin:
        group, artifact, version = line.strip().split(":")
        print(context.project(group, artifact).at_version(version).artifact().resolve(), flush=True)


if __name__ == "__main__":
    main()
