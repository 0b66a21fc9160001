"""What is wrong with a value, said to people: the JSON decoder's own words translated, each with its place."""

import re

import msgspec

from schemas.errors import PoisonRecord

# What the decoder really raises: its own tree, and two builtins for bad UTF-8 inside a field and for absurd nesting.
DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MAX_MESSAGE_CHARS = 300

_TYPES = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "null": "null",
}
_GOT = _TYPES | {"bool": "a boolean", "float": "a number with a fraction or an exponent"}
_PLACE = r"(?: - at `\$\.?(?P<path>.*)`)?"
_WRONG_TYPE = re.compile(r"Expected `(?P<types>[^`]+)`, got `(?P<got>[^`]+)`" + _PLACE)
_OUT_OF_RANGE = re.compile(
    r"Expected `(?P<type>\w+)` (?P<rule>>=|<=|of length >=|of length <=) (?P<limit>\S+)" + _PLACE
)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]+)`" + _PLACE)
_TOO_LARGE = re.compile(r"(?:Integer value|Number) out of range" + _PLACE)
_ENUM = re.compile(r"Invalid enum value '?(?P<value>.*?)'?" + _PLACE + "$")
_MALFORMED = re.compile(r"JSON is malformed: (?P<what>.*) \(byte (?P<at>\d+)\)")
_MALFORMED_WORDS = {
    "trailing characters": "something follows the JSON",
    "trailing comma in object": "a comma stands before the closing brace",
    "trailing comma in array": "a comma stands before the closing bracket",
    "invalid number": "a number is written in a way that JSON does not know",
    "object keys must be strings": "a field's name is not in double quotes",
    "invalid escape character in string": "a backslash in text begins no escape of JSON",
    "invalid escaped character": "a backslash in text begins no escape of JSON",
    "expected ':'": "no colon follows a field's name",
    "expected ',' or '}'": "neither a comma nor a closing brace follows a field",
    "expected ',' or ']'": "neither a comma nor a closing bracket follows an element",
    "invalid utf-16 surrogate pair": "text holds half of a surrogate pair",
    "unexpected end of escaped utf-16 surrogate pair": "text holds half of a surrogate pair",
    "unexpected end of hex escape": "a backslash in text begins no escape of JSON",
    "invalid character in unicode escape": "a backslash in text begins no escape of JSON",
}
_NO_NUMBERS = (b"NaN", b"-Infinity", b"Infinity")
_BEGINNINGS = {
    b"\xef\xbb\xbf": "the value begins with a byte order mark; send UTF-8 without one",
    b"\xff\xfe": "the value is UTF-16; send UTF-8",
    b"\xfe\xff": "the value is UTF-16; send UTF-8",
    b"{\x00": "the value is UTF-16; send UTF-8",
    b"\x00{": "the value is UTF-16; send UTF-8",
    b"\x1f\x8b": "the value is compressed by gzip; send JSON, and let Kafka compress it (compression.type)",
}


def poison(error: Exception, value: bytes, where: str = "") -> PoisonRecord:
    """A decoder's error about a value in the contract's words; `where` comes before them."""
    invalid = isinstance(error, msgspec.ValidationError)
    text = where + (_broken_rule(str(error)) if invalid else _no_json(error, value))
    shown = "".join(c if c.isprintable() else "?" for c in text[:MAX_MESSAGE_CHARS])
    return PoisonRecord("invalid" if invalid else "undecodable", shown)


def _broken_rule(text: str) -> str:
    if match := _WRONG_TYPE.fullmatch(text):
        got, wanted = _GOT.get(match["got"], match["got"]), _expected(match["path"], match["types"])
        return f"{_place(match['path'])} is {got}; {wanted} is expected"
    if match := _OUT_OF_RANGE.fullmatch(text):
        return f"{_place(match['path'])} {_beyond(match['rule'], match['limit'])}"
    if match := _MISSING.fullmatch(text):
        return f"the field {_joined(match['path'], match['name'])} is missing"
    if match := _TOO_LARGE.fullmatch(text):
        return f"{_place(match['path'])} is a number too large for 64 bits"
    if match := _ENUM.fullmatch(text):
        return f"{_place(match['path'])} is {match['value']!r}, which is none of the words allowed there"
    return text


def _place(path: str | None) -> str:
    if not path:
        return "the value"
    return f"a value of {path[:-5]}" if path.endswith("[...]") else path


def _expected(path: str | None, types: str) -> str:
    if path == "timestamp":
        return "epoch milliseconds or RFC 3339 text"
    names = types.split(" | ")
    if "int" in names and "float" in names:  # an integer written like a number
        names.remove("float")
    words = [_TYPES.get(name, name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _beyond(rule: str, limit: str) -> str:
    limit = str(int(float(limit))) if "e+" in limit else limit.removesuffix(".0")
    if rule == ">=":
        return f"is below {limit}"
    if rule == "<=":
        return f"is above {limit}"
    if rule == "of length >=":
        return "is empty" if limit == "1" else f"is shorter than {limit} characters"
    return f"is longer than {limit} characters"


def _joined(path: str | None, name: str) -> str:
    return f"{path}.{name}" if path else name


def _no_json(error: Exception, value: bytes) -> str:
    for beginning, words in _BEGINNINGS.items():
        if value.startswith(beginning):
            return words
    if not value.strip(b" \t\r\n"):
        return "the value is empty"
    if isinstance(error, RecursionError):
        return "arrays or objects are nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"text holds the byte 0x{error.object[error.start]:02x}, which is no UTF-8 there"
    text = str(error)
    match = _MALFORMED.fullmatch(text)
    if match is None:
        return f"the value ends after {len(value)} bytes, before its JSON does" if "truncated" in text else text
    at = int(match["at"])
    what = _MALFORMED_WORDS.get(match["what"]) or _character(value, at)
    return f"the value is no JSON at byte {at}: {what}"


def _character(value: bytes, at: int) -> str:
    for number in _NO_NUMBERS:
        if value.startswith(number, at) or value.startswith(number, max(at - 1, 0)):
            return f"{number.decode()} is no number of JSON"
    rest = value[at : at + 1]
    if not rest:
        return "it ends too early"
    if rest[0] < 0x20 or rest[0] == 0x7F:
        return f"the control character 0x{rest[0]:02x} must not stand there"
    return (
        f"{rest.decode()!r} must not stand there"
        if rest[0] < 0x80
        else f"the byte 0x{rest[0]:02x} must not stand there"
    )
