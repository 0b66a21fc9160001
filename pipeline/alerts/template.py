"""Annotation texts with `{placeholders}` of record fields, such as `{module_id} fails {error_rate:.1%} of requests`.

Not `str.format`: a placeholder is a known field path looked up in a table, never an attribute walked on an object,
and a format is one of a few short forms, so no template can reach into objects or ask for a gigabyte of padding.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from operator import attrgetter
from string import Formatter

from pipeline.alerts.fields import FIELDS, Field, FieldValue, Record, Scope, Silent
from pipeline.alerts.syntax import unknown_field

MAX_TEMPLATE_CHARS = 4096
MAX_TEXT_CHARS = 4096
_SPEC = re.compile(r"[0-9]{0,2}(?:,)?(?:\.[0-9]{1,2})?[fge%]?", re.ASCII)
_RULE_NUMBERS = ("value", "threshold")
_SILENT_SINCE = "silent_since"
_OWN = (*_RULE_NUMBERS, _SILENT_SINCE)
# What Prometheus' and Alertmanager's templates look like: `{{ $value }}`, `{{ $labels.module_id }}`, `{{ .Value | humanize }}`.
_DOUBLE = re.compile(r"\{\{-?\s*(?P<inner>[^{}]*?)\s*-?\}\}")
_FOREIGN = re.compile(r"[$.]?(?:labels|value|externalLabels)\b\.?(?P<label>\w*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Part:
    """Literal text, then what stands in the place after it; `path` is empty after the last literal."""

    literal: str
    path: str
    spec: str


class Template:
    """A parsed annotation."""

    __slots__ = ("_parts", "_reads")

    def __init__(self, text: str, scope: Scope, has_threshold: bool) -> None:
        """Parses the text.

        Raises:
            ValueError: an unknown placeholder, a format that is not allowed, unbalanced braces, or too long a text.
        """
        if len(text) > MAX_TEMPLATE_CHARS:
            raise ValueError(f"longer than {MAX_TEMPLATE_CHARS} characters")
        self._parts = tuple(_parse(text, FIELDS[scope], has_threshold))
        self._reads: dict[str, attrgetter[FieldValue]] = {
            part.path: attrgetter(part.path) for part in self._parts if part.path in FIELDS[scope]
        }

    def render(self, record: Record | Silent, value: float | None, threshold: float | None) -> str:
        """The text for one record, or for the silence of a module, cut to `MAX_TEXT_CHARS`. Never fails."""
        out: list[str] = []
        for part in self._parts:
            out.append(part.literal)
            if part.path:
                out.append(_shown(self._got(part.path, record, value, threshold), part.spec))
        return "".join(out)[:MAX_TEXT_CHARS]

    def _got(self, path: str, record: Record | Silent, value: float | None, threshold: float | None) -> FieldValue:
        """What stands in the place of a placeholder; of a silent module its name and its window are known, and since when."""
        if path in _RULE_NUMBERS:
            return value if path == "value" else threshold
        if isinstance(record, Silent):
            got: FieldValue = getattr(record, path, None)
            return got
        return self._reads[path](record) if path in self._reads else None


def foreign_placeholder(text: str, known: Collection[str]) -> str | None:
    """What is wrong with a placeholder in the spelling of Prometheus, with the one to write; None where there is none.

    Args:
        text: of an annotation or a label.
        known: the placeholders there are.
    """
    for match in _DOUBLE.finditer(text):
        inner = match["inner"]
        foreign = _FOREIGN.search(inner)
        if foreign is not None and (inner[:1] in "$." or "$" in inner):
            ours = foreign["label"] or "value"
        elif "$" in inner or inner[:1] == ".":
            ours = "value"
        else:
            continue
        wanted = (
            f"write {{{ours}}}" if ours in known else "write a field in single braces, such as {module_id} or {value}"
        )
        return f"{match.group()[:60]} is Prometheus' spelling and would reach people as it stands; {wanted}"
    return None


def _parse(text: str, fields: Mapping[str, Field], has_threshold: bool) -> list[_Part]:
    parts: list[_Part] = []
    foreign = foreign_placeholder(text, {*fields, *_OWN})
    if foreign is not None:
        raise ValueError(foreign)
    for literal, path, spec, conversion in Formatter().parse(text):
        if path is None:
            parts.append(_Part(literal, "", ""))
            continue
        if path == "threshold" and not has_threshold:
            raise ValueError("placeholder {threshold}, but the rule has no threshold")
        if path[:1] == "$":
            raise ValueError(f"placeholder {{{path[:60]}}} is Prometheus' spelling; write {{module_id}} or {{value}}")
        if path not in fields and path not in _OWN:
            raise ValueError(f"placeholder {{{path[:60]}}}: {unknown_field(path[:60], fields)}")
        if conversion:
            raise ValueError(f"placeholder {{{path}!{conversion}}}: conversions are not allowed")
        numeric = path in _RULE_NUMBERS or (path in fields and fields[path].kind == "number")
        if spec and not (numeric and _SPEC.fullmatch(spec)):
            known = "one like .2f, .1% or ," if numeric else "none, for it is not a number"
            raise ValueError(f"placeholder {{{path}}}: format {spec[:40]!r} is not allowed; {known}")
        parts.append(_Part(literal, path, spec or ""))
    return parts


def _shown(value: FieldValue, spec: str) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(value)
    if isinstance(value, int) and not ("." in spec or spec[-1:] in tuple("fge%")):
        return format(value, spec)
    return format(float(value), spec or ".6g")
