"""What a worker of a supervisor is started with: the same options and settings, less what is the supervisor's alone."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from topology.cli import app as product
from topology.settings import Settings, load_settings
from topology.supervisor.command import child_command, child_settings, given_options


def written(*arguments: str) -> tuple[list[str], list[str]]:
    """The options of a made-up program and its command, given and written out again."""
    app, found = typer.Typer(), []

    @app.callback()
    def root(
        ctx: typer.Context,
        config: Annotated[Path | None, typer.Option()] = None,
        assignments: Annotated[list[str] | None, typer.Option("--set")] = None,
    ) -> None: ...

    @app.command()
    def run(
        ctx: typer.Context,
        accept: Annotated[bool, typer.Option("--accept")] = False,
        probe: Annotated[bool, typer.Option("--probe/--no-probe")] = True,
        number: Annotated[int, typer.Option("-n", "--number")] = 1,
        workers: Annotated[str | None, typer.Option()] = None,
    ) -> None:
        found.append((given_options(ctx.find_root()), given_options(ctx, without={"workers"})))  # type: ignore[arg-type]

    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return found[0]


def test_options_are_written_out_again_as_they_were_given() -> None:
    assert written("run") == ([], [])
    assert written("--config", "run", "--set", "a.b=c d", "--set", "x=--y", "run", "--workers", "4") == (
        ["--config", "run", "--set", "a.b=c d", "--set", "x=--y"],
        [],
    )
    before, after = written("--set=x=1", "run", "--accept", "--no-probe", "--workers=auto", "--number", "7")
    assert (before, after) == (["--set", "x=1"], ["--accept", "--no-probe", "-n", "7"])


def test_options_written_out_mean_the_same_again() -> None:
    before, after = written("--config=c.toml", "--set", "x=1", "run", "--number", "7", "--accept", "--workers", "2")
    assert written(*before, "run", *after) == (before, after)


def test_every_option_of_run_but_workers_can_be_passed_on() -> None:
    """An argument without a dash, or an option that takes several values, would need its own way of being written."""
    command = typer.main.get_command(product)
    for level in (command, command.commands["run"]):  # type: ignore[attr-defined]
        assert all(parameter.param_type_name == "option" and parameter.nargs == 1 for parameter in level.params)


@pytest.mark.parametrize("number", [0, 11])
def test_each_worker_has_probes_of_its_own_and_a_static_member_a_name_of_its_own(number: int) -> None:
    settings = load_settings(environ={"MODPULSE_KAFKA__GROUP_INSTANCE_ID": "host-7"})
    assert child_settings(settings, number, to_terminal=False) == {
        "metrics.bind": "127.0.0.1:0",
        "kafka.group_instance_id": f"host-7-{number}",
    }
    assert "kafka.group_instance_id" not in child_settings(Settings(), number, to_terminal=False)


def test_a_terminal_is_seen_through_the_pipe_unless_a_format_was_asked_for() -> None:
    assert child_settings(Settings(), 0, to_terminal=True)["log.format"] == "console"
    asked = load_settings(environ={"MODPULSE_LOG__FORMAT": "json"})
    assert "log.format" not in child_settings(asked, 0, to_terminal=True)


def test_what_a_worker_is_told_differently_comes_after_what_the_user_said() -> None:
    command = child_command(
        ["--set", "metrics.bind=0.0.0.0:9464"], {"metrics.bind": "127.0.0.1:0"}, ["--accept-state-loss"]
    )
    at = command.index("--set")
    assert command[at:] == [
        *("--set", "metrics.bind=0.0.0.0:9464", "--set", "metrics.bind=127.0.0.1:0"),
        *("run", "--accept-state-loss"),
    ]
