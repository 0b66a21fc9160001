"""Who imports whom, read from the source: the graph that the rooms' test and the picture of the rooms are made of."""

import ast
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]


def files_of(root: Path, package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name, packages themselves included."""
    found = {}
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(root: Path, package: str) -> Graph:
    """For each module of a package, the modules of the same package that it imports anywhere, deferred imports included."""
    files = files_of(root, package)
    return {name: {found for found in _imported(file, files) if found != name} for name, file in files.items()}


def by_room(graph: Graph) -> Graph:
    """The same by room: a package directly below the top, or a loose file there. The top itself is no room."""
    rooms: Graph = {}
    for name, imported in graph.items():
        if "." in name:
            known = rooms.setdefault(_room(name), set())
            known |= {_room(other) for other in imported if "." in other} - {_room(name)}
    return rooms


def _room(module: str) -> str:
    return module.split(".")[1]


def _imported(file: Path, files: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom) and node.module in files:
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in files else node.module
