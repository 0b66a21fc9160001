"""The checks of one rule's TOML table. Each notes what is wrong and goes on, so that one run shows every mistake."""

import math
import re
from collections.abc import Sequence

from pipeline.alerts.durations import parse_duration_ms
from pipeline.alerts.expression import Expression, compared_field
from pipeline.alerts.fields import EXAMPLES, FIELDS, Scope
from pipeline.alerts.never import refuse_never_true
from pipeline.alerts.syntax import NEVER, ExpressionError, conditions
from pipeline.alerts.template import Template, foreign_placeholder
from pipeline.alerts.toml_lines import RuleLines

MAX_LABELS = 32
MAX_LABEL_CHARS = 256
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,63}", re.ASCII)
_OWN_LABELS = frozenset({"alertname", "module_id", "severity"})


class Table:
    """One `[[rule]]` table, with typed readers that note problems instead of raising.

    Attributes:
        problems: (line, reason) in the order found.
    """

    def __init__(self, content: dict[str, object], lines: RuleLines) -> None:
        self._content = content
        self.lines = lines
        self.problems: list[tuple[int, str]] = []

    def refuse(self, key: str, reason: str) -> None:
        """Notes a problem at the line of the key, of the inline table it is in, or of the rule."""
        lines = self.lines.keys
        self.problems.append((lines.get(key) or lines.get(key.partition(".")[0], self.lines.header), reason))

    def unknown_keys(self, known: Sequence[str]) -> list[str]:
        """The keys that are not known, in file order."""
        return [key for key in self._content if key not in known]

    def has(self, key: str) -> bool:
        """Whether the key is given."""
        return key in self._content

    def text(self, key: str, default: str | None) -> str:
        """A text; None as default makes it required."""
        value = self._content.get(key, default)
        if isinstance(value, str) and (value.strip() or default is not None):
            return value
        self.refuse(key, f"{key} is missing" if value is None else f"{key} must be a text that is not empty")
        return ""

    def choice(self, key: str, allowed: Sequence[str], default: str | None) -> str:
        """One of some texts."""
        value = self.text(key, default)
        if value and value not in allowed:
            self.refuse(key, f"{key} is {value!r}; it must be one of {', '.join(allowed)}")
        return value

    def number(self, key: str) -> float | None:
        """A finite number, or None where it is missing."""
        value = self._content.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
            return float(value)
        self.refuse(key, f"{key} must be a finite number")
        return math.nan  # a number all the same, so that nothing else complains that there is none

    def duration_ms(self, key: str) -> int:
        """A duration, 0 where it is missing."""
        try:
            return parse_duration_ms(self.text(key, "0s"))
        except ValueError as error:
            self.refuse(key, f"{key}: {error}")
            return 0

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts."""
        value = self._content.get(key, {})
        if not isinstance(value, dict):
            self.refuse(key, f"{key} must be a table of texts")
            return {}
        if len(value) > MAX_LABELS:
            self.refuse(key, f"{len(value)} {key}; at most {MAX_LABELS} are allowed")
        for name, content in value.items():
            if not isinstance(content, str):
                self.refuse(f"{key}.{name}", f"{key}.{name} must be a text")
            if not _LABEL_NAME.fullmatch(name):
                self.refuse(f"{key}.{name}", f"{name!r} is no label name (letters, digits, _; not beginning with __)")
        return {name: content for name, content in value.items() if isinstance(content, str)}


def check_labels(table: Table, labels: dict[str, str]) -> None:
    """Labels must not shadow the ones every alert carries, and must be short."""
    for name, value in labels.items():
        if name in _OWN_LABELS:
            table.refuse(f"labels.{name}", f"label {name!r} is set by modpulse itself")
        foreign = foreign_placeholder(value, ())
        if foreign is not None:
            table.refuse(
                f"labels.{name}",
                f"label {name!r} is a fixed text, and {{{{ }}}} is not filled in; put it into an annotation",
            )
        if len(value) > MAX_LABEL_CHARS:
            table.refuse(f"labels.{name}", f"label {name!r} is longer than {MAX_LABEL_CHARS} characters")


def check_template(table: Table, key: str, template: str, scope: Scope, has_threshold: bool) -> None:
    """Every placeholder must be known."""
    try:
        Template(template, scope, has_threshold)
    except ValueError as error:
        table.refuse(f"annotations.{key}", f"annotation {key!r}: {error}")


def check_condition(table: Table, text: str, scope: Scope, threshold: float | None) -> str | None:
    """The condition must compile, and each of its parts must be true or false of an example record.

    Returns:
        The field whose number the alert shows unless the rule says otherwise.
    """
    try:
        whole = Expression(text, scope, threshold)
        for part in conditions(whole.tokens):
            _try(Expression(" ".join(token.text for token in part), scope, threshold), scope)
        _try(whole, scope)
        if text.strip() != NEVER:
            refuse_never_true(whole.tokens, FIELDS[scope], threshold)
    except ExpressionError as error:
        table.refuse("expression", f"expression: {error}")
        return None
    return compared_field(whole.tokens, FIELDS[scope])


def _try(expression: Expression, scope: Scope) -> None:
    """Evaluates on the example; an index or an overflow that depends on the record's values proves nothing."""
    try:
        expression.evaluate(EXAMPLES[scope])
    except ExpressionError as error:
        if not isinstance(error.__cause__, IndexError | ArithmeticError):
            raise


def check_number(table: Table, text: str, scope: Scope, threshold: float | None) -> None:
    """The value must compile and be a number of an example record."""
    try:
        Expression(text, scope, threshold).number(EXAMPLES[scope])
    except ExpressionError as error:
        table.refuse("value", f"value: {error}")
