"""Backup of the embedded default while it runs, and the way back."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, app
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, settings
from qingquan.config import Config

__all__ = ["say"]


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(help="new folder for the copy")],
    as_json: AsJson = False,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """备份 · Copy everything the embedded default keeps, while it runs."""
    from qingquan.services.backup import back_up

    made = back_up(settings(config_file, data_dir=data), target, say)
    _report(asdict(made), as_json)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(help="folder of a backup")],
    as_drill: Annotated[
        bool, typer.Option("--drill", help="into a temporary folder (TMPDIR), compared and removed again")
    ] = False,
    as_json: AsJson = False,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """恢复 · Bring a backup into a new data folder (--data) and compare its figures, or only try it (--drill)."""
    from qingquan.services.backup import restore as bring_back

    if as_drill:
        _drilled(source, settings(config_file, data_dir=data), as_json)
        return
    made = bring_back(source, settings(config_file, data_dir=data), say)
    _report(asdict(made), as_json)


def _drilled(source: Path, config: Config, as_json: bool) -> None:
    from qingquan.cli.store import document, lines
    from qingquan.services.restore_drill import drill

    found = drill(source, config, say)
    if as_json:
        restored = asdict(found.restored)
        restored.pop("digests")
        print(
            json.dumps(
                {"took_s": round(found.took_s, 1), "restored": restored, **document(found.verified)}, ensure_ascii=False
            )
        )
    else:
        _report(asdict(found.restored), as_json)
        print("\n".join(lines(found.verified)))
        print(f"演练用时 drill took {found.took_s:.0f} s")
    raise typer.Exit(0 if found.verified.is_equal else PROBLEMS)


def say(line: str) -> None:
    """How far a long command is, on standard error."""
    print(line, file=sys.stderr, flush=True)


def _report(made: dict[str, object], as_json: bool) -> None:
    made.pop("digests")
    if as_json:
        print(json.dumps(made, ensure_ascii=False))
        return
    print(
        f"日志 log {made['log_messages']} ({made['log_first']}–{made['log_last']})，读数 readings {made['readings']}，"
        f"结构 schema {made['schema']}，时间 taken at {made['taken_at']}"
    )
