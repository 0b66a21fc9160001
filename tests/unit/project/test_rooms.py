"""The house keeps its order: no circle of imports, no room too full, a sign at each door, contracts that bite."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from topology.docs.imports import Graph, by_room, files_of, imports_of
from topology.docs.rooms_picture import PICTURE, picture

PACKAGES = ("schemas", "pipeline", "topology")
MOST_FILES = 15
# One file per command.
FULLER = {Path("topology/commands"), Path("tests/unit/topology/commands")}

# For each contract an import that it must not let pass: the file that is given it, and the line.
PLANTED = {
    "schemas <- pipeline <- topology": ("schemas/errors.py", "import pipeline.config"),
    "files of schemas": ("schemas/checksum.py", "import schemas.state"),
    "rooms of pipeline": ("pipeline/windows/block.py", "import pipeline.health.score"),
    "rooms of topology": ("topology/records/span.py", "import topology.consumer.fetch"),
    "the core knows no broker, no clock, no process": ("pipeline/publish/pace.py", "import time"),
    "the core knows no files": ("pipeline/windows/persist.py", "import pathlib"),
    "rooms that know no Kafka": ("topology/settings/units.py", "import aiokafka"),
    "rooms that know no HTTP": ("topology/worker/watch.py", "import aiohttp"),
    "rooms that know no files and no processes": ("topology/state/restore.py", "import pathlib"),
    "rooms that know no clock": ("topology/producer/transaction.py", "import time"),
}


def circle_in(graph: Graph) -> list[str]:
    """The modules of a circle, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    assert circle_in(imports_of(ROOT, package)) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_imports_itself_by_way_of_others(package: str) -> None:
    assert circle_in(by_room(imports_of(ROOT, package))) == []


def test_a_circle_is_seen_in_deferred_imports_too(tmp_path: Path) -> None:
    for name, text in {
        "house/__init__.py": "",
        "house/hall/__init__.py": "",
        "house/hall/door.py": "from house.attic import roof\n",
        "house/attic/__init__.py": "",
        "house/attic/roof.py": "def fall() -> None:\n    from house.cellar.floor import hit\n\n    hit()\n",
        "house/cellar/__init__.py": "",
        "house/cellar/floor.py": "import house.attic.beam\n",
        "house/attic/beam.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    graph = imports_of(tmp_path, "house")
    assert graph["house.hall.door"] == {"house.attic.roof"}
    assert circle_in(graph) == []
    assert set(circle_in(by_room(graph))) == {"attic", "cellar"}


def python_folders() -> Iterator[tuple[Path, int]]:
    """Each folder of the project with how many Python files it holds."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = [Path(line).parent for line in listed.splitlines()]
    for folder in sorted(set(folders)):
        yield folder, folders.count(folder)


def test_no_room_has_more_than_fifteen_files() -> None:
    assert {str(folder): n for folder, n in python_folders() if n > MOST_FILES and folder not in FULLER} == {}


def test_no_file_of_tests_has_more_than_four_hundred_lines() -> None:
    files = (ROOT / "tests").rglob("*.py")
    long = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


# They hold no rule of their own: types, constants, a list of rows.
NO_RULE = {
    "schemas/alerts.py",
    "schemas/field_notes.py",
    "schemas/metrics.py",
    "schemas/reasons.py",
    "pipeline/arrays.py",
    "pipeline/windows/layout.py",
    "topology/monitor/finding.py",
    # Programs of a few lines around a tool that is fetched, run by `make lock` and where Maven is missing.
    "topology/devbroker/download_jars.py",
    "topology/devbroker/lock_jars.py",
}


def test_each_file_that_holds_a_rule_has_a_test_of_its_name_in_the_same_room() -> None:
    files = {file.relative_to(ROOT) for package in PACKAGES for file in files_of(ROOT, package).values()}
    names = {str(file) for file in files if file.name not in {"__init__.py", "__main__.py"}}
    without = {name for name in names if not any(test.exists() for test in places_for_a_test_of(Path(name)))}
    assert sorted(without) == sorted(NO_RULE)


def places_for_a_test_of(file: Path) -> list[Path]:
    """Where the test of a file may stand."""
    room = Path(*file.parent.parts[1:])
    name = f"test_{file.name}"
    return [ROOT / "tests" / "unit" / file.parent / name, ROOT / "tests" / "integration" / room / name]


ROOMS = sorted(
    name for package in PACKAGES for name, file in files_of(ROOT, package).items() if file.name == "__init__.py"
)


@pytest.mark.parametrize("room", ROOMS)
def test_the_sign_of_a_room_says_what_it_is_for_what_it_may_touch_what_enters_and_what_leaves(room: str) -> None:
    sign = ast.get_docstring(ast.parse((ROOT / room.replace(".", "/") / "__init__.py").read_text("utf-8"))) or ""
    lines = sign.splitlines()
    assert len(lines[0]) > 40
    assert lines[1] == ""
    assert lines[2].startswith("May touch: ")
    assert re.match(r"In: .+\. Out: .+\.$", lines[3])


def test_each_contract_is_broken_by_the_import_it_is_there_for(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert verdicts(tmp_path) == dict.fromkeys(PLANTED, "KEPT")
    for file, line in PLANTED.values():
        with (tmp_path / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    assert verdicts(tmp_path) == dict.fromkeys(PLANTED, "BROKEN")


def test_no_room_of_the_core_is_forgotten_where_it_is_said_what_the_core_may_not_know() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    rooms = {f"pipeline.{room}" for room in by_room(imports_of(ROOT, "pipeline"))} - {"pipeline.storage"}
    named = [set(one["source_modules"]) for one in contracts if one["name"].startswith("the core knows no")]
    assert named == [{"schemas", *rooms}] * 2


def verdicts(folder: Path) -> dict[str, str]:
    """What the import linter says of each contract."""
    program = str(Path(sys.executable).with_name("lint-imports"))
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        [program, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE))


def test_every_place_that_the_guide_for_changes_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"(?<![\w/.])((?:docs|schemas|pipeline|topology|tests|native|deploy)/[\w/.-]*\w)", text)
    modules = re.findall(r"python -m ([\w.]+)", text)
    assert len(named) > 50
    assert len(modules) > 2
    assert [place for place in named if not (ROOT / place).exists()] == []
    assert [
        name
        for name in modules
        if not any((ROOT / f"{name.replace('.', '/')}{end}").exists() for end in (".py", "/__main__.py"))
    ] == []


def test_the_picture_of_the_rooms_is_up_to_date() -> None:
    assert PICTURE.read_text("utf-8") == picture(), "run `python -m topology.docs.rooms_picture`"
