"""Reads the text of a CEL expression far enough to know which record fields it names.

This is no second CEL parser: the library judges the grammar. It splits the text into tokens, tells fields from
functions, and refuses with a plain reason what rules must not use. What it lets through is bounded: without a
comprehension (`exists`, `all`, `exists_one`, `filter`) an evaluation is linear in the text, and of the one comprehension
that is allowed the tokens times the elements of lists are limited (`MAX_STEPS`: 1.5 ms, at 0.3 us a step).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from pipeline.alerts.fields import Field
from schemas.errors import ModpulseError

TokenKind = Literal["field", "threshold", "bound", "function", "keyword", "string", "number", "op", "space"]

# The condition of a rule that is about silence alone.
NEVER = "false"
MAX_EXPRESSION_BYTES = 4096
MAX_STEPS = 5_000
COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_KINDS: dict[str, TokenKind | Literal["name"]] = {
    "space": "space", "string": "string", "number": "number", "name": "name", "op": "op",
}  # fmt: skip
_FUNCTIONS = frozenset({"size", "double", "int", "string", "contains", "startsWith", "endsWith"})
_MACROS = frozenset({"exists", "all", "exists_one", "filter"})
_KEYWORDS = frozenset({"true", "false", "null", "in"})

_TOKEN = re.compile(
    r"""(?P<space>(?:\s+|//[^\n]*)+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    |(?P<op>&&|\|\||[<>=!]=|[-+*/%<>!?:()\[\],.])""",
    re.VERBOSE,
)


class ExpressionError(ModpulseError):
    """An expression that cannot be used, or that failed on one record.

    Attributes:
        reason: `invalid` (found when it is loaded), `null_field` (it needed a field that is null) or `failed`.
    """

    def __init__(self, message: str, reason: Literal["invalid", "null_field", "failed"] = "invalid") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression; `space` covers comments too."""

    kind: TokenKind
    text: str


def tokenize(text: str, fields: Mapping[str, Field]) -> list[Token]:
    """Splits an expression and says what each name is.

    Raises:
        ExpressionError: an unknown field or function, or a construct that rules may not use.
    """
    if len(text.encode()) > MAX_EXPRESSION_BYTES:
        raise ExpressionError(f"the expression is longer than {MAX_EXPRESSION_BYTES} bytes")
    raw = list(_split(text))
    tokens: list[Token] = []
    bound: str | None = None
    for index, (kind, piece) in enumerate(raw):
        if kind != "name":
            tokens.append(Token(kind, piece))
            continue
        after = [p for k, p in raw[index + 1 : index + 7] if k != "space"][:3]
        before = next((t.text for t in reversed(tokens) if t.kind != "space"), "")
        called = after[:1] == ["("] and piece not in _KEYWORDS
        receiver, _, last = piece.rpartition(".")
        if called:
            if last in _MACROS:
                if bound is not None:
                    raise ExpressionError("only one of exists, all, exists_one and filter may be used, once")
                bound = _bound_name(last, after, fields)
            elif last not in _FUNCTIONS:
                raise ExpressionError(f"unknown function {last!r}; known are {', '.join(sorted(_FUNCTIONS | _MACROS))}")
            if receiver:
                tokens += [_name(receiver, bound, fields), Token("op", ".")]
            tokens.append(Token("function", last))
        elif before == ".":
            raise ExpressionError(f"{piece!r} after a dot: write the whole field path without spaces")
        else:
            tokens.append(_name(piece, bound, fields))
    if bound is not None:
        _bound_steps(tokens)
    return tokens


def _bound_steps(tokens: list[Token]) -> None:
    """Refuse a comprehension that runs long: every element of a written list may cost every token of the text.

    Lists of a record need no count: they hold a text for each signal at most.
    """
    solid = sum(1 for token in tokens if token.kind != "space")
    elements = 1 + sum(1 for token in tokens if token == Token("op", ","))
    if solid * elements > MAX_STEPS:
        raise ExpressionError(
            f"{solid} words and signs times {elements} elements of lists are more than the {MAX_STEPS} that an expression"
            " with exists, all, exists_one or filter may hold: write a shorter list or a shorter condition"
        )


def _split(text: str) -> Iterator[tuple[TokenKind | Literal["name"], str]]:
    position, previous = 0, ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ExpressionError(f"cannot be read at {text[position : position + 20]!r}")
        kind = _KINDS[match.lastgroup or ""]
        if kind == "string" and previous in ("name", "string"):
            raise ExpressionError(f"prefixed and triple-quoted texts are not supported, at {match.group()[:20]!r}")
        if kind == "name" and previous == "number":
            raise ExpressionError(f"number with a suffix, at {match.group()[:20]!r}")
        yield kind, match.group()
        position, previous = match.end(), kind


def _bound_name(macro: str, after: list[str], fields: Mapping[str, Field]) -> str:
    name = after[1] if len(after) == 3 and after[2] == "," else ""
    if not name.isidentifier() or "__" in name or name in fields or name in _KEYWORDS or name == "threshold":
        raise ExpressionError(f"{macro} is written like health.reasons.{macro}(r, r.contains('p99'))")
    return name


def _name(name: str, bound: str | None, fields: Mapping[str, Field]) -> Token:
    if name in _KEYWORDS:
        return Token("keyword", name)
    if name == "threshold":
        return Token("threshold", name)
    if name == bound:
        return Token("bound", name)
    if name in fields:
        return Token("field", name)
    raise ExpressionError(unknown_field(name, fields))


def unknown_field(name: str, fields: Mapping[str, Field]) -> str:
    """The reason to give for a name that is no field, with the nearest names that are."""
    members = [path for path in fields if path.startswith(f"{name}.")]
    if members:
        return f"{name!r} is a group of fields; write one of {', '.join(members)}"
    near = get_close_matches(name, fields, n=2, cutoff=0.6)
    return f"unknown field {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")


def conditions(tokens: list[Token]) -> list[list[Token]]:
    """The parts that `&&`, `||`, `!` and brackets put together: each must be a condition of its own.

    CEL skips the right side once the left decides, so trying only the whole would miss a broken right side.
    """
    tokens = [t for t in tokens if t.kind != "space"]
    inner = _unwrap(tokens)
    if inner is not None:
        return conditions(inner)
    depth = 0
    parts: list[list[Token]] = [[]]
    for token in tokens:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]")) if token.kind == "op" else 0
        if depth == 0 and token == Token("op", "?"):
            return [tokens]
        if depth == 0 and token in (Token("op", "&&"), Token("op", "||")):
            parts.append([])
        else:
            parts[-1].append(token)
    return [tokens] if len(parts) == 1 else [piece for part in parts for piece in conditions(part)]


def _unwrap(tokens: list[Token]) -> list[Token] | None:
    """What stands between brackets that enclose everything, or after one leading `!` of such brackets."""
    while tokens[:1] == [Token("op", "!")]:
        tokens = tokens[1:]
    if tokens[:1] != [Token("op", "(")]:
        return None
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token == Token("op", "(")) - (token == Token("op", ")"))
        if depth == 0:
            return tokens[1:-1] if index == len(tokens) - 1 else None
    return None
