"""What each kind of error means for the exit code of a command (contract 6). docs/cli.md has this table."""

from schemas.errors import (
    BrokerUnavailable,
    ConfigError,
    InputRewound,
    ModpulseError,
    OutputFailed,
    StateIncompatible,
    StateLost,
)

FINDING, USAGE, UNREACHABLE, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143

MEANINGS = {
    0: "Ok; also where the reader of a pipe went away (as in `| head`).",
    FINDING: "A finding: `doctor` has a failure, `topics create` met a topic that cannot be used, `schema validate` and"
    " `publish --validate` a wrong line, `publish` a line too large to send, `dlq replay` a letter that cannot be sent or another"
    " replay that took over, `replay` or `demo` a ledger that does not balance. An answer or a file could not be written. For"
    " `run`: fail-stop, start it again; with `--workers`: a worker had to be killed or failed while all were told to end, or none"
    " of them ever got ready.",
    USAGE: "Usage, configuration, or state and input that do not fit it; the message names the setting, the file and line, or the"
    " way out. Do not retry.",
    UNREACHABLE: "The broker cannot be reached.",
    INTERRUPTED: "Ctrl-C before the command was done; `demo` needs two. `run`, `top` and `generate` end with 0.",
    TERMINATED: "SIGTERM where the command has no orderly end of its own, or before `run` has begun.",
}


def exit_code(error: ModpulseError) -> int:
    """The contract's exit code for an error."""
    if isinstance(error, ConfigError | StateIncompatible | StateLost | InputRewound):
        return USAGE  # somebody has to change something; starting again changes nothing
    if isinstance(error, OutputFailed) and error.reader_gone:
        return 0
    return UNREACHABLE if isinstance(error, BrokerUnavailable) else FINDING
