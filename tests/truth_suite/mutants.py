"""Planted bugs: a comparison that was never seen red proves nothing."""

import inspect
import textwrap
from typing import Any

import pytest


def plant(patch: pytest.MonkeyPatch, owner: Any, name: str, right: str, wrong: str) -> None:
    """Put a function in place that differs from the core's in one expression, until the patch is undone.

    Args:
        patch: undoes it.
        owner: the class or module that the function is looked up in.
        name: of the function.
        right: what it says.
        wrong: what it says instead.
    """
    function = getattr(owner, name)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{name} no longer says `{right}`: plant the bug anew"
    made: dict[str, Any] = {}
    exec(source.replace(right, wrong), function.__globals__, made)
    patch.setattr(owner, name, made[name])
