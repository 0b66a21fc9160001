"""Planted bugs: a comparison that was never seen red proves nothing."""

import inspect
import textwrap
from typing import Any

import pytest

from pipeline import module_core
from pipeline.module_core import ModuleCore


def plant(patch: pytest.MonkeyPatch, method: str, right: str, wrong: str) -> None:
    """Put a method in place that differs from the core's in one expression, until the patch is undone."""
    source = textwrap.dedent(inspect.getsource(getattr(ModuleCore, method)))
    assert source.count(right) == 1, f"ModuleCore.{method} no longer says `{right}`: plant the bug anew"
    made: dict[str, Any] = {}
    exec(source.replace(right, wrong), vars(module_core), made)
    patch.setattr(ModuleCore, method, made[method])
