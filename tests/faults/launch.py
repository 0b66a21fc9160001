"""`python -m tests.faults.launch [--clock FILE] [--mutant NAME] run`: the worker with a clock that steps, or with a planted bug.

The product knows nothing of this. Whatever begins the program anew (`topology.runtime.fail_stop`) comes this way again.
"""

import sys
from pathlib import Path


def main() -> None:
    """Prepare the process, then run the product's command line with the rest of the arguments."""
    arguments = sys.argv[1:]
    while arguments[0] in ("--clock", "--mutant"):
        option, value, *arguments = arguments
        if option == "--clock":
            # First of all: modules may keep the functions of `time` under names of their own.
            from tests.faults.strikes.clock import let_it_step

            let_it_step(Path(value))
        else:
            from tests.faults.planted.core import MUTANTS
            from tests.faults.planted.planting import say_planted

            MUTANTS[value]()
            say_planted(value)
    from topology.cli import main as product

    sys.argv[1:] = arguments
    product()


if __name__ == "__main__":
    main()
