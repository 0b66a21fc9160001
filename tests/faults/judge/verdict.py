"""Compares what came out with the truth, and counts every difference under its name."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.faults.crew import Application
from tests.faults.judge.oracle import PERCENTILES, Figures, Key, Letter, Place, Truth, Windows
from tests.faults.judge.reader import Record, read
from tests.truth import partition_of

Json = dict[str, Any]
ERRORS = b"modpulse.errors."
PERCENTILE_ERROR = 0.01 + 1e-9
SHOWN = 12


@dataclass(slots=True)
class Findings:
    """What is wrong, 0 everywhere when nothing is.

    Attributes:
        lost, doubled: events missing from or too many in the smallest windows' newest records; letters missing or repeated;
            records whose revision is skipped or repeated.
        missing_finals, conflicting_finals: windows without a final record, or with more than one.
        wrong: records whose figures are not the true ones.
        ledger: partitions whose ledger does not balance in every position, or is not the truth in the last.
        alerts_lost, alerts_doubled: transitions.
        notes: the first few differences in words.
    """

    lost: int = 0
    doubled: int = 0
    missing_finals: int = 0
    conflicting_finals: int = 0
    wrong: int = 0
    ledger: int = 0
    alerts_lost: int = 0
    alerts_doubled: int = 0
    windows: int = 0
    finals: int = 0
    transitions: int = 0
    worst_percentile_error: float = 0.0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a difference in words, if there are not too many already."""
        if len(self.notes) < SHOWN:
            self.notes.append(text)

    @property
    def clean(self) -> bool:
        return not any(
            (
                *(self.lost, self.doubled, self.missing_finals, self.conflicting_finals, self.wrong, self.ledger),
                *(self.alerts_lost, self.alerts_doubled),
            )
        )


def judge(application: Application, true: Truth, windows: Windows, carried: list[Record], *, closed: bool) -> Findings:
    """Read every output and compare it with the truth; `carried` is what ever stood in the repartition topic."""
    findings = Findings()
    servers = application.servers
    _metrics(findings, true, windows, [_json(record) for record in read(servers, application.topic("module_metrics"))])
    _letters(findings, "late", true.late, read(servers, application.topic("late")))
    _letters(findings, "dead", true.dead, read(servers, application.topic("dlq")))
    _ledgers(findings, true, read(servers, application.changelog))
    forwarded(findings, true, carried)
    if true.ordered:
        _alerts(findings, true, [_json(record) for record in read(servers, application.topic("module_alerts"))])
    if closed:
        _system(findings, true, [_json(record) for record in read(servers, application.topic("system_metrics"))])
    return findings


def _json(record: Record) -> Json:
    return dict(orjson.loads(record.value))


def _revisions(findings: Findings, name: str, key: object, said: int, before: int) -> None:
    if said <= before:
        findings.doubled += 1
        findings.note(f"{name} {key}: revision {said} after {before}")
    elif said > before + 1:
        findings.lost += 1
        findings.note(f"{name} {key}: revision {said} after {before}")


def _metrics(findings: Findings, true: Truth, windows: Windows, records: Iterable[Json]) -> None:
    newest: dict[Key, Json] = {}
    finals: dict[Key, Json] = {}
    for record in records:
        key = record["module_id"], record["window"], record["window_start"]
        _revisions(findings, "window", key, record["revision"], newest[key]["revision"] if key in newest else 0)
        if key not in newest or record["revision"] >= newest[key]["revision"]:
            newest[key] = record
        if record["status"] == "final":
            if key in finals:
                findings.conflicting_finals += 1
                findings.note(f"{key}: two finals")
            finals[key] = record
    base = next(name for name, size in windows.sizes.items() if size == windows.base)
    for key, figures in true.last.items():
        record = newest.pop(key, {})
        said = record.get("total_requests", 0)
        if key[1] == base:
            findings.lost += max(figures.n - said, 0)
            findings.doubled += max(said - figures.n, 0)
        findings.windows += 1
        _figures(findings, f"newest record of {key}", record, figures)
    findings.wrong += len(newest)
    for key in list(newest)[:3]:
        findings.note(f"{key}: a record without events")
    for key, figures in true.finals.items():
        findings.finals += 1
        if key in finals:
            _figures(findings, f"final of {key}", finals[key], figures)
        else:
            findings.missing_finals += 1
            findings.note(f"{key}: no final")
    for key in finals.keys() - true.finals.keys() if true.ordered else ():
        findings.wrong += 1
        findings.note(f"{key}: a final that must not be")


