"""How a module is judged: the `health` section and its exceptions by glob.

The rules are the core's (`pipeline.health`); here are only the numbers, checked so that a profile always makes sense:
weights within 100 points, the critical side beyond the degraded one.
"""

import json
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from pipeline.config import SIGNALS, HealthConfig, HealthOverride, HealthProfile, Signal, Threshold
from topology.settings.units import Count, CountOrZero, Points

_SCORES = ("min_requests", "degraded_score", "critical_score", "worsen_windows", "improve_windows")
_MAX_POINTS = 100.0


def _off(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("is not a number; write a number, or off")
    return None if isinstance(value, str) and value.strip().lower() in {"off", "none", ""} else value


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON ({error}); write a list of objects, or use [[health.overrides]]") from error


def _globs(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


_Glob = Annotated[str, Field(min_length=1)]
Bound = Annotated[float | None, BeforeValidator(_off)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class ThresholdSettings(_Section):
    """One signal of the default profile; `off` switches a bound off."""

    degraded: Bound
    critical: Bound
    weight: Points


class ThresholdChange(_Section):
    """What an override changes of one signal; a key that is not given keeps the default profile's value."""

    degraded: Bound = None
    critical: Bound = None
    weight: Points = 0.0


class HealthChange(_Section):
    """One `[[health.overrides]]`: a glob over module ids and any subset of the profile's keys."""

    glob: Annotated[str, Field(min_length=1)]
    min_requests: CountOrZero = 0
    degraded_score: Points = 0.0
    critical_score: Points = 0.0
    worsen_windows: Count = 1
    improve_windows: Count = 1
    success_rate: ThresholdChange = ThresholdChange()
    p95: ThresholdChange = ThresholdChange()
    p99: ThresholdChange = ThresholdChange()
    cpu: ThresholdChange = ThresholdChange()
    memory: ThresholdChange = ThresholdChange()
    error_burst: ThresholdChange = ThresholdChange()

    def applied_to(self, base: HealthProfile) -> HealthProfile:
        """The complete profile: the base with the keys that were given replaced."""
        numbers = {name: getattr(self if name in self.model_fields_set else base, name) for name in _SCORES}
        thresholds = {name: self._threshold(name, base.thresholds[name]) for name in SIGNALS}
        return HealthProfile(thresholds=thresholds, **numbers)

    def _threshold(self, name: Signal, base: Threshold) -> Threshold:
        change: ThresholdChange = getattr(self, name)
        keys = {key: getattr(change if key in change.model_fields_set else base, key) for key in _KEYS}
        return Threshold(**keys)


_KEYS = ("degraded", "critical", "weight")


class HealthSettings(_Section):
    """The profile of every module that no override matches. Rates are ratios, times ms, CPU percent, memory bytes."""

    # With fewer requests one failure alone moves the rate by more than 10 points.
    min_requests: CountOrZero = 10
    # One signal lost entirely (10 to 20 points) makes a module degraded, not critical ...
    degraded_score: Points = 80.0
    # ... and half of all points lost makes it critical.
    critical_score: Points = 50.0
    # Bad news at once: the window itself already averages 30 s.
    worsen_windows: Count = 1
    # Good news after two windows, so that a module on the edge does not flap.
    improve_windows: Count = 2
    # One failure in 20 is felt by users, one in 10 is an outage for many; the signal that matters most weighs most.
    success_rate: ThresholdSettings = ThresholdSettings(degraded=0.95, critical=0.90, weight=40.0)
    # 1 s interrupts a train of thought, 5 s loses most people.
    p95: ThresholdSettings = ThresholdSettings(degraded=1_000.0, critical=5_000.0, weight=15.0)
    # The tail may be two and a half times worse than p95 before it counts.
    p99: ThresholdSettings = ThresholdSettings(degraded=2_500.0, critical=10_000.0, weight=15.0)
    # Above 80 % queues grow, above 95 % nothing is left for a burst.
    cpu: ThresholdSettings = ThresholdSettings(degraded=80.0, critical=95.0, weight=10.0)
    # 8 and 16 GiB: common container limits; set yours by override.
    memory: ThresholdSettings = ThresholdSettings(degraded=float(8 << 30), critical=float(16 << 30), weight=10.0)
    # A quarter of a window's requests failing is a burst, whatever the rate was before.
    error_burst: ThresholdSettings = ThresholdSettings(degraded=0.25, critical=0.50, weight=10.0)
    # Globs over module ids, such as `batch-*`: taken out on purpose, or no services; their silence raises no alert.
    expected_silence: Annotated[tuple[_Glob, ...], BeforeValidator(_globs)] = ()
    # Nobody is special unless said so; the last match wins.
    overrides: Annotated[tuple[HealthChange, ...], BeforeValidator(_from_json)] = ()

    @field_validator(*SIGNALS, mode="before")
    @classmethod
    def _the_rest_stays(cls, value: object, info: ValidationInfo) -> object:
        """A signal of which only some keys are given keeps the defaults of the others."""
        if isinstance(value, dict) and info.field_name is not None:
            return {**cls.model_fields[info.field_name].default.model_dump(), **value}
        return value

    @model_validator(mode="after")
    def _profiles_make_sense(self) -> Self:
        problems = _problems("health", self.profile())
        for change in self.overrides:
            problems += _problems(f'health.overrides glob "{change.glob}"', change.applied_to(self.profile()))
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def profile(self) -> HealthProfile:
        """The default profile as the core takes it."""
        thresholds = {name: Threshold(**getattr(self, name).model_dump()) for name in SIGNALS}
        return HealthProfile(thresholds=thresholds, **{name: getattr(self, name) for name in _SCORES})

    def core(self) -> HealthConfig:
        """The default profile and the complete profile of each override."""
        base = self.profile()
        return HealthConfig(
            default=base,
            overrides=tuple(HealthOverride(change.glob, change.applied_to(base)) for change in self.overrides),
            expected_silence=self.expected_silence,
        )


def _problems(where: str, profile: HealthProfile) -> list[str]:
    found = []
    total = sum(threshold.weight for threshold in profile.thresholds.values())
    if total > _MAX_POINTS:
        found.append(f"{where}: the weights add up to {total:g}; lower some so that they are at most {_MAX_POINTS:g}")
    if total <= 0:
        found.append(f"{where}: all weights are 0, so there is nothing to score by; give at least one a weight")
    if profile.critical_score > profile.degraded_score:
        found.append(
            f"{where}.critical_score = {profile.critical_score:g} is above degraded_score ="
            f" {profile.degraded_score:g}; lower it"
        )
    for name, threshold in profile.thresholds.items():
        if threshold.degraded is None or threshold.critical is None:
            continue
        beyond = threshold.critical <= threshold.degraded
        if name != "success_rate":
            beyond = threshold.critical >= threshold.degraded
        if not beyond:
            side = "at most" if name == "success_rate" else "at least"
            found.append(
                f"{where}.{name}.critical = {threshold.critical:g} comes before degraded = {threshold.degraded:g};"
                f" make it {side} that"
            )
    return found
