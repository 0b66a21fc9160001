"""What follows from settings, and what the shipped ones must keep to."""

import pytest

from pipeline.config import SIGNALS, HealthConfig, WindowConfig
from pipeline.windows.stream_time import StreamTime
from pipeline.windows.tree import WindowTree

CONFIGS = [
    WindowConfig(),
    WindowConfig((("1s", 1_000), ("7s", 7_000)), 0, 0),
    WindowConfig((("2s", 2_000), ("4s", 4_000), ("6s", 6_000)), 1_500, 3_700),
    WindowConfig((("1s", 1_000), ("1m", 60_000)), 0, 59_999),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_no_stream_has_more_windows_open_than_it_says_and_it_does_not_exaggerate(config: WindowConfig) -> None:
    """Events at every base window that is not sealed; stream time is at all the edges."""
    begin = 10 * config.sizes[-1][1]
    most = 0
    for after in sorted({edge + step for _, size in config.sizes for edge in (0, size) for step in (-1, 0, 1)}):
        task = StreamTime(config, begin + after)
        tree = WindowTree([size for _, size in config.sizes])
        for time in range(task.sealed_ms, begin + after + 1, config.base_ms):
            tree.touch(time, 1)
        most = max(most, len(tree))
    assert most <= config.most_open_windows <= most + len(config.sizes)


def test_the_base_window_that_is_shipped_divides_every_other_and_sizes_rise_and_have_names_of_their_own() -> None:
    config = WindowConfig()
    sizes = [size for _, size in config.sizes]
    assert sizes == sorted(set(sizes))
    assert all(size % config.base_ms == 0 for size in sizes)
    assert config.base_ms == sizes[0]
    units = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
    assert sizes == [int(name[:-1]) * units[name[-1]] for name, _ in config.sizes]


def test_the_thresholds_that_are_shipped_are_of_every_signal_and_their_points_are_a_hundred() -> None:
    profile = HealthConfig().default
    assert tuple(profile.thresholds) == SIGNALS
    assert sum(threshold.weight for threshold in profile.thresholds.values()) == 100.0
    assert profile.critical_score < profile.degraded_score
    for signal, threshold in profile.thresholds.items():
        assert threshold.degraded is not None
        assert threshold.critical is not None
        assert (threshold.critical < threshold.degraded) == (signal == "success_rate"), signal


def test_profiles_do_not_share_their_thresholds() -> None:
    one, other = HealthConfig(), HealthConfig()
    one.default.thresholds.clear()
    assert len(other.default.thresholds) == len(SIGNALS)
