"""The line numbers of a rule file's `[[rule]]` tables and of their keys, which `tomllib` does not give.

The text is known to be valid TOML when this is asked, so it is enough to skip strings and comments.
"""

import re
from dataclasses import dataclass, field

_LEXEME = re.compile(
    r'''(?:"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\\n]|\\.)*"(?!\s*[=.])|'[^'\n]*'(?!\s*[=.])|\#[^\n]*)
    |^[ \t]*(?P<array>\[\[)?(?P<table>\[)?[ \t]*(?P<name>(?:[\w.-]|"[^"\n]*"|'[^'\n]*')+)[ \t]*(?P<end>\]\]?|=)''',
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)


@dataclass(slots=True)
class RuleLines:
    """Where one rule stands: its header, and each of its keys (dotted below a table)."""

    header: int
    keys: dict[str, int] = field(default_factory=dict)


def rule_lines(text: str) -> list[RuleLines]:
    """One entry per `[[rule]]` header, in order."""
    found: list[RuleLines] = []
    prefix = ""
    line, counted = 1, 0
    for match in _LEXEME.finditer(text):
        name = match["name"]
        if name is None:
            continue
        start = match.start("name")
        line, counted = line + text.count("\n", counted, start), start
        path = name.replace('"', "").replace("'", "")
        if match["array"] or match["table"]:
            if path == "rule":
                found.append(RuleLines(line))
            prefix = path.removeprefix("rule").removeprefix(".")
            prefix = f"{prefix}." if prefix else ""
        elif found:
            found[-1].keys[f"{prefix}{path}"] = line
    return found


def error_line(message: str, text: str) -> int:
    """The line that a `tomllib` error message speaks of."""
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    return int(match[1]) if match else text.rstrip("\n").count("\n") + 1
