"""Hypothesis' profiles: the same examples in every run of the tests, others in every run of `make fuzz`."""

import os

from hypothesis import HealthCheck, settings

from tests.fuzz import PROFILE, SCALE_VARIABLE

SAME = "modpulse"
# Of a profile; what a test asks for is in proportion to it.
EXAMPLES = 100
# `make unit` tries fewer, `make test` all.
SHARE_VARIABLE = "MODPULSE_TEST_EXAMPLES"

# No stopwatch: a busy machine is not a bug.
settings.register_profile(
    SAME, derandomize=True, deadline=None, max_examples=int(os.environ.get(SHARE_VARIABLE, EXAMPLES))
)
settings.register_profile(
    PROFILE,
    derandomize=False,
    deadline=None,
    max_examples=EXAMPLES * int(os.environ.get(SCALE_VARIABLE, "1")),
    print_blob=True,
    # What failed before is not tried first: a seed alone must repeat its run.
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def in_proportion(examples: int) -> int:
    """How many examples to try where an ordinary run tries so many."""
    assert settings.default is not None
    return max(1, examples * settings.default.max_examples // EXAMPLES)
