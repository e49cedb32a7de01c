"""Command line `qingquan`; each command imports what it needs when it runs, so that `--help` stays quick.

Exit status: 0 done, 1 found problems, 2 wrong use or refused configuration.
"""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from qingquan.config import Config, load_config
from qingquan.errors import ConfigurationError, QingquanError, WrongUse

__all__ = ["app", "main"]

PROBLEMS, WRONG = 1, 2

app = typer.Typer(
    name="qingquan", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="清泉：农村供水水质与消毒监测 · water-quality and disinfection monitoring for rural works",
)  # fmt: skip
works_app = typer.Typer(no_args_is_help=True, help="供水工程台账 · register of works")
lab_app = typer.Typer(no_args_is_help=True, help="化验结果 · laboratory results")
rules_app = typer.Typer(no_args_is_help=True, help="规则 · rules")
grafana_app = typer.Typer(no_args_is_help=True, help="Grafana 面板 · dashboards")
database_app = typer.Typer(no_args_is_help=True, help="数据库 · relational database")
quarantine_app = typer.Typer(no_args_is_help=True, help="隔离区 · what could not be taken as a reading")
bench_app = typer.Typer(invoke_without_command=True, help="测量 · measurements on this machine")
for name, group in {
    "works": works_app, "lab": lab_app, "rules": rules_app, "grafana": grafana_app, "db": database_app,
    "quarantine": quarantine_app, "bench": bench_app,
}.items():  # fmt: skip
    app.add_typer(group, name=name)

ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings file (TOML)", envvar="QINGQUAN_CONFIG")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]
DataFolder = Annotated[str | None, typer.Option("--data", help="data folder (default: the setting data_dir)")]


def main() -> None:
    """Entry point: our errors become one line each on standard error and an exit status."""
    try:
        app()
    except ConfigurationError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(WRONG)
    except WrongUse as error:
        print(error, file=sys.stderr)
        sys.exit(WRONG)
    except QingquanError as error:
        print(error, file=sys.stderr)
        sys.exit(PROBLEMS)
    except BrokenPipeError:
        sys.exit(PROBLEMS)


