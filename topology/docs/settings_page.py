"""docs/configuration.md from the settings' model and the comments above its fields: name, default, reason.

`python -m topology.docs.settings_page` writes the page; tests/unit/project/test_docs.py fails where it is out of date. A field
without a comment of its own shares the one of the field before it, as a group of lines does for a reader of the source.
"""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args, get_origin

from pydantic import BaseModel

from topology.settings import Settings
from topology.settings.kafka import PROPERTIES
from topology.settings.names import CONFIG_VARIABLE, env_name
from topology.settings.show import show_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

_HEAD = f"""\
# Configuration

<!-- Made by `python -m topology.docs.settings_page` from topology/settings/; do not edit. -->

A setting is taken from the first of these that has it:

1. a flag: `modpulse --set windows.grace=5s run`
2. the environment: `MODPULSE_` + section + `__` + key
3. a TOML file: `--config FILE`, else the one `{CONFIG_VARIABLE}` names, else `modpulse.toml` in the working directory
4. the default

`modpulse config show --origin` says which one it was, `modpulse config check` checks them all without a broker. A name that is
no setting is an error that suggests the nearest one; all mistakes are reported at once. The worker reads its settings once,
at its start.

A `modpulse.toml` of the working directory that belongs to another user, or that others may write, is read with a warning. It is
refused where credentials come from elsewhere and the file says where they go ([why](adr/0032-planted-file.md)).

Kubernetes puts variables such as `MODPULSE_SERVICE_HOST` and `MODPULSE_METRICS_PORT_9464_TCP` into every pod of a namespace with
a Service called `modpulse` or `modpulse-metrics`. Names of these shapes are ignored, with one line in the log;
`enableServiceLinks: false` in the pod's spec leaves them out.

```toml
application_id = "shop"

[kafka]
"bootstrap.servers" = "kafka-1:9092,kafka-2:9092"

[windows]
grace = "30s"

[[health.overrides]]
glob = "batch-*"
min_requests = 50
p99 = {{ degraded = 30000, critical = 120000 }}
```

Durations are written `500ms`, `10s`, `5m`, `1h`, `1d` or as whole milliseconds; sizes `64KiB`, `32MiB`, `1GiB` or as whole
bytes; switches `true`, `yes`, `on`, `1` and their opposites. An empty default means unset.

The sections `serve` and `storage` and two of the topics (`metric_samples`, `metric_aggregates`) are checked
and reserved; no command of this version uses them, except that `modpulse topics create` makes the topics.
"""


def page() -> str:
    """The whole page."""
    written = {setting.name: _text(setting.value) for setting in show_settings(Settings())}
    parts = [_HEAD, "\n## At the top level\n\n", _table(Settings, "", written, sections=False)]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if _is_section(section):
            intro = inspect.getdoc(section) or ""
            parts.append(f"\n## `{name}`\n\n{intro}\n\n{_table(section, f'{name}.', written, sections=True)}")
            if name == "kafka":
                parts.append(_properties())
    return "".join(parts)


def _table(model: type[BaseModel], prefix: str, written: dict[str, str], *, sections: bool) -> str:
    rows = [
        f"| `{name}` | `{env_name(name)}` | {_code(written[name])} | {reason} |\n"
        for name, reason in _rows(model, prefix, sections=sections)
    ]
    return "| setting | environment | default | why |\n|---|---|---|---|\n" + "".join(rows)


def _rows(model: type[BaseModel], prefix: str, *, sections: bool) -> Iterator[tuple[str, str]]:
    reasons = _reasons(model)
    for field, info in model.model_fields.items():
        if not _is_section(info.annotation):
            yield prefix + field, " ".join(filter(None, (reasons.get(field, ""), _choices(info.annotation))))
        elif sections:
            # A signal of the health profile: one comment for its bounds and its weight.
            yield from ((f"{prefix}{field}.{key}", reasons.get(field, "")) for key in info.annotation.model_fields)


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _choices(annotation: Any) -> str:
    """`One of a, b.` where only certain texts are allowed."""
    options = [kind for kind in (annotation, *get_args(annotation)) if get_origin(kind) is Literal]
    return f"One of {', '.join(f'`{choice}`' for choice in get_args(options[0]))}." if options else ""


@cache
def _reasons(model: type[BaseModel]) -> dict[str, str]:
    """The comment above each field of a class."""
    source = inspect.getsource(model)
    lines = source.splitlines()
    found: dict[str, str] = {}
    reason = ""
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        reason = _comment_above(lines, node.lineno - 1) or reason
        found[node.target.id] = reason
    return found


def _comment_above(lines: list[str], line: int) -> str:
    first = line
    while lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.strip().removeprefix("#").strip() for text in lines[first:line])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(value: str) -> str:
    return f"`{value}`" if value else ""


def _properties() -> str:
    """The names the file takes beside ours."""
    names: dict[str, list[str]] = {}
    for written, field in PROPERTIES.items():
        names.setdefault(field, []).append(f"`{written}`")
    rows = "".join(f"| {', '.join(spellings)} | `kafka.{field}` |\n" for field, spellings in names.items())
    return (
        f"\nIn the file, `[kafka]` takes the names of librdkafka and Java:\n\n| property | setting |\n|---|---|\n{rows}"
    )


def main() -> None:
    """Write the page into the checkout."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
