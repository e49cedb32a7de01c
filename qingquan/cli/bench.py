"""Measurements on this machine."""

from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.options import AsJson, ConfigFile, settings
from qingquan.cli.progress import Progress

__all__: list[str] = []

bench = group("bench", "测量 · measurements on this machine", invoke_without_command=True, no_args_is_help=False)


@bench.callback()
def bench_all(context: typer.Context, as_json: AsJson = False) -> None:
    """测量 · Measurements on this machine; without a name the short set, as `make bench` runs it."""
    if context.invoked_subcommand is None:
        from qingquan.services.bench.short import run_short

        run_short(as_json)


@bench.command("truth")
def bench_truth(
    works: Annotated[int, typer.Option("--works", min=1)] = 660,
    hours: Annotated[float, typer.Option("--hours", min=0.1)] = 24.0,
    seed: Annotated[int, typer.Option("--seed")] = 1,
    scenario: Annotated[str, typer.Option("--scenario", help="as for simulate")] = "all-faults-24h",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """注入故障与判定结果对照 · A simulated day with every kind of fault, against what the engine found."""
    from qingquan.services.bench.truth import run_truth, table_text

    config = settings(config_file)
    with Progress[float](lambda share: f"{share:.0%}") as progress:
        table = run_truth(config, works, hours, seed, scenario, progress)
    print(table.to_json() if as_json else table_text(table))
    raise typer.Exit(PROBLEMS if table.missed else 0)
