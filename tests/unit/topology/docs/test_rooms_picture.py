"""The picture of the rooms: each once, on its floor, with texts that stay in its box."""

from collections import Counter
from functools import cache
from xml.etree import ElementTree as ET

from tests.support.paths import ROOT
from topology.docs.imports import by_room, imports_of
from topology.docs.rooms_picture import _LETTER, PACKAGES, floors, picture, purpose

SVG = "{http://www.w3.org/2000/svg}"


@cache
def drawn() -> list[tuple[dict[str, float], list[tuple[str, float, float, str]]]]:
    """Each box with the texts (class, x, y, text) that begin in it."""
    root = ET.fromstring(picture())
    boxes = [
        {name: float(box.attrib[name]) for name in ("x", "y", "width", "height")}
        for box in root.iter(f"{SVG}rect")
        if box.get("class") == "box"
    ]
    texts = [
        (text.attrib["class"], float(text.attrib["x"]), float(text.attrib["y"]), text.text or "")
        for text in root.iter(f"{SVG}text")
    ]
    return [(box, [text for text in texts if _within(box, text)]) for box in boxes]


def _within(box: dict[str, float], text: tuple[str, float, float, str]) -> bool:
    _, x, y, _ = text
    return box["x"] <= x <= box["x"] + box["width"] and box["y"] <= y <= box["y"] + box["height"]


def test_every_room_is_drawn_once_and_named_as_it_is() -> None:
    names = Counter(
        text.split("/")[0].removesuffix(".py") for _, texts in drawn() for kind, *_, text in texts if kind == "h"
    )
    rooms = Counter(room for package in PACKAGES for room in by_room(imports_of(ROOT, package)))
    assert names == rooms


def test_every_text_stays_in_its_box_and_begins_below_the_one_before() -> None:
    for box, texts in drawn():
        assert texts
        heights = [y for _, _, y, _ in texts]
        assert heights == sorted(set(heights))
        assert heights[-1] < box["y"] + box["height"]
        for kind, x, _, text in texts:
            if kind != "h":
                assert x + len(text) * _LETTER <= box["x"] + box["width"]


def test_no_box_covers_another() -> None:
    boxes = [box for box, _ in drawn()]
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            beside = one["x"] >= other["x"] + other["width"] or other["x"] >= one["x"] + one["width"]
            assert beside or one["y"] >= other["y"] + other["height"]


def test_floors_stand_from_the_roof_down_without_rooms_yet_to_be_built() -> None:
    rooms = [room for floor in floors("topology") for room in floor]
    assert floors("topology")[0] == ["docs"]
    assert "settings" in floors("topology")[-1]
    assert not [room for room in rooms if "(" in room]
    assert len(set(rooms)) == len(rooms)


def test_the_purpose_of_a_room_is_the_first_sentence_of_its_sign() -> None:
    assert (
        purpose("topology", "serve")
        == "HTTP answers of a process, today its probes and metrics; and the question that a health check asks"
    )
    assert not purpose("topology", "runtime").endswith(".")
    assert "`" not in purpose("topology", "supervisor")
