"""What is said where the compiled part is absent, switched off or required."""

import pytest

from pipeline.native import Native
from schemas.errors import ConfigError
from topology.monitor import doctor
from topology.runtime import native_build
from topology.runtime.native_build import check_native
from topology.settings import Settings


@pytest.fixture(params=[True, False], ids=["built", "absent"])
def built(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    there = bool(request.param)
    for module in (native_build, doctor):
        monkeypatch.setattr(module, "load_native", lambda: Native.__new__(Native) if there else None)
    return there


def test_auto_takes_what_is_there(built: bool) -> None:
    assert check_native(Settings()) is built
    assert doctor._native(Settings()).status == ("ok" if built else "warn")


def test_off_is_off(built: bool) -> None:
    settings = Settings(native="off")
    assert check_native(settings) is False
    assert not settings.core().native
    assert doctor._native(settings).remedy == 'set native = "auto"'


def test_required_and_absent_names_the_remedy(built: bool) -> None:
    settings = Settings(native="require")
    if built:
        assert check_native(settings)
        assert doctor._native(settings).status == "ok"
        return
    with pytest.raises(ConfigError, match=r"native = \"require\".*install Rust \(cargo\) and run `make env`.*auto"):
        check_native(settings)
    assert doctor._native(settings).status == "fail"
