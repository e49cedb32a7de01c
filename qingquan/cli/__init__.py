"""Command line `qingquan`: one module per group of commands, each command a few lines over a service.

Commands import what they need when they run, so that `--help` stays quick. Exit status: 0 done, 1 found problems, 2 wrong use
or refused configuration.
"""

# The modules enter their commands when they are imported, in the order in which `--help` lists them.
from qingquan.cli import system, operations, store, recorded, register, engine, alerts, compliance  # noqa: F401, I001
from qingquan.cli import edges, outside, bench  # noqa: F401
from qingquan.cli.application import app

__all__ = ["app", "main"]


def main() -> None:
    """Entry point."""
    app()
