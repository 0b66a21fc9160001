"""`modpulse demo`: all of it at once, with traffic."""

from typing import Annotated

import typer

from topology.commands.context import JsonFlag, print_json, print_table


def register(app: typer.Typer) -> None:
    """Add the `demo` command."""
    app.command()(demo)


def demo(
    seconds: Annotated[int | None, typer.Option(min=1, help="Of traffic (30 or more); default: until Ctrl-C.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Events a second.")] = 5_000.0,
    modules: Annotated[int, typer.Option(min=5, help="How many modules.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of the traffic.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Start Kafka, a worker and synthetic traffic with an error burst and a latency shift, and show it live.

    At the end everything is stopped and accounted for. Exit code 0 only if the ledger balances to the event, and an alert
    fired and resolved. It has a configuration of its own; of yours only MODPULSE_KAFKA__... counts.
    """
    import logging

    from topology.demo.demo import run_demo
    from topology.demo.scenario import Scenario

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        outcome = run_demo(Scenario(seconds, rate, modules, seed))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        print_json(outcome.summary())
    else:
        print_table(outcome.rows())
    if outcome.findings():
        raise typer.Exit(1)
