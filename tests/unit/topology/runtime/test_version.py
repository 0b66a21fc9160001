"""Which build answers."""

import re
from importlib.metadata import PackageNotFoundError

import pytest

from tests.support.shell.command import Run
from topology.runtime import version


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_one_line_with_all_that_a_report_needs(run: Run, flag: str) -> None:
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    assert re.fullmatch(
        r"modpulse \d+\.\d+\.\d+ \(with(out)? the compiled part; Python 3\.\d+\.\d+; aiokafka .+, numpy .+\)\n", out
    )


def test_a_tree_that_is_not_installed_has_no_version_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(version, "version", absent)
    assert version.own_version() == "0+unknown"
