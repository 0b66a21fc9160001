"""What the commands share: the global options, the settings made from them, and how answers are printed.

Answers go to standard output, everything else to standard error. `--json` answers are one JSON document.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from schemas.errors import ConfigError

if TYPE_CHECKING:
    from topology.settings import Settings

JsonFlag = Annotated[bool, typer.Option("--json", help="Answer with one JSON document.")]


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The options before the command's name.

    Attributes:
        config: the configuration file that was asked for.
        overrides: settings given as flags, by dotted name; None where the flag was not given.
    """

    config: Path | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)


def settings_of(ctx: typer.Context, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings of this process, its logs set up accordingly.

    Args:
        ctx: the command's context.
        overrides: the command's own flags by dotted setting name; None as a value means not given.

    Raises:
        ConfigError: a setting is wrong.
    """
    import structlog

    from topology.runtime.logs import setup_logs
    from topology.settings import load_settings

    root = ctx.find_root().obj
    options = root if isinstance(root, GlobalOptions) else GlobalOptions()
    settings = load_settings(options.config, {**options.overrides, **(overrides or {})})
    setup_logs(settings.log)
    log = structlog.get_logger("settings")
    if settings.remarks.ignored_variables:
        log.info(
            "ignored: variables that Kubernetes makes for Services of this namespace",
            variables=settings.remarks.ignored_variables,
            remedy="`enableServiceLinks: false` in the pod's spec leaves them out",
        )
    for warning in settings.remarks.warnings:
        log.warning(warning)
    return settings


def parse_assignments(assignments: Iterable[str]) -> dict[str, object]:
    """`windows.grace=5s` as {"windows.grace": "5s"}.

    Raises:
        ConfigError: an assignment has no `=`.
    """
    parsed: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: no value; write --set {assignment}=VALUE")
        parsed[name.strip()] = value
    return parsed


def print_json(answer: Any) -> None:
    """One JSON document on standard output."""
    import orjson

    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_table(rows: Iterable[tuple[str, ...]]) -> None:
    """Rows in aligned columns on standard output, the last column unpadded; control characters made visible."""
    from topology.runtime.logs import safe_text

    safe = [tuple(safe_text(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)][:-1]
    for row in safe:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[-1]]).rstrip() + "\n")
