"""`make test-servers` finds what it needs, fetches it where apt is, and says what to install where not."""

import os
from pathlib import Path

import pytest

from tests.servers import programs

# Each writes its arguments down; the package is a file that `dpkg -x` turns into a program.
APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$CALLS"
case "$1" in
  download) [ -n "$NO_LISTS" ] && ! grep -q update "$CALLS" && exit 100; echo > prometheus.deb ;;
  install) printf '#!/bin/sh\nexit 0\n' > "$BIN/promtool"; chmod +x "$BIN/promtool" ;;
esac
"""
DPKG = """#!/bin/sh
echo "dpkg $1" >> "$CALLS"
mkdir -p "$3/usr/bin"
printf '#!/bin/sh\nexit %s\n' "${BROKEN:-0}" > "$3/usr/bin/promtool"
chmod +x "$3/usr/bin/promtool"
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has apt, a shell and nothing else; answers its directory of programs."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name, script in {"apt-get": APT_GET, "dpkg": DPKG}.items():
        (binaries / name).write_text(script)
        (binaries / name).chmod(0o755)
    for name in ("sh", "grep", "mkdir", "chmod"):
        (binaries / name).symlink_to(f"/bin/{name}")
    (tmp_path / "calls").touch()
    monkeypatch.setenv("PATH", str(binaries))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("BIN", str(binaries))
    monkeypatch.setattr(programs, "SERVERS", tmp_path / "servers")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return binaries


def calls(machine: Path) -> list[str]:
    return (machine.parent / "calls").read_text().splitlines()


def test_a_package_is_unpacked_beside_the_checkout_without_root(machine: Path) -> None:
    assert programs.fetch("promtool") == programs.SERVERS / "usr" / "bin" / "promtool"
    assert calls(machine) == ["apt-get download -q prometheus", "dpkg -x"]
    assert programs.fetch("promtool") == programs.SERVERS / "usr" / "bin" / "promtool"
    assert len(calls(machine)) == 2, "the second time it is there"


def test_what_is_on_the_path_is_taken(machine: Path) -> None:
    (machine / "promtool").write_text("#!/bin/sh\n")
    (machine / "promtool").chmod(0o755)
    assert programs.fetch("promtool") == machine / "promtool"
    assert calls(machine) == []


def test_root_without_lists_of_packages_gets_them(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_LISTS", "1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert programs.fetch("promtool") == programs.SERVERS / "usr" / "bin" / "promtool"
    assert calls(machine)[1] == "apt-get update -q"


def test_root_installs_where_the_unpacked_program_does_not_run(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", "127")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert programs.fetch("promtool") == machine / "promtool"
    assert calls(machine)[-1] == "apt-get install -y -q --no-install-recommends prometheus"


@pytest.mark.parametrize("missing", ["apt-get", "dpkg", "lists"])
def test_where_nothing_can_be_fetched_the_error_says_what_to_install(
    missing: str, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "lists":
        monkeypatch.setenv("NO_LISTS", "1")
    else:
        (machine / missing).unlink()
    with pytest.raises(programs.MissingProgram, match=r"`apt-get install prometheus`.*https://prometheus\.io/download"):
        programs.fetch("promtool")
