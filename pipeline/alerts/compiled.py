"""A rule made ready to run: its condition, its number and its annotations, with failures counted instead of raised."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.alerts.expression import Expression
from pipeline.alerts.fields import Record
from pipeline.alerts.rules import Rule
from pipeline.alerts.syntax import ExpressionError
from pipeline.alerts.template import Template


@dataclass(slots=True)
class AlertCounters:
    """What an alert machine did since it was made; for the process's metrics, not part of the state.

    Attributes:
        evaluations: conditions evaluated.
        failures: by (rule name, reason): `null_field` is a module that does not send a gauge, `failed` a rule to mend.
        last_failure: by rule name, the newest message of reason `failed`.
        refused: times a new alert was not raised because the limit of active alerts was reached.
    """

    evaluations: int = 0
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_failure: dict[str, str] = field(default_factory=dict)
    refused: int = 0


class CompiledRule:
    """One rule with its programs. Evaluating never raises for a record's sake."""

    __slots__ = ("_counters", "_value", "annotations", "condition", "rule")

    def __init__(self, rule: Rule, counters: AlertCounters) -> None:
        """Compiles a rule that `load_rules` has checked.

        Raises:
            ExpressionError: the rule was made by hand and does not compile.
        """
        has_threshold = rule.threshold is not None
        self.rule = rule
        self.condition = Expression(rule.expression, rule.scope, rule.threshold)
        self.annotations = {k: Template(t, rule.scope, has_threshold) for k, t in sorted(rule.annotations.items())}
        self._value = None if rule.value is None else Expression(rule.value, rule.scope, rule.threshold)
        self._counters = counters

    def holds(self, record: Record) -> bool | None:
        """Whether the condition is true of the record; None, and counted, if it cannot be said."""
        self._counters.evaluations += 1
        try:
            return self.condition.evaluate(record)
        except ExpressionError as error:
            self._count(error)
            return None

    def value(self, record: Record) -> float | None:
        """The number to show; None, and counted, if there is none."""
        if self._value is None:
            return None
        try:
            return self._value.number(record)
        except ExpressionError as error:
            self._count(error)
            return None

    def _count(self, error: ExpressionError) -> None:
        self._counters.failures[self.rule.name, error.reason] += 1
        if error.reason == "failed":
            self._counters.last_failure[self.rule.name] = str(error)
