"""`make docs` writes what is out of date and `make check` names it."""

from pathlib import Path

import pytest

from topology.docs import __main__ as docs


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "docs" / "page.md"
    file.parent.mkdir()
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "pages", lambda: {file: "new\n"})
    return file


def test_what_is_missing_or_old_is_named_and_nothing_is_written(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main(["--check"]) == 1
    assert not page.exists()
    page.write_text("former\n", "utf-8")
    assert docs.main(["--check"]) == 1
    assert page.read_text("utf-8") == "former\n"
    assert capsys.readouterr().err == 2 * "docs/page.md is not what the code says: run `make docs`\n"


def test_what_is_old_is_written_and_what_is_not_is_left_alone(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert docs.main([]) == 0
    assert page.read_text("utf-8") == "new\n"
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    assert capsys.readouterr().out == "wrote docs/page.md\n"


def test_every_page_that_says_it_is_made_is_among_them() -> None:
    root = docs.ROOT
    made = {file for file in (root / "docs").rglob("*.md") if "<!-- Made by `" in file.read_text("utf-8")}
    generated = set((root / "schemas" / "generated").iterdir())
    assert made | generated <= set(docs.pages())
    assert len(made) > 1
    assert len(generated) > 5
