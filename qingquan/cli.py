"""Command line `qingquan`; each command imports what it needs when it runs, so that `--help` stays quick."""

import sys

import typer

__all__ = ["app", "main"]

app = typer.Typer(name="qingquan", no_args_is_help=True, add_completion=False)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    sys.exit(main())
