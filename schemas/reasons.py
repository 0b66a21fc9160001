"""Why a record of the input goes to the dead letters or to the late topic."""

REASONS = ("undecodable", "invalid", "future_timestamp", "too_large", "late")