def _settings(path: Path | None = None, **overrides: Any) -> Config:
    config = load_config(path, **overrides)
    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.LogfmtRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[config.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return config


def _running(config: Config) -> Config:
    """Settings with address, ports and passwords of the embedded reading log that runs on the data folder."""
    from qingquan.store.reading_log import resolve_log_config

    return resolve_log_config(config)


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="add a simulated county with faults")] = False,
    data: DataFolder = None,
    port: Annotated[int | None, typer.Option("--port", help="port of the console")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Start the whole system on the embedded default, in one go."""
    from qingquan.services.up import run

    data = data or (".demo" if demo else None)
    raise typer.Exit(run(_settings(config_file, data_dir=data, web_port=port), demo=demo, as_json=as_json))


@app.command("run")
def run_service(
    name: Annotated[str, typer.Argument(help="evaluator, recorder, alerter, web, bridge, log-server, gateway-double")],
    config_file: ConfigFile = None,
) -> None:
    """Run one service, configured by file and environment."""
    from qingquan.wiring import SERVICES, service

    if name not in SERVICES:
        raise WrongUse(f"run {name}: allowed: {', '.join(SERVICES)}")
    raise typer.Exit(service(name)(_settings(config_file)))


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
    config_file: ConfigFile = None,
) -> None:
    """Publish over MQTT like the devices of a county; everything is marked as simulated."""
    from qingquan.services.registering import register_missing
    from simulators.county import county
    from simulators.publish import run
    from simulators.scenario import load_scenario

    config = _settings(config_file)
    entries = county(works, seed)
    story = load_scenario(scenario)
    if register:
        register_missing(config, entries)
    run(_running(config), entries, story, _speed(speed), seed, truth, hours=hours)


def _speed(text: str | None) -> Any:
    if text is None or text == "max":
        return text
    try:
        return float(text)
    except ValueError:
        raise WrongUse(f"--speed {text}: allowed: a number, max") from None


@app.command()
def replay(
    file: Path,
    mapping: Annotated[Path, typer.Option("--mapping")],
    speed: Annotated[str, typer.Option("--speed", help="times the recorded pace, or max")] = "1",
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish a recorded CSV(.gz) over MQTT by a column mapping; registers its works if it is unknown."""
    import dataclasses

    from ingest.mapping import load_mapping, works_of
    from qingquan.services.registering import register_missing
    from qingquan.services.replay import counts_line, replay_file

    config = _settings(config_file)
    checked = load_mapping(mapping)
    register_missing(config, [works_of(checked)])
    report = None if as_json else _progress(lambda counts: counts_line(counts, config.language))
    counts = replay_file(file, checked, _running(config), _speed(speed), report=report)
    print(json.dumps(dataclasses.asdict(counts)) if as_json else counts_line(counts, config.language))
    raise typer.Exit(PROBLEMS if counts.refused_rows or counts.refused_cells else 0)


def _progress(text: Any) -> Any:
    """Progress on one line of a terminal, as plain lines now and then elsewhere."""
    import time

    shown = [0.0]

    def show(value: Any) -> None:
        now = time.monotonic()
        if now - shown[0] < (0.5 if sys.stderr.isatty() else 10.0):
            return
        shown[0] = now
        line = text(value)
        print(
            f"\r{line}\x1b[K" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n", file=sys.stderr
        )

    return show


@app.command()
def evaluate(
    file: Path,
    mapping: Annotated[Path, typer.Option("--mapping")],
    out: Annotated[Path, typer.Option("--out", help="findings (CSV)")],
    ruleset: Annotated[Path | None, typer.Option("--ruleset")] = None,
    flags: Annotated[Path | None, typer.Option("--flags", help="QARTOD flags, a row per value (CSV)")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="also judge silence up to this time (ISO 8601, or now)")
    ] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge any CSV with a mapping by the same engine; no servers."""
    from ingest.mapping import load_mapping
    from qingquan.services.file_evaluation import evaluate_file

    config = _settings(config_file)
    if ruleset is not None:
        config = replace(config, rules_file=str(ruleset))
    done = evaluate_file(
        file, load_mapping(mapping), config, findings_out=out, flags_out=flags, as_of_ms=_moment(as_of, config),
        progress=_progress(lambda rows: f"{rows} 行 rows"),
    )  # fmt: skip
    facts = {
        "rows": done.rows, "refused_rows": done.refused_rows, "refused_cells": done.refused_cells, "readings": done.readings,
        "missing": done.missing, "duplicates": done.duplicates, "conflicts": done.conflicts, "findings": len(done.findings),
    }  # fmt: skip
    if as_json:
        print(json.dumps(facts))
    else:
        print(
            "{rows} 行 rows（拒收 refused {refused_rows}）| 读数 readings {readings} | 缺测 missing {missing} | "
            "重复 duplicates {duplicates} | 冲突 conflicts {conflicts} | 判定 findings {findings}".format(**facts)
        )
        print(out)
    raise typer.Exit(PROBLEMS if done.refused_rows or done.refused_cells else 0)


def _moment(text: str | None, config: Config) -> int | None:
    from datetime import datetime

    from qingquan.clock import to_ms

    if text is None:
        return None
    if text == "now":
        return config.clock.now_ms()
    try:
        return to_ms(datetime.fromisoformat(text))
    except ValueError:
        raise WrongUse(f"--as-of {text}: allowed: ISO 8601 with offset, now") from None


@app.command()
def doctor(as_json: AsJson = False, data: DataFolder = None, config_file: ConfigFile = None) -> None:
    """Say what is installed, reachable and missing."""
    from qingquan.services.doctor import examine, lines

    results = examine(_settings(config_file, data_dir=data))
    if as_json:
        print(
            json.dumps(
                [vars(one) | {"state": one.state} if hasattr(one, "__dict__") else one._asdict() for one in results],
                ensure_ascii=False,
            )
        )
    else:
        print("\n".join(lines(results)))
    raise typer.Exit(PROBLEMS if any(one.state == "fault" for one in results) else 0)


@rules_app.command("check")
def rules_check(
    file: Annotated[Path | None, typer.Argument(help="ruleset; default: the one in use")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Validate a ruleset: all faults at once, by file, key, value and allowed values."""
    from qingquan.services.rulesets import load_ruleset

    config = _settings(config_file)
    ruleset = load_ruleset(replace(config, rules_file=str(file)) if file else config)
    print(
        f"规则集有效 ruleset is valid: {file or config.rules_file or 'rules/default.toml'} ({ruleset.version}, {len(ruleset.rules)} + 消毒 disinfection)"
    )


@works_app.command("import")
def works_import(
    file: Path,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would happen")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Import works from Excel or CSV; every refused row is reported."""
    from qingquan.services.works_import import import_works
    from qingquan.store.sql.engine import open_database, upgrade

    config = _settings(config_file)
    upgrade(config.sql_url)
    report = import_works(file, open_database(config.sql_url), dry_run)
    print("\n".join(report.lines(config.language)))
    raise typer.Exit(0 if report.is_clean else PROBLEMS)


@works_app.command("export")
def works_export(
    out: Path, county: Annotated[str | None, typer.Option("--county")] = None, config_file: ConfigFile = None
) -> None:
    """Write the register (or an empty template, when it is empty) as a workbook that `works import` reads."""
    from qingquan.services.works_import import export_works
    from qingquan.store.sql.engine import open_database, upgrade

    config = _settings(config_file)
    upgrade(config.sql_url)
    out.write_bytes(export_works(open_database(config.sql_url), county))
    print(out)


@lab_app.command("import")
def lab_import(
    file: Path, by: Annotated[str, typer.Option("--by", help="who uploads")], config_file: ConfigFile = None
) -> None:
    """Import laboratory results from Excel or CSV; judged at once, refusals by cell."""
    from qingquan.services.lab_upload import import_file

    raise typer.Exit(import_file(file, by, _settings(config_file)))


@lab_app.command("template")
def lab_template(out: Path) -> None:
    """Write an empty sheet for laboratories."""
    from ingest.lab.template import template_workbook

    out.write_bytes(template_workbook())
    print(out)


@grafana_app.command("build")
def grafana_build(out: Annotated[Path, typer.Option("--out")] = Path("deploy/grafana")) -> None:
    """Write dashboards and provisioning files, generated from parameters and limits."""
    from dashboards.grafana.build import build

    for path in build(out):
        print(path)


@grafana_app.command("push")
def grafana_push(
    url: Annotated[str, typer.Option("--url")],
    token: Annotated[str, typer.Option("--token", envvar="GRAFANA_TOKEN")],
    config_file: ConfigFile = None,
) -> None:
    """Push data source and dashboards to a running Grafana."""
    from dashboards.grafana.push import push

    config = _settings(config_file)
    done = push(
        url, token, influx_url=config.influx_url, influx_token=config.influx_token, influx_database=config.influx_bucket
    )
    print("\n".join(done))


@database_app.command("upgrade")
def database_upgrade(config_file: ConfigFile = None) -> None:
    """Bring the relational database to the schema of this version."""
    from qingquan.store.sql.engine import upgrade

    print(upgrade(_settings(config_file).sql_url))


@quarantine_app.command("redrive")
def quarantine_redrive(
    reason: Annotated[str | None, typer.Option("--reason", help="only this reason")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Give quarantined messages to the reading log again, after the cause was mended."""
    from qingquan.services.redrive import redrive

    counts = redrive(_settings(config_file), reason)
    print(f"重投 redriven {counts.redriven}, 失败 failed {counts.failed}")
    raise typer.Exit(PROBLEMS if counts.failed else 0)


@bench_app.callback()
def bench_all(context: typer.Context, as_json: AsJson = False) -> None:
    """Without a name: the short set, as `make bench` runs it."""
    if context.invoked_subcommand is None:
        from qingquan.services.bench.short import run_short

        run_short(as_json)


@bench_app.command("truth")
def bench_truth(
    works: Annotated[int, typer.Option("--works")] = 660,
    hours: Annotated[float, typer.Option("--hours")] = 24.0,
    seed: Annotated[int, typer.Option("--seed")] = 1,
    as_json: AsJson = False,
) -> None:
    """A simulated day with every kind of fault, against what the engine found."""
    from qingquan.services.bench.truth import run_truth, table_text

    table = run_truth(_settings(), works, hours, seed, progress=_progress(lambda share: f"{share:.0%}"))
    print(table.to_json() if as_json else table_text(table))
    raise typer.Exit(PROBLEMS if table.missed else 0)


@bench_app.command("evaluate")
def bench_evaluate(as_json: AsJson = False) -> None:
    """The engine alone: compiled loop, decoding, memory."""
    from qingquan.services.bench.evaluate import run_evaluate
    from qingquan.services.bench.short import shown

    print(shown(run_evaluate(_settings(), say=_said), as_json))


@bench_app.command("ingest")
def bench_ingest(
    works: Annotated[int, typer.Option("--works", min=1, max=100_000)] = 58_400,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="messages of each works")] = 11,
    step_s: Annotated[float, typer.Option("--step", min=0.1, help="event time between them [s]")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """End to end over MQTT: until everything is judged and recorded, nothing lost."""
    from qingquan.services.bench.ingest import run_ingest
    from qingquan.services.bench.short import shown

    result = run_ingest(_settings(), works, rounds, step_ms=round(step_s * 1000), say=_said)
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if result["lost"] else 0)


@bench_app.command("latency")
def bench_latency(
    works: Annotated[int, typer.Option("--works", min=1, max=90_000)] = 5_840,
    alarms: Annotated[int, typer.Option("--alarms", min=1)] = 120,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0)] = 30.0,
    as_json: AsJson = False,
) -> None:
    """From publishing to the alert in the outbox, under 5,000 readings/s."""
    from qingquan.services.bench.latency import run_latency
    from qingquan.services.bench.short import shown

    result = run_latency(_settings(), works, alarms, seconds, say=_said)
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if result["lost"] else 0)


def _said(line: str) -> None:
    print(f"  … {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
