"""One condition or number over a window record, in CEL (https://cel.dev), compiled once.

What is particular here:

- Every number is a double. So `failed_requests / total_requests` is a ratio, not an integer division; arithmetic with a
  literal needs `2.0`, comparisons take `2` too. CEL does not mix the two types, which is found when the rule is loaded.
- A gauge the module never sent is null. `==` and `!=` see null as a value; any other use makes that part unknown, and
  a condition that is unknown as a whole is not true: `cpu_percent > 80 || error_rate > 0.5` can still be true by its
  right side. `!(cpu_percent > 80)` is unknown too, so a missing gauge raises no alert by being negated. CEL itself takes
  null for a value in lists (`in`) and choices (`? :`), so a null is handed over to `==` and `!=` alone: everywhere else
  the name has no value, which CEL treats as unknown.
- The cost is in handing values over (2 us each, a nested map 8 us, against 0.6 us for the evaluation), so only the
  leaf fields that are named are handed over, under flat names, and `threshold` is written into the program.

The library cannot reach Python objects, files or clocks; `syntax.py` bounds what an expression can cost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import cel

from pipeline.alerts.fields import FIELDS, Field, FieldKind, FieldValue, Record, Scope
from pipeline.alerts.syntax import COMPARISONS, ExpressionError, Token, tokenize

_DISPLAY_CHARS = 200
_EQUALITIES = (Token("op", "=="), Token("op", "!="))
_BRACKETS = (Token("op", "("), Token("op", ")"))
# What the library raises while it evaluates: wrong types, overflow, missing names, an index out of bounds.
_RUNTIME_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


class _Program(Protocol):
    def execute(self, context: dict[str, FieldValue]) -> object: ...


@dataclass(frozen=True, slots=True)
class _Read:
    """A field to hand over, under one name where null is a value and under another where it is unknown."""

    path: str
    null_is_a_value: bool
    get: Callable[[Record], FieldValue]
    kind: FieldKind

    @property
    def alias(self) -> str:
        return _alias(self.path, self.null_is_a_value)


class Expression:
    """A compiled expression. Evaluating it changes nothing, so one instance serves any number of records.

    Attributes:
        source: the text as given.
        text: the same on one line, shortened, with the threshold's number in it: for reasons and messages.
    """

    __slots__ = ("_program", "_reads", "source", "text", "tokens")

    def __init__(self, source: str, scope: Scope, threshold: float | None) -> None:
        """Compiles the text.

        Raises:
            ExpressionError: it is not CEL, or names what a rule of this scope may not name.
        """
        self.source = source
        self.tokens = tokenize(source, FIELDS[scope])
        _refuse_impossible(self.tokens, FIELDS[scope])
        if threshold is None and any(t.kind == "threshold" for t in self.tokens):
            raise ExpressionError("names threshold, but the rule has none")
        number = "" if threshold is None else format(threshold, ".10g")
        text = "".join(number if t.kind == "threshold" else " " if t.kind == "space" else t.text for t in self.tokens)
        self.text = text.strip()[:_DISPLAY_CHARS]
        self._program = _compile(source, self.tokens, threshold)
        uses = dict.fromkeys(_uses(self.tokens))
        self._reads = tuple(_Read(path, null, attrgetter(path), FIELDS[scope][path].kind) for path, null in uses)

    def evaluate(self, record: Record) -> bool:
        """Whether the condition holds.

        Raises:
            ExpressionError: it failed on this record (`null_field`, `failed`); take that for false and count it.
        """
        result = self._run(record)
        if isinstance(result, bool):
            return result
        raise ExpressionError(f"`{self.text}` is not true or false but {_shown(result)}", "failed")

    def number(self, record: Record) -> float | None:
        """The number it stands for; None if it is null or needs a null field.

        Raises:
            ExpressionError: it failed on this record for another reason, or is not a number.
        """
        try:
            result = self._run(record)
        except ExpressionError as error:
            if error.reason == "null_field":
                return None
            raise
        if result is None:
            return None
        if isinstance(result, int | float) and not isinstance(result, bool):
            return float(result)
        raise ExpressionError(f"`{self.text}` is not a number but {_shown(result)}", "failed")

    def _run(self, record: Record) -> object:
        context: dict[str, FieldValue] = {}
        missing: list[str] = []
        for read in self._reads:
            value = read.get(record)
            if value is None:
                missing.append(read.path)
                if not read.null_is_a_value:
                    continue
            context[read.alias] = float(value) if read.kind == "number" and isinstance(value, int | float) else value
        try:
            return self._program.execute(context)
        except _RUNTIME_ERRORS as error:
            if missing:
                names = ", ".join(dict.fromkeys(missing))
                raise ExpressionError(f"`{self.text}` compares {names}, which is null", "null_field") from error
            raise ExpressionError(f"`{self.text}`: {_first_line(error)}", "failed") from error


def compared_field(tokens: list[Token], fields: dict[str, Field]) -> str | None:
    """The number an alert shows if its rule names none: the field compared with threshold, else the first compared."""
    solid = [t for t in tokens if t.kind != "space"]
    found: str | None = None
    for left, operator, right in zip(solid, solid[1:], solid[2:], strict=False):
        if operator.kind == "op" and operator.text in COMPARISONS:
            for side, other in ((left, right), (right, left)):
                if side.kind == "field" and fields[side.text].kind == "number":
                    if other.kind == "threshold":
                        return side.text
                    found = found or side.text
    return found


def _refuse_impossible(tokens: list[Token], fields: dict[str, Field]) -> None:
    """Equality with a literal that the field can never have is false for ever, which CEL does not mention."""
    solid = [t for t in tokens if t.kind != "space"]
    for left, operator, right in zip(solid, solid[1:], solid[2:], strict=False):
        if operator not in _EQUALITIES:
            continue
        for side, other in ((left, right), (right, left)):
            if side.kind != "field" or other.kind not in ("string", "number"):
                continue
            field = fields[side.text]
            if (field.kind == "number") != (other.kind == "number"):
                raise ExpressionError(f"{side.text} is a {field.kind} and never equals {other.text}")
            if field.choices and other.text[1:-1] not in field.choices:
                raise ExpressionError(f"{side.text} is never {other.text}; it is one of {', '.join(field.choices)}")


def _alias(path: str, null_is_a_value: bool) -> str:
    return path.replace(".", "__") + ("__or_null" if null_is_a_value else "")


def _uses(tokens: list[Token]) -> Iterator[tuple[str, bool]]:
    """Each use of a field, in order: its path, and whether it is a side of `==` or `!=`, brackets around it or not."""
    solid = [t for t in tokens if t.kind != "space"]
    for index, token in enumerate(solid):
        if token.kind == "field":
            low, high = index - 1, index + 1
            while low >= 0 and high < len(solid) and (solid[low], solid[high]) == _BRACKETS:
                low, high = low - 1, high + 1
            sides = solid[max(low, 0) : low + 1] + solid[high : high + 1]
            yield token.text, any(side in _EQUALITIES for side in sides)


def _compile(source: str, tokens: list[Token], threshold: float | None) -> _Program:
    uses = _uses(tokens)
    try:
        cel.compile(source)  # for its message, which quotes the text as the author wrote it
        flat = (
            _alias(*next(uses)) if t.kind == "field" else f"({threshold!r})" if t.kind == "threshold" else t.text
            for t in tokens
            if t.kind != "space"
        )
        program: _Program = cel.compile(" ".join(flat))
    except ValueError as error:
        raise ExpressionError(f"does not compile: {_first_line(error)}") from error
    return program


def _first_line(error: BaseException) -> str:
    """What the library says, without its advice about integers, which does not fit numbers that are all doubles."""
    text, _, advice = str(error).split("ERROR: <input>:")[-1].partition(" CEL does not coerce")
    line = (text.splitlines() or [type(error).__name__])[0][:300]
    return f"{line} Numbers are doubles: write 2.0 in arithmetic, and quote texts." if advice else line


def _shown(value: object) -> str:
    return f"the {type(value).__name__} {str(value)[:40]!r}"
