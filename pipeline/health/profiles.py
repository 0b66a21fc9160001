"""Which profile judges which module, as columns by module code."""

from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from pipeline.arrays import F8, I8
from pipeline.config import SIGNALS, HealthConfig, HealthProfile
from pipeline.health.hysteresis import MAX_STREAK


class Profiles:
    """Thresholds by module code; grows with the registry.

    Attributes:
        degraded, critical, weights: shape (6, capacity), in the order of `config.SIGNALS`; NaN = switched off.
            Weights are scaled to add up to 100.
        min_requests, worsen, improve: shape (capacity,).
        degraded_score, critical_score: shape (capacity,).
        expected_silence: shape (capacity,), whose silence is no news.
    """

    def __init__(self, config: HealthConfig) -> None:
        self._config = config
        self._resize(0)

    def _resize(self, capacity: int) -> None:
        signals = len(SIGNALS)
        self.degraded: F8 = np.full((signals, capacity), np.nan)
        self.critical: F8 = np.full((signals, capacity), np.nan)
        self.weights: F8 = np.zeros((signals, capacity))
        self.min_requests: I8 = np.zeros(capacity, np.int64)
        self.worsen: I8 = np.ones(capacity, np.int64)
        self.improve: I8 = np.ones(capacity, np.int64)
        self.degraded_score: F8 = np.zeros(capacity)
        self.critical_score: F8 = np.zeros(capacity)
        self.expected_silence: NDArray[np.bool_] = np.zeros(capacity, np.bool_)

    def assign(self, ids: list[str | None], capacity: int) -> None:
        """Look up the profile of every module; call after the registry changed."""
        self._resize(capacity)
        self._set(slice(None), self._config.default)
        for code, module_id in enumerate(ids):
            profile = self.profile_of(module_id) if module_id is not None and self._config.overrides else None
            if profile is not None:
                self._set(code, profile)
            if module_id is not None and self._config.expected_silence:
                self.expected_silence[code] = any(fnmatchcase(module_id, g) for g in self._config.expected_silence)

    def profile_of(self, module_id: str) -> HealthProfile | None:
        """The last override that matches, or None."""
        matches = (o.profile for o in reversed(self._config.overrides) if fnmatchcase(module_id, o.glob))
        return next(matches, None)

    def _set(self, where: int | slice, profile: HealthProfile) -> None:
        total = sum(profile.thresholds[signal].weight for signal in SIGNALS)
        for row, signal in enumerate(SIGNALS):
            threshold = profile.thresholds[signal]
            on = threshold.degraded is not None and threshold.critical is not None
            self.degraded[row, where] = threshold.degraded if on else np.nan
            self.critical[row, where] = threshold.critical if on else np.nan
            self.weights[row, where] = threshold.weight * 100.0 / total
        self.min_requests[where] = profile.min_requests
        self.worsen[where] = min(profile.worsen_windows, MAX_STREAK)
        self.improve[where] = min(profile.improve_windows, MAX_STREAK)
        self.degraded_score[where] = profile.degraded_score
        self.critical_score[where] = profile.critical_score
