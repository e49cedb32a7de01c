"""Measurements on this machine."""

import json
import sys
from pathlib import Path
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


@bench.command("evaluate")
def bench_evaluate(as_json: AsJson = False, config_file: ConfigFile = None) -> None:
    """评判引擎 · The engine alone: compiled loop, decoding, memory."""
    from qingquan.services.bench.evaluate import run_evaluate
    from qingquan.services.bench.repeats import on_this_machine
    from qingquan.services.bench.short import shown

    config = settings(config_file)
    print(shown(on_this_machine(lambda: run_evaluate(config, say=_said)), as_json))


@bench.command("scale")
def bench_scale(
    most: Annotated[int, typer.Option("--most", min=660, help="largest number of works")] = 584_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """规模 · Cost of a reading in the compiled loop, from a county to a country."""
    from qingquan.services.bench.repeats import on_this_machine
    from qingquan.services.bench.scale import SCALES, run_scale
    from qingquan.services.bench.short import shown

    config, sizes = settings(config_file), [size for size in SCALES if size <= most]
    print(shown(on_this_machine(lambda: run_scale(config, sizes, repeats=repeats, say=_said)), as_json))


@bench.command("replay")
def bench_replay(
    works: Annotated[int, typer.Option("--works", min=2, max=10_000)] = 660,
    days: Annotated[int, typer.Option("--days", min=1, max=366)] = 30,
    processes: Annotated[int, typer.Option("--processes", min=1, max=64)] = 2,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="the middle one is shown")] = 1,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """重判 · A county's readings by the minute judged again, works shared out among processes."""
    from qingquan.services.bench.repeats import on_this_machine
    from qingquan.services.bench.scale import run_replay
    from qingquan.services.bench.short import shown

    config = settings(config_file)
    result = on_this_machine(lambda: run_replay(config, works, days, processes, say=_said), repeats, "readings_per_s")
    print(shown(result, as_json))


@bench.command("ingest")
def bench_ingest(
    works: Annotated[int, typer.Option("--works", min=1, max=100_000)] = 58_400,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="messages of each works")] = 11,
    step_s: Annotated[float, typer.Option("--step", min=0.1, help="event time between them [s]")] = 60.0,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="the middle one is shown")] = 1,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """全程吞吐 · End to end over MQTT: until everything is judged and recorded, nothing lost."""
    from qingquan.services.bench.ingest import run_ingest
    from qingquan.services.bench.repeats import on_this_machine
    from qingquan.services.bench.short import shown

    config, step_ms = settings(config_file), round(step_s * 1000)
    result = on_this_machine(
        lambda: run_ingest(config, works, rounds, step_ms=step_ms, say=_said), repeats, "messages_per_s"
    )
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if result["lost"] else 0)


@bench.command("latency")
def bench_latency(
    works: Annotated[int, typer.Option("--works", min=1, max=90_000)] = 5_840,
    alarms: Annotated[int, typer.Option("--alarms", min=1)] = 120,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0)] = 30.0,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="the middle one is shown")] = 1,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """告警时延 · From publishing to the alert in the outbox, under 5,000 readings/s."""
    from qingquan.services.bench.latency import run_latency
    from qingquan.services.bench.repeats import on_this_machine
    from qingquan.services.bench.short import shown

    config = settings(config_file)
    result = on_this_machine(lambda: run_latency(config, works, alarms, seconds, say=_said), repeats, "p99_ms")
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if result["lost"] else 0)