def _figures(findings: Findings, name: str, record: Json, true: Figures) -> None:
    wrong = "no record" if not record else _difference(findings, record, true)
    if wrong is not None:
        findings.wrong += 1
        findings.note(f"{name}: {wrong}")


def _difference(findings: Findings, record: Json, true: Figures) -> str | None:
    times = record["response_time_ms"]
    exact = {
        "total_requests": (record["total_requests"], true.n),
        "failed_requests": (record["failed_requests"], true.failed),
        "min": (times["min"], float(true.values[0])),
        "max": (times["max"], float(true.values[-1])),
    }
    for name, (said, value) in exact.items():
        if said != value:
            return f"{name} is {said}, truly {value}"
    if not math.isclose(times["avg"], true.mean, rel_tol=1e-9):
        return f"avg is {times['avg']}, truly {true.mean}"
    for name, rank in PERCENTILES.items():
        value = float(true.values[rank * (true.n - 1) // 1000])
        error = abs(times[name] - value) / value if value else float(times[name] != 0)
        findings.worst_percentile_error = max(findings.worst_percentile_error, error)
        if error > PERCENTILE_ERROR:
            return f"{name} is {times[name]}, truly {value}"
    return None


def _letters(findings: Findings, name: str, wanted: Mapping[Place, Letter], records: Iterable[Record]) -> None:
    found: Counter[Place] = Counter()
    for record in records:
        said = dict(record.headers)
        place = _text(said, "topic"), int(_text(said, "partition")), int(_text(said, "offset"))
        found[place] += 1
        if place in wanted and (difference := _changed(wanted[place], record)) is not None:
            findings.wrong += 1
            findings.note(f"{name} letter of {place}: {difference}")
    missing, surplus = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    repeated = sum(found[place] - 1 for place in found)
    findings.lost += len(missing)
    findings.wrong += len(surplus)
    findings.doubled += repeated
    if missing or surplus or repeated:
        findings.note(f"{name} letters: {len(missing)} missing, {len(surplus)} that must not be, {repeated} repeated")


def forwarded(findings: Findings, true: Truth, records: list[Record]) -> None:
    """Every event that had to be forwarded stands once where its module is at home, under its module as key."""
    found = Counter(record.value for record in records)
    missing, surplus = true.forwarded - found, found - true.forwarded
    findings.lost += missing.total()
    findings.doubled += surplus.total()
    if missing or surplus:
        findings.note(
            f"forwarded: {missing.total()} missing, {surplus.total()} too many, such as {[*missing, *surplus][0]!r}"
        )
    for record in records:
        module = _json(record)["module_id"]
        if record.key != module.encode() or record.partition != partition_of(module, true.partitions):
            findings.wrong += 1
            findings.note(f"forwarded: {module} as {record.key!r} to partition {record.partition}")


def _text(headers: Mapping[bytes, bytes | None], name: str) -> str:
    return (headers[ERRORS + name.encode()] or b"").decode()


def _first_key(record: Record) -> tuple[bytes, bool]:
    """The key a record came in with, and whether it had none: the worker notes it when it forwards a record under another."""
    said = dict(record.headers)
    if b"modpulse.forwarded.from" not in said or b"modpulse.forwarded.key" not in said:
        return record.key, record.nulls[0]
    key = said[b"modpulse.forwarded.key"]
    return key or b"", key is None


def _changed(true: Letter, letter: Record) -> str | None:
    """What differs from the record as it came in: key, value and headers byte for byte, then the reason."""
    record = true.record
    key, no_key = _first_key(record)
    if (letter.key, letter.value, letter.nulls) != (key, record.value, (no_key, record.nulls[1])):
        return f"not byte for byte: {letter.value[:60]!r} for {record.value[:60]!r}"
    own = len(record.headers)
    if letter.headers[:own] != record.headers:
        return f"its headers became {letter.headers[:own][:4]}, truly {record.headers[:4]}"
    if (said := _text(dict(letter.headers[own:]), "reason")) != true.reason:
        return f"reason {said}, truly {true.reason}, of {record.value[:60]!r}"
    return None


def _ledgers(findings: Findings, true: Truth, changelog: Iterable[Record]) -> None:
    last: dict[tuple[str, int], list[int]] = {}
    wrong: set[int] = set()
    for record in changelog:
        if record.key != b"position":
            continue
        for topic, columns in orjson.loads(record.value)["ledger"].items():
            last[topic, record.partition] = columns
            if columns[0] != sum(columns[1:]):
                wrong.add(record.partition)
                findings.note(f"partition {record.partition}: a ledger that does not balance, {columns}")
    for (topic, partition), columns in true.ledgers.items():
        said = last.get((topic, partition), [0] * 7)
        if said != columns:
            wrong.add(partition)
            findings.note(f"{topic}/{partition}: ledger {said}, truly {columns}")
            findings.doubled += max(said[0] - columns[0], 0)
    findings.ledger += len(wrong)


def _alerts(findings: Findings, true: Truth, records: Iterable[Json]) -> None:
    found: dict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    revisions: dict[tuple[str, str], int] = {}
    for record in records:
        key = record["alertname"], record["module_id"]
        _revisions(findings, "alert", key, record["revision"], revisions.get(key, 0))
        revisions[key] = record["revision"]
        found[key].append((record["status"], record["starts_at"]))
    for key in true.alerts.keys() | found.keys():
        wanted, said = true.alerts.get(key, []), found.get(key, [])
        findings.transitions += len(wanted)
        missing, surplus = Counter(wanted) - Counter(said), Counter(said) - Counter(wanted)
        findings.alerts_lost += missing.total()
        findings.alerts_doubled += surplus.total()
        if missing or surplus:
            findings.note(f"alert {key}: {list(missing)[:3]} missing, {list(surplus)[:3]} too many")
        elif wanted != said:
            findings.wrong += 1
            findings.note(f"alert {key}: transitions in another order")


def _system(findings: Findings, true: Truth, records: Iterable[Json]) -> None:
    newest: dict[tuple[str, int], Json] = {}
    finals: Counter[tuple[str, int]] = Counter()
    for record in records:
        key = record["window"], record["window_start"]
        _revisions(findings, "system", key, record["revision"], newest[key]["revision"] if key in newest else 0)
        newest[key] = record
        finals[key] += record["status"] == "final"
    for key, count in finals.items():
        if count > 1:
            findings.conflicting_finals += count - 1
            findings.note(f"system {key}: {count} finals")
    for key, (n, failed, low, high) in true.system.items():
        record = newest.pop(key, {"response_time_ms": {}})
        times = record["response_time_ms"] or {}
        said = record.get("total_requests"), record.get("failed_requests"), times.get("min"), times.get("max")
        if said != (n, failed, low, high):
            findings.wrong += 1
            findings.note(f"system {key}: {said}, truly {(n, failed, low, high)}")
    # A window in which nothing happened has a record too, which says so.
    wrong = [key for key, record in newest.items() if record["total_requests"]]
    findings.wrong += len(wrong)
    for key in wrong[:3]:
        findings.note(f"system {key}: a record without events")
