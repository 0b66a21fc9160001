"""What each kind of error means for the exit code of a command (contract 6)."""

from schemas.errors import BrokerUnavailable, ConfigError, InputRewound, ModpulseError, StateIncompatible, StateLost


def exit_code(error: ModpulseError) -> int:
    """The contract's exit code for an error."""
    if isinstance(error, ConfigError | StateIncompatible | StateLost | InputRewound):
        return 2  # somebody has to change something; starting again changes nothing
    return 3 if isinstance(error, BrokerUnavailable) else 1
