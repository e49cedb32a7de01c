"""The application that all commands belong to, and how it ends: our errors become a line each and an exit status."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from qingquan.errors import ConfigurationError, NotFound, QingquanError, WrongUse

__all__ = ["PROBLEMS", "WRONG", "app", "group"]

PROBLEMS, WRONG = 1, 2


class _Application(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            status = _told(error.faults, WRONG)
        except WrongUse as error:
            status = _told([str(error)], WRONG)
        except NotFound as error:
            status = _told([f"没有 no such: {error}"], PROBLEMS)
        except QingquanError as error:
            status = _told([str(error)], PROBLEMS)
        except BrokenPipeError:
            # Whoever read our output, `head` say, has enough.
            sys.stdout = None
            status = PROBLEMS
        except OSError as error:
            # Files named on the command line; services turn errors of theirs into ours.
            where = f"{error.filename}: " if error.filename else ""
            status = _told([f"{where}{error.strerror or error}"], PROBLEMS)
        raise typer.Exit(status)


def _told(faults: list[str], status: int) -> int:
    print("\n".join(faults), file=sys.stderr)
    return status


app = typer.Typer(
    name="qingquan", cls=_Application, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="清泉：农村供水水质与消毒监测 · water-quality and disinfection monitoring for rural works",
)  # fmt: skip


def group(name: str, text: str, **settings: Any) -> typer.Typer:
    """A group of commands, `qingquan NAME …`."""
    made = typer.Typer(help=text, **{"no_args_is_help": True, **settings})
    app.add_typer(made, name=name)
    return made