@bench.command("soak")
def bench_soak(
    minutes: Annotated[float, typer.Option("--minutes", min=0.1)] = 30.0,
    rate: Annotated[float, typer.Option("--rate", min=5.0, help="readings/s")] = 5_000.0,
    works: Annotated[int, typer.Option("--works", min=10, max=90_000)] = 58_400,
    alarms: Annotated[int | None, typer.Option("--alarms", min=1, help="default: one in five seconds")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """长时稳定 · A steady load for half an hour: memory of every process, delay of alarms, nothing lost."""
    from qingquan.services.bench.short import shown
    from qingquan.services.bench.soak import run_soak

    result = run_soak(settings(config_file), works, minutes, rate, alarms=alarms, say=_said)
    print(shown(result, as_json))
    is_kept = not result["lost"] and result["growth_most_percent"] < 2 and result["p99_ms"] <= 1000
    raise typer.Exit(0 if is_kept else PROBLEMS)


@bench.command("compare")
def bench_compare(
    node_red: Annotated[Path | None, typer.Option("--node-red", help="folder with Node-RED")] = None,
    install: Annotated[bool, typer.Option("--install", help="fetch Node-RED into that folder from npm")] = False,
    works: Annotated[int, typer.Option("--works", min=10, max=58_400)] = 5_840,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    seconds: Annotated[float, typer.Option("--seconds", min=0.5, help="length of a repeat")] = 6.0,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """与常见做法对比 · The same load through Node-RED, a plain script, Telegraf and ours: same broker, same database."""
    from qingquan.errors import ConfigurationError
    from qingquan.services.bench.compare import node_red as flows
    from qingquan.services.bench.compare.run import Effort, run_compare, table_text

    if install:
        if node_red is None:
            raise ConfigurationError(["--install: name the folder with --node-red DIR"])
        flows.install(node_red)
    effort = Effort(works=works, repeats=repeats, seconds=seconds)
    result = run_compare(settings(config_file), effort, node_red=node_red, say=_said)
    print(json.dumps(result, ensure_ascii=False) if as_json else table_text(result))
    raise typer.Exit(PROBLEMS if any(row["lost"] for row in result["rows"] if row["name"] == "qingquan") else 0)


@bench.command("clients")
def bench_clients(
    messages: Annotated[int, typer.Option("--messages", min=100)] = 200_000,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """日志客户端 · natsrpy and nats-py fetch the same reading log: rate and processor time a message."""
    from qingquan.services.bench.clients import run_clients
    from qingquan.services.bench.short import shown

    result = run_clients(settings(config_file), messages, repeats, say=_said)
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if any(row["lost"] for row in result["rows"]) else 0)


@bench.command("page")
def bench_page(
    works: Annotated[int, typer.Option("--works", min=10, max=5_840)] = 660,
    repeats: Annotated[int, typer.Option("--repeats", min=1)] = 5,
    readings: Annotated[int, typer.Option("--readings", min=1, help="whose way to the open page is timed")] = 40,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """区县页 · First paint in a browser and how late a reading is seen; needs the development set-up and Chromium."""
    from qingquan.services.bench.page import missing, run_page
    from qingquan.services.bench.short import shown

    if why := missing():
        print(f"未测 skipped: {why}")
        return
    print(shown(run_page(settings(config_file), works, repeats, readings, say=_said), as_json))


@bench.command("query")
def bench_query(
    works: Annotated[int, typer.Option("--works", min=1, max=10_000)] = 660,
    days: Annotated[int, typer.Option("--days", min=2, help="days of hourly rollups")] = 365,
    raw_days: Annotated[int, typer.Option("--raw-days", min=1, help="last days with readings")] = 2,
    queries: Annotated[int, typer.Option("--queries", min=1)] = 200,
    as_json: AsJson = False,
) -> None:
    """趋势查询 · One series, one year by the hour, out of a year of a county; the data are made by the command."""
    from qingquan.services.bench.query import run_query
    from qingquan.services.bench.short import shown

    print(shown(run_query(works, max(days, raw_days), raw_days, queries, _said), as_json))


@bench.command("compliance")
def bench_compliance(
    works: Annotated[int, typer.Option("--works", min=1, max=10_000)] = 660,
    gateways: Annotated[int, typer.Option("--gateways", min=1, help="works whose last 6 h come late")] = 300,
    as_json: AsJson = False,
) -> None:
    """合规统计速度 · A county's day reckoned, and reckoned again after a late upload."""
    from qingquan.services.bench.compliance import run_compliance
    from qingquan.services.bench.short import shown

    print(shown(run_compliance(works, min(gateways, works), _said), as_json))


@bench.command("storm")
def bench_storm(
    works: Annotated[int, typer.Option("--works", min=1, max=600)] = 500,
    within_s: Annotated[float, typer.Option("--within", min=1, help="seconds in which they all alarm")] = 300.0,
    as_json: AsJson = False,
) -> None:
    """告警风暴 · Many works alarm within minutes: real alerters, real time, doubles of the providers with their limits."""
    from qingquan.config import Config
    from qingquan.services.bench.short import shown
    from qingquan.services.bench.storm import run_storm

    result = run_storm(Config(), works, within_s, say=_said)
    print(shown(result, as_json))
    is_kept = not (result["quota_exceeded"] or result["waiting"] or result["not_in_group"] or result["digest_s"] > 300)
    raise typer.Exit(0 if is_kept else PROBLEMS)


@bench.command("province")
def bench_province(
    works: Annotated[int, typer.Option("--works", min=60, max=58_400)] = 58_400,
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=24)] = 24.0,
    seed: Annotated[int, typer.Option("--seed")] = 1,
) -> None:
    """全省一天 · A simulated day of a province: messages per person, false criticals, time to the message; as JSON."""
    from qingquan.config import Config
    from qingquan.services.bench.province import run_province

    result = run_province(Config(), works, hours, seed, _said)
    print(json.dumps(result, ensure_ascii=False, indent=1))
    is_kept = result["false_criticals_per_1000_works_day"] <= 1 and result["detect_to_message_s"].get("p50", 0) <= 20
    raise typer.Exit(0 if is_kept else PROBLEMS)


@bench.command("upload")
def bench_upload(
    gateways: Annotated[int, typer.Option("--gateways", min=1, help="works whose last hours come at once")] = 300,
    hours: Annotated[float, typer.Option("--hours", min=1.0, max=24.0)] = 6.0,
    works: Annotated[int, typer.Option("--works", min=2, max=20_000)] = 660,
    live: Annotated[int, typer.Option("--live", min=10, help="readings/s that go on meanwhile")] = 1000,
    seconds: Annotated[float, typer.Option("--seconds", min=5.0)] = 30.0,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """断网补传 · Hundreds of gateways upload hours at once while live data flow: stored once, reckoned again, no alarm of the past."""
    from qingquan.services.bench.short import shown
    from qingquan.services.bench.upload import run_upload

    result = run_upload(settings(config_file), min(gateways, works - 1), hours, works, live, seconds, say=_said)
    print(shown(result, as_json))
    is_kept = (
        result["stored"] == result["uploaded"]
        and result["compliance_recomputed"] == min(gateways, works - 1)
        and result["live_alarms_told"] == result["live_alarms"]
        and not (result["duplicated"] or result["conflicts"] or result["messages_for_the_past"])
        and result["live_delay_max_s"] <= 30
    )
    raise typer.Exit(0 if is_kept else PROBLEMS)


@bench.command("chaos")
def bench_chaos(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="how many runs, seeds 1 and up")] = 20,
    seed: Annotated[int | None, typer.Option("--seed", help="this one alone")] = None,
    readings: Annotated[int, typer.Option("--readings", min=1000, help="readings a run, at least")] = 2_000_000,
    works: Annotated[int, typer.Option("--works", min=10, max=20_000)] = 4000,
    together: Annotated[int, typer.Option("--together", min=1, max=200, help="minutes a message")] = 10,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, help="in which they are sent if nothing stops")
    ] = 30.0,
    store: Annotated[
        str, typer.Option("--store", help="duckdb, influx, or auto: by turns where influxd is there")
    ] = "auto",
    folder: Annotated[Path | None, typer.Option("--folder", help="where runs leave what failed")] = None,
    as_json: AsJson = False,
) -> None:
    """混沌试验 · Kill, stop, cut off and fill up everything while devices publish to a cluster; then count what is there."""
    from qingquan.services.bench.chaos.own_network import in_own_network
    from qingquan.services.bench.short import shown

    if store not in ("auto", "duckdb", "influx"):
        raise typer.BadParameter("allowed: auto, duckdb, influx", param_hint="--store")
    status = in_own_network(sys.argv[1:])
    if status is not None:
        raise typer.Exit(status)
    # Only now: what it brings in takes a second, and the outer process would only wait with it.
    from qingquan.services.bench.chaos.run import Size, run_chaos

    chosen = [seed] if seed is not None else list(range(1, seeds + 1))
    result = run_chaos(
        settings(None, log_level="warning"), chosen, Size.of(readings, works, together, seconds), store, folder, _said
    )
    print(shown(result, as_json))
    raise typer.Exit(0 if result["is_whole"] else PROBLEMS)


