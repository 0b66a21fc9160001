"""Who imports whom: every way an import can be written, and rooms without the top."""

from pathlib import Path

import pytest

from topology.docs.imports import by_room, files_of, imports_of


def house(directory: Path, **files: str) -> Path:
    """A package of these modules (`a__b` is `a/b.py`); each folder has its sign."""
    for name, text in {"__init__": "", **files}.items():
        file = directory / "house" / f"{name.replace('__', '/') if name != '__init__' else name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text, "utf-8")
    return directory


@pytest.mark.parametrize(
    "line",
    [
        "import house.attic.roof",
        "import os, house.attic.roof as top",
        "from house.attic import roof",
        "from house.attic import roof as top",
        "from house.attic.roof import fall",
        "def f() -> None:\n    from house.attic.roof import fall",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.attic.roof",
        "try:\n    import house.attic.roof\nexcept ImportError:\n    pass",
    ],
)
def test_an_import_is_seen_however_it_is_written_and_wherever_it_stands(tmp_path: Path, line: str) -> None:
    root = house(tmp_path, hall__door=line, attic__roof="")
    assert imports_of(root, "house")["house.hall.door"] == {"house.attic.roof"}


def test_what_is_no_module_of_the_package_is_no_import_of_one(tmp_path: Path) -> None:
    text = "import os\nimport housing.attic\nfrom house.hall.door import knock\nX = 'import house.attic.roof'\n"
    root = house(tmp_path, hall__door=text, attic__roof="from house.attic import beam\n")
    graph = imports_of(root, "house")
    assert graph["house.hall.door"] == set(), "it does not import itself either"
    assert graph["house.attic.roof"] == {"house.attic"}, "a name that is no file is a name of the package"


def test_a_package_is_a_module_of_its_own_name(tmp_path: Path) -> None:
    root = house(tmp_path, hall__door="", gate="")
    assert set(files_of(root, "house")) == {"house", "house.hall", "house.hall.door", "house.gate"}
    assert files_of(root, "house")["house.hall"].name == "__init__.py"


def test_rooms_are_packages_and_loose_files_below_the_top_and_the_top_is_none() -> None:
    graph = {
        "house": {"house.hall"},
        "house.gate": {"house.hall.door", "house"},
        "house.hall": {"house.hall.door"},
        "house.hall.door": {"house.hall", "house.attic.roof", "house.attic.beam"},
        "house.attic.roof": set[str](),
    }
    assert by_room(graph) == {"gate": {"hall"}, "hall": {"attic"}, "attic": set()}
