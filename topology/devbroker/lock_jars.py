"""Writes the lock beside a pom anew, with Maven: `python -m topology.devbroker.lock_jars POM...`; `make lock` calls it."""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from topology.devbroker.jars import lock_of

_LIST = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:list"
_LINE = re.compile(r"^\s+([\w.-]+):([\w.-]+):jar:([\w.-]+):\w+:(\S+\.jar)", re.MULTILINE)


def lock(pom: Path) -> str:
    """The text of a lock: each jar that Maven finds for a pom, sorted, with its SHA-256."""
    with tempfile.TemporaryDirectory() as directory:
        said = Path(directory) / "list.txt"
        command = ["mvn", "-q", "-B", "-f", str(pom), _LIST, f"-DoutputFile={said}"]
        subprocess.run([*command, "-DoutputAbsoluteArtifactFilename=true"], check=True)
        found = _LINE.findall(said.read_text("utf-8"))
    digests = {
        f"{group}:{artifact}:{version}": hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for group, artifact, version, file in found
    }
    lines = [f"{coordinate} {digest}\n" for coordinate, digest in sorted(digests.items())]
    return "# Made by `make lock`; the jars that come of the pom beside it, with their SHA-256.\n" + "".join(lines)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        lock_of(Path(argument)).write_text(lock(Path(argument)), "utf-8")
