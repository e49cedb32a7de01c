"""Data that does not come from devices: simulated, replayed from a file, judged from a file."""

import json
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from qingquan.cli.application import PROBLEMS, app
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, running, settings
from qingquan.cli.progress import Progress
from qingquan.config import Config
from qingquan.errors import WrongUse, all_faults

__all__: list[str] = []

MappingFile = Annotated[Path, typer.Option("--mapping", help="which column is what (TOML)")]


@app.command()
def simulate(
    works: Annotated[int, typer.Option("--works", min=1, max=100_000)] = 660,
    scenario: Annotated[
        str, typer.Option("--scenario", help="calm, demo, all-faults-24h, load, or a TOML file")
    ] = "demo",
    speed: Annotated[str | None, typer.Option("--speed", help="times real time, or max; default: our clock")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 1,
    truth: Annotated[Path | None, typer.Option("--truth", help="write the known truth here (CSV)")] = None,
    hours: Annotated[float | None, typer.Option("--hours", help="stop after so many simulated hours")] = None,
    register: Annotated[bool, typer.Option(help="enter the simulated works in the register first")] = True,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """模拟一个县的设备 · Publish over MQTT like the devices of a county; everything is marked as simulated."""
    from qingquan.services.registering import register_missing
    from simulators.county import county
    from simulators.publish import run
    from simulators.scenario import load_scenario

    config = settings(config_file, data_dir=data)
    story = load_scenario(scenario)
    pace = _speed(speed)
    entries = county(works, seed)
    if register:
        register_missing(config, entries)
    run(running(config), entries, story, pace, seed, truth, hours=hours)


@app.command()
def replay(
    file: Path,
    mapping: MappingFile,
    speed: Annotated[str, typer.Option("--speed", help="times the recorded pace, or max")] = "1",
    data: DataFolder = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """重放记录的数据 · Publish a recorded CSV(.gz) over MQTT by a column mapping; registers its works if it is unknown."""
    from ingest.mapping import load_mapping, works_of
    from ingest.pace import paced
    from ingest.recorded import read_rows
    from qingquan.services.registering import register_missing
    from qingquan.services.replay import ReplayCounts, counts_line, replay_file

    config = settings(config_file, data_dir=data)
    pace = _speed(speed) or 1.0
    checked = paced(file, load_mapping(mapping))
    # A file that lacks a column is refused before its works stands in the register, where it would be missed as silent.
    next(read_rows(file, checked, 1), None)
    register_missing(config, [works_of(checked)])

    def line(counts: ReplayCounts) -> str:
        return counts_line(counts, config.language)

    with Progress(line) as progress:
        counts = replay_file(file, checked, running(config), pace, report=None if as_json else progress)
    print(json.dumps(asdict(counts)) if as_json else line(counts))
    raise typer.Exit(PROBLEMS if counts.refused_rows or counts.refused_cells else 0)


@app.command()
def evaluate(
    file: Path,
    mapping: MappingFile,
    out: Annotated[Path, typer.Option("--out", help="findings (CSV)")],
    ruleset: Annotated[Path | None, typer.Option("--ruleset", help="rules (TOML); default: those in use")] = None,
    flags: Annotated[Path | None, typer.Option("--flags", help="QARTOD flags, a row per value (CSV)")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="also judge silence up to this time (ISO 8601 with offset, or now)")
    ] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """评判一个数据文件 · Judge any CSV with a mapping by the same engine; no servers."""
    from ingest.mapping import load_mapping
    from qingquan.services.file_evaluation import evaluate_file
    from qingquan.services.rulesets import load_ruleset

    config = settings(config_file)
    if ruleset is not None:
        config = replace(config, rules_file=str(ruleset))
    until = _moment(as_of, config)
    all_faults(lambda: load_mapping(mapping), lambda: load_ruleset(config))
    with Progress[int](lambda rows: f"{rows} 行 rows") as progress:
        done = evaluate_file(
            file, load_mapping(mapping), config, findings_out=out, flags_out=flags, as_of_ms=until, progress=progress
        )
    facts = {
        "rows": done.rows, "refused_rows": done.refused_rows, "refused_cells": done.refused_cells, "readings": done.readings,
        "missing": done.missing, "duplicates": done.duplicates, "conflicts": done.conflicts, "findings": len(done.findings),
    }  # fmt: skip
    if as_json:
        print(json.dumps(facts))
    else:
        print(
            "{rows} 行 rows（拒收 refused {refused_rows} 行 rows, {refused_cells} 格 cells）| 读数 readings {readings} | "
            "缺测 missing {missing} | 重复 duplicates {duplicates} | 冲突 conflicts {conflicts} | 判定 findings {findings}".format(**facts)
        )  # fmt: skip
        print(out)
    raise typer.Exit(PROBLEMS if done.refused_rows or done.refused_cells else 0)


@app.command()
def detect(
    file: Path,
    mapping: MappingFile,
    out: Annotated[Path, typer.Option("--out", help="a row per row: time, score, event, contributors (CSV)")],
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """在数据文件中检测水质突变（仅供参考） · Event detection over any CSV, row by row, advisory; no servers."""
    from ingest.mapping import load_mapping
    from qingquan.services.event_detection import detect_file

    settings(config_file)
    with Progress[int](lambda rows: f"{rows} 行 rows") as progress:
        done = detect_file(file, load_mapping(mapping), out, progress=progress)
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        print(
            "{rows} 行 rows（拒收 refused {refused_rows} 行 rows, {refused_cells} 格 cells）| 突变 events {events} | "
            "突变行 event rows {event_rows}".format(**asdict(done))
        )
        print(out)
    raise typer.Exit(PROBLEMS if done.refused_rows or done.refused_cells else 0)


def _speed(text: str | None) -> float | Literal["max"] | None:
    if text is None:
        return None
    if text == "max":
        return "max"
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise WrongUse(f"--speed {text}: allowed: a number above 0, max")
    return number


def _moment(text: str | None, config: Config) -> int | None:
    from qingquan.clock import to_ms

    if text is None:
        return None
    if text == "now":
        return config.clock.now_ms()
    try:
        return to_ms(datetime.fromisoformat(text))
    except ValueError:
        raise WrongUse(f"--as-of {text}: allowed: ISO 8601 with offset, now") from None
