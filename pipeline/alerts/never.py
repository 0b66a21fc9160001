"""Conditions that no record can fulfil, found when a rule is loaded: such a rule would be quiet for ever, and nobody would know.

A comparison of a field with a number is judged by the bounds of the field. One that is false of every record is refused where it
asks for what cannot be (`error_rate > 5`), and one that is true of every record where it is negated. Comparisons that `&&` joins
must have a number in common.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.alerts.fields import Field
from pipeline.alerts.syntax import COMPARISONS, ExpressionError, Token

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
# What may stand beside a comparison; beside anything else it is part of something that is not judged.
_EDGES = frozenset({"&&", "||", "!", "(", ")"})
# With one of these, a condition does not ask for all of its comparisons at once.
_NOT_ALL_OF = tuple(Token("op", text) for text in ("||", "!", "?"))
_OPEN, _CLOSE = Token("op", "("), Token("op", ")")


@dataclass(frozen=True, slots=True)
class _Comparison:
    """`field operator number`, an odd number of `!` around it taken in already."""

    field: Field
    operator: str
    number: float
    text: str

    @property
    def span(self) -> tuple[float, float]:
        """The least and the largest value of the field that fulfil it, within its bounds; where least > largest there is none."""
        low, high = self.field.least, self.field.most
        if self.operator == "==":
            return max(low, self.number), min(high, self.number)
        if self.operator in ("<", "<="):
            largest = self.number if self.operator == "<=" else math.nextafter(self.number, -math.inf)
            return low, min(high, largest)
        if self.operator in (">", ">="):
            least = self.number if self.operator == ">=" else math.nextafter(self.number, math.inf)
            return max(low, least), high
        return low, high if not low == high == self.number else -math.inf


def refuse_never_true(tokens: list[Token], fields: Mapping[str, Field], threshold: float | None) -> None:
    """Refuse a condition that is false of every record.

    Args:
        tokens: of the condition, which compiles.
        fields: of its scope.
        threshold: of the rule.

    Raises:
        ExpressionError: says what can never be, and what to write.
    """
    solid = [token for token in tokens if token.kind != "space"]
    if solid == [Token("keyword", "false")]:
        raise ExpressionError(
            'is false of every record; a rule about silence alone leaves it out and says no_data = "alert"'
        )
    found = _comparisons(solid, fields, threshold)
    for one in found:
        least, most = one.span
        if least > most:
            raise ExpressionError(_why(one))
    if any(token.kind == "function" or token in _NOT_ALL_OF for token in solid):
        return
    spans: dict[str, tuple[float, float]] = {}
    for one in found:
        before = spans.get(one.field.path, (one.field.least, one.field.most))
        least, most = one.span
        spans[one.field.path] = least, most = max(before[0], least), min(before[1], most)
        if least > most:
            raise ExpressionError(f"can never be true: no {one.field.path} fulfils all that is asked of it")


def _comparisons(solid: list[Token], fields: Mapping[str, Field], threshold: float | None) -> list[_Comparison]:
    """Every comparison of a field with a number that stands for itself."""
    edge = Token("op", "(")
    found: list[_Comparison] = []
    negations = _negations(solid)
    merged, places = _signed(solid, threshold)
    for index in range(len(merged) - 2):
        left, operator, right = merged[index : index + 3]
        if not isinstance(operator, Token) or operator.kind != "op" or operator.text not in COMPARISONS:
            continue
        before = merged[index - 1] if index else edge
        after = merged[index + 3] if index + 3 < len(merged) else edge
        if not (isinstance(before, Token) and isinstance(after, Token)):
            continue
        if before.text not in _EDGES or after.text not in _EDGES:
            continue
        sign, field, number = operator.text, left, right
        if isinstance(left, float):
            sign, field, number = _MIRRORED[sign], right, left
        if not isinstance(field, Token) or field.kind != "field" or not isinstance(number, float):
            continue
        if fields[field.text].kind != "number":
            continue
        text = f"{field.text} {sign} {number:g}"
        sign = _OPPOSITE[sign] if negations[places[index]] % 2 else sign
        found.append(_Comparison(fields[field.text], sign, number, text))
    return found


def _signed(solid: list[Token], threshold: float | None) -> tuple[list[Token | float], list[int]]:
    """The tokens with numbers as numbers, a minus in front taken in, and where each stood."""
    out: list[Token | float] = []
    places: list[int] = []
    index = 0
    while index < len(solid):
        token, sign, start = solid[index], 1.0, index
        starts = not out or (isinstance(out[-1], Token) and (out[-1].text in _EDGES or out[-1].text in COMPARISONS))
        if token == Token("op", "-") and starts and index + 1 < len(solid):
            sign, index, token = -1.0, index + 1, solid[index + 1]
        value = threshold if token.kind == "threshold" else float(token.text) if token.kind == "number" else None
        if value is None and sign < 0:
            index, token = start, solid[start]
        out.append(token if value is None else sign * value)
        places.append(start)
        index += 1
    return out, places


def _negations(solid: list[Token]) -> list[int]:
    """By token, how many `!` stand before brackets around it."""
    open_negations: list[int] = []
    pending = 0
    out: list[int] = []
    for token in solid:
        if token == Token("op", "!"):
            pending += 1
        elif token == _OPEN:
            open_negations.append(pending)
            pending = 0
        elif token == _CLOSE and open_negations:
            open_negations.pop()
        out.append(sum(open_negations) + (pending if token.text != "!" else 0))
        if token not in (_OPEN, Token("op", "!")):
            pending = 0
    return out


def _why(one: _Comparison) -> str:
    field, low, high = one.field, one.field.least, one.field.most
    if field.path == "total_requests" and low == 1.0 and one.number <= 1.0:
        return (
            f"`{one.text}` is never true, for a module without a request has no record; to alert on silence say"
            ' no_data = "alert"'
        )
    if math.isinf(high):
        return f"`{one.text}` is never true, for {field.path} is at least {low:g}"
    ratio = high == 1.0 and 1.0 < one.number <= 100.0
    hint = f"; it is a ratio: for {one.number:g} % write {one.number / 100:g}" if ratio else ""
    return f"`{one.text}` is never true, for {field.path} is from {low:g} to {high:g}{hint}"
