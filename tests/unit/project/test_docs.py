"""The documents say what the code says: generated pages, links, commands, settings, metrics, examples."""

import base64
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main

from pipeline.alerts.durations import format_duration
from pipeline.alerts.fields import FIELDS
from pipeline.alerts.rules import KEYS, Rule, load_rules
from pipeline.alerts.syntax import NEVER
from pipeline.config import SIGNALS, Limits
from pipeline.health.figures import Figures
from pipeline.health.profiles import Profiles
from pipeline.health.score import judge, reasons_of
from pipeline.sketch.cells import CellStore
from pipeline.sketch.mapping import BIN_OFFSET, ZERO_BIN, bins_of
from pipeline.sketch.quantiles import quantiles
from pipeline.sketch.wire import decode, encode
from schemas import state
from schemas.alert_state import ActiveAlert
from tests.support.paths import ROOT
from topology.cli import app
from topology.devbroker.provider import TEST_ADDRESS_VARIABLE
from topology.docs import metrics_page, settings_page
from topology.settings import Settings, environment_names, load_settings, setting_names
from topology.settings.names import CONFIG_VARIABLE
from topology.settings.service_links import is_service_link
from topology.supervisor.metrics import SUPERVISOR_METRICS
from topology.worker.metrics import METRICS

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def fences(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_every_test_that_the_page_of_faults_names_is_there() -> None:
    named = re.findall(
        r"`((?:unit|integration|property|servers)/[\w/]*test_\w+\.py)(?:::(test_\w+))?`", text_of("field-faults.md")
    )
    assert len(named) > 50
    sources = {file: (ROOT / "tests" / file).read_text("utf-8") for file, _ in named}
    assert [(file, test) for file, test in named if test and f"def {test}(" not in sources[file]] == []


def mentioned_commands(text: str) -> Iterator[list[str]]:
    """The words of each `modpulse ...` in code spans and blocks, global options left out."""
    spans = CODE.findall(re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    for piece in [*spans, *(line for block in fences(text) for line in block.splitlines())]:
        found = re.match(r"(?:\S*/)?modpulse\s+(.*)", piece)
        if found:
            words = re.sub(r"--(?:set|config|log-level)[ =]\S+", "", found[1]).partition("#")[0].split()
            if words:
                yield words


def leaf_commands(command: object, name: str = "") -> Iterator[str]:
    """`topics create`, `run`, ...: every command that does something."""
    children: dict[str, object] = getattr(command, "commands", {})
    if not children:
        yield name.strip()
    for child, below in children.items():
        yield from leaf_commands(below, f"{name} {child}")


LEAVES = set(leaf_commands(typer.main.get_command(app)))


def shipped_rules() -> tuple[Rule, ...]:
    file = ROOT / "topology" / "settings" / "default_rules.toml"
    return load_rules(file.read_text("utf-8"), file.name, [name for name, _ in Settings().windows.sizes])


def test_the_metrics_page_is_up_to_date() -> None:
    assert metrics_page.PAGE.read_text("utf-8") == metrics_page.page(), "run `python -m topology.docs.metrics_page`"


def test_the_configuration_page_is_up_to_date() -> None:
    assert settings_page.PAGE.read_text("utf-8") == settings_page.page(), "run `python -m topology.docs.settings_page`"


def test_the_example_of_a_configuration_file_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "modpulse.toml"
    file.write_text(fences(text_of("configuration.md"))[0], "utf-8")
    settings = load_settings(file, environ={})
    assert (settings.application_id, settings.windows.grace) == ("shop", 30_000)
    assert settings.health.core().overrides[0].profile.min_requests == 50


@each_page
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@each_page
def test_every_command_mentioned_exists(page: Path) -> None:
    known = LEAVES | {leaf.split()[0] for leaf in LEAVES}
    unknown = [
        words
        for words in mentioned_commands(page.read_text("utf-8"))
        if words[0] not in known or (words[0] not in LEAVES and " ".join(words[:2]) not in LEAVES)
    ]
    assert unknown == []


@each_page
def test_every_environment_name_mentioned_is_a_setting(page: Path) -> None:
    found = set(re.findall(r"MODPULSE_[A-Z0-9_]*", page.read_text("utf-8")))
    settings = {*environment_names(), CONFIG_VARIABLE, TEST_ADDRESS_VARIABLE, "MODPULSE_"}
    assert {name for name in found - settings if not is_service_link(name)} == set()


@each_page
def test_every_metric_mentioned_exists(page: Path) -> None:
    found = set(re.findall(r"\bmodpulse_[a-z_]+", page.read_text("utf-8")))
    assert found <= {*METRICS, *SUPERVISOR_METRICS}


@each_page
def test_every_dotted_setting_mentioned_exists(page: Path) -> None:
    """A code span `section.key` names a setting."""
    sections = "|".join(
        {name.partition(".")[0] for name in setting_names() if "." in name} - {"health", "metrics", "log"}
    )
    spans = [span for span in CODE.findall(page.read_text("utf-8")) if re.fullmatch(rf"(?:{sections})\.[a-z_.]+", span)]
    assert set(spans) - set(setting_names()) == set()


def test_the_readme_begins_with_the_two_commands() -> None:
    assert fences((ROOT / "README.md").read_text("utf-8"))[0] == "make demo SECONDS=60\nmake test\n"


def test_every_command_is_documented() -> None:
    documented = {re.sub(r" [A-Z ]+$", "", " ".join(words)) for words in mentioned_commands(text_of("cli.md"))}
    assert documented == LEAVES


def test_every_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [
        *project["project"]["dependencies"],
        *project["dependency-groups"]["dev"],
        *project["dependency-groups"]["build"],
    ]
    names = {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in needed}
    assert set(re.findall(r"^\| `([\w-]+)` \|", text_of("dependencies.md"), re.MULTILINE)) == names


def test_every_limit_is_in_the_table() -> None:
    page = text_of("limits.md")
    names = {name for name in setting_names() if name.startswith("limits.")}
    assert names | {"dedup.max_ids_per_pane", "state.module_expiry"} <= set(CODE.findall(page))
    assert f"{Limits().max_modules:,}" in page
    assert f"{Limits().max_dedup_ids_per_pane:,}" in page


def test_the_sketch_example_is_right() -> None:
    lines = dict(line.split(None, 1) for line in fences(text_of("sketch-format.md"))[0].splitlines())
    values = np.array(lines["values"].split(), np.float64)
    store = CellStore()
    store.add_values(bins_of(values))
    cells = store.folded()
    data = encode(*cells)
    assert data == bytes.fromhex(lines["bytes"]) == base64.b64decode(lines["base64"])
    bins, counts = decode(data)
    assert (bins[bins != ZERO_BIN] - BIN_OFFSET).tolist() == [int(text) for text in lines["bins"].split()]
    assert counts[bins != ZERO_BIN].tolist() == [int(text) for text in lines["counts"].split()]
    answers = quantiles(np.zeros(1, np.int64), cells, values[:1], values[-1:])[0]
    assert answers[[0, 2]] == pytest.approx([float(lines["p50"]), float(lines["p95"])], rel=1e-9)


def test_the_state_page_names_every_key_and_field() -> None:
    page = text_of("state-format.md").replace("\\|", "|")
    table = state.__doc__ or ""
    keys = {
        key.partition("|")[0] for line in table.splitlines() if line.startswith("| `") for key in CODE.findall(line)[:2]
    }
    keys = {key for key in keys if key.islower()}
    assert keys >= {"sums", "meta", "modules", "ids", "alert", "partial", "position"}
    assert [key for key in keys if f"`{key}" not in page] == []
    for record in (state.SumsChunk, state.MetaChunk, state.ModulesChunk, state.IdSegment, state.Position):
        assert [name for name in record.__struct_fields__ if f"`{name}`" not in page] == []
    assert [name for name in state.Ledger.__struct_fields__ if name not in page] == []
    assert ActiveAlert.__name__ in page


def test_the_alerts_page_names_every_key_field_and_shipped_rule() -> None:
    page = text_of("alerts.md")
    assert [key for key in KEYS if f"| `{key}` |" not in page] == []
    for scope, fields in FIELDS.items():
        part = page.partition(f"Fields of scope `{scope}`")[2].partition("\n\n")[0]
        named = set(CODE.findall(part))
        assert {f for f in fields if not (scope == "system" and f.startswith("response_time_ms."))} <= named
        assert named - set(fields) <= {"response_time_ms.*"}
    rows = re.findall(r"^\| `(\w+)` \| (\w+), (\w+) \| `(.+)` \| (\w+), (\w+) \| (\w+) \|$", page, re.MULTILINE)
    rules = [
        (
            rule.name,
            rule.scope,
            rule.window,
            _with_threshold(rule),
            format_duration(rule.for_ms),
            format_duration(rule.keep_firing_for_ms),
            rule.severity,
        )
        for rule in shipped_rules()
    ]
    assert rows == rules


def _with_threshold(rule: Rule) -> str:
    if rule.expression == NEVER:
        return f'no_data = "{rule.no_data}"'
    return rule.expression if rule.threshold is None else rule.expression.replace("threshold", f"{rule.threshold:g}")


def test_the_example_rule_can_be_loaded() -> None:
    (rule,) = load_rules(fences(text_of("alerts.md"))[0], "docs/alerts.md", ["1m"])
    assert (rule.name, rule.for_ms, rule.value) == ("HighErrorRate", 60_000, "error_rate")


def test_the_health_page_says_the_defaults_and_a_real_reason() -> None:
    page = text_of("health.md")
    health = Settings().core().health
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(SIGNALS)
    weights = [float(weight) for weight in re.findall(r"^\| `\w+` \|.*\| (\d+) \|$", page, re.MULTILINE)]
    assert weights == [health.default.thresholds[signal].weight for signal in SIGNALS]
    profiles = Profiles(health)
    profiles.assign(["m"], 1)
    signals = np.array([[0.8], [10.0], [10.0], [np.nan], [np.nan], [0.2]])
    figures = Figures(np.array([0]), np.array([100]), np.zeros((1, 5)), signals)
    (reason,) = reasons_of(figures, judge(figures, profiles), profiles, 0)
    assert f"`{reason}`" in page


def test_every_decision_is_listed_once() -> None:
    files = sorted(file.name for file in (DOCS / "adr").glob("0*.md"))
    assert re.findall(r"^\| \[\d{4}\]\((\S+)\)", (DOCS / "adr" / "README.md").read_text("utf-8"), re.MULTILINE) == files
    for file in files:
        title = (DOCS / "adr" / file).read_text("utf-8").partition("\n")[0]
        assert title.startswith(f"# {file[:4]}: ")