@bench.command("events")
def bench_events(
    works: Annotated[int, typer.Option("--works", min=1, max=600_000)] = 5_840,
    rounds: Annotated[int, typer.Option("--rounds", min=3, help="readings of each series")] = 30,
    as_json: AsJson = False,
) -> None:
    """突变检测速度 · Rows put together and events detected: readings and rows a second on one core, bytes of state."""
    from qingquan.services.bench.events import run_events

    facts = run_events(works, rounds)
    print(json.dumps(facts) if as_json else "\n".join(f"{name} {value:,}" for name, value in facts.items()))


@bench.command("quality")
def bench_quality(
    readings: Annotated[int, typer.Option("--readings", min=5_000, max=5_000_000)] = 60_000,
    as_json: AsJson = False,
) -> None:
    """数据质控速度 · Quality tests against ioos_qc and pecos on the same series, with equal flags."""
    from qingquan.services.bench.quality import run_quality
    from qingquan.services.bench.short import shown

    result = run_quality(readings, _said)
    print(shown(result, as_json))
    raise typer.Exit(PROBLEMS if result["equal"] is False else 0)


@bench.command("accuracy")
def bench_accuracy(
    data: Annotated[Path | None, typer.Option("--data", help="folder of recorded data with labels")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="page to write (default: docs/accuracy.md)")] = None,
) -> None:
    """准确度 · Event detection against expert labels; writes docs/accuracy.md, or says which data are missing."""
    from qingquan.services.bench.accuracy.page import DATA, PAGE, run_accuracy

    done = run_accuracy(data or DATA, out or PAGE, _said)
    if done.written is None:
        print(f"未测 skipped: {done.skipped}")
        raise typer.Exit(0 if data is None else PROBLEMS)
    for year, one in done.frozen.items():
        print(
            f"{year}: F1 {one.f1:.3f} | {one.found}/{one.episodes} | {one.false_per_week:.2f}/week | AP {one.average_precision:.2f}"
        )
    print(done.written)


def _said(line: str) -> None:
    print(f"  … {line}", file=sys.stderr, flush=True)
