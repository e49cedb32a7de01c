"""`qingquan bench`, which `make bench` runs: every measurement once, in a few minutes, with ratios taken in one run."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qingquan.config import Config
from qingquan.services.bench.evaluate import SIZES, run_evaluate
from qingquan.services.bench.events import run_events
from qingquan.services.bench.ingest import run_ingest
from qingquan.services.bench.latency import run_latency
from qingquan.services.bench.machine import describe
from qingquan.services.bench.quality import run_quality

__all__ = ["SHORT", "Sizes", "measure", "run_short", "shown", "text_of"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured. ``step_ms``: event time between two messages of a works in `ingest`."""

    evaluate_works: tuple[int, ...] = SIZES
    repeats: int = 5
    rounds: int | None = None
    with_memory: bool = True
    ingest_works: int = 58_400
    ingest_rounds: int = 11
    step_ms: int = 60_000
    latency_works: int = 5_840
    alarms: int = 120
    seconds: float = 30.0
    quality_readings: int = 60_000
    events_works: int = 5_840
    events_rounds: int = 30


SHORT = Sizes()


def measure(config: Config, sizes: Sizes = SHORT, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Everything, as one value: `machine`, `evaluate`, `ingest`, `latency`, `quality`, `events`, `ratios`, `budgets`."""
    began = time.monotonic()
    machine = describe()
    judged = run_evaluate(
        config, sizes.evaluate_works, repeats=sizes.repeats, with_memory=sizes.with_memory, rounds=sizes.rounds, say=say
    )
    taken = run_ingest(config, sizes.ingest_works, sizes.ingest_rounds, step_ms=sizes.step_ms, say=say)
    told = run_latency(config, sizes.latency_works, sizes.alarms, sizes.seconds, say=say)
    flagged = run_quality(sizes.quality_readings, say)
    watched = run_events(sizes.events_works, sizes.events_rounds)
    alone: Any = judged["readings_per_s"]
    chain: Any = taken["readings_per_s"]
    return {
        "machine": machine,
        "evaluate": judged,
        "ingest": taken,
        "latency": told,
        "quality": flagged,
        "events": watched,
        "ratios": {
            "evaluator_alone_to_end_to_end": round(alone / chain, 2),
            "rule_loop_largest_to_smallest": judged["ratio"],
            "rule_loop_to_naive_python": judged["times_naive_python"],
            "decode_to_json_loads": judged["times_json_loads"],
            "quality_to_ioos_qc": flagged["ratio"],
            "quality_to_pecos": flagged["ratio_pecos"],
        },
        "budgets": _budgets(judged, taken, told, watched),
        "seconds": round(time.monotonic() - began, 1),
    }


def _budgets(
    judged: Mapping[str, Any], taken: Mapping[str, Any], told: Mapping[str, Any], watched: Mapping[str, Any]
) -> list[dict[str, object]]:
    """Each budget with what was measured; ``share`` above 1 is better than asked."""
    loop = judged["rule_loop"][0]["readings_per_s"]
    memory = judged["rss_mb"]
    rows = [
        ("end to end, messages/s", 25_000, taken["messages_per_s"], True),
        ("end to end, lost", 0, taken["lost"], False),
        ("evaluator alone, readings/s", 500_000, judged["from_messages"][-1]["readings_per_s"], True),
        ("rule loop, readings/s", 20_000_000, loop, True),
        ("rule loop, cost at most works to least", 1.3, judged["ratio"], False),
        ("event detection live, readings/s", 1_000_000, watched["readings_per_s"], True),
        ("publish to outbox, p50 ms", 300, told["p50_ms"], False),
        ("publish to outbox, p99 ms", 1000, told["p99_ms"], False),
        *([("evaluator memory, MB", 700, memory, False)] if memory is not None else []),
    ]
    return [
        {"what": what, "budget": budget, "measured": found, "kept": found >= budget if more else found <= budget}
        for what, budget, found, more in rows
    ]


def run_short(as_json: bool = False, config: Config | None = None, sizes: Sizes = SHORT) -> dict[str, Any]:
    """Measure and print: a table, or one JSON object with ``as_json``. Progress goes to standard error."""
    result = measure(config or Config(), sizes, lambda line: print(f"  … {line}", file=sys.stderr, flush=True))
    print(json.dumps(result, ensure_ascii=False) if as_json else text_of(result))
    return result


def shown(result: Mapping[str, Any], as_json: bool) -> str:
    """One measurement's figures as JSON, or a line each."""
    return json.dumps(result, ensure_ascii=False) if as_json else "\n".join(_lines(result))


def text_of(result: Mapping[str, Any]) -> str:
    """The table for people."""
    machine = result["machine"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}",
        f"Python {machine['python']}, NATS {machine['nats_server']}, numpy {machine['numpy']}, numba {machine['numba']}, "
        f"DuckDB {machine['duckdb']}; load average before: {machine['load_before']}",
        "",
        f"{'指标 what':<44}{'预算 budget':>14}{'实测 measured':>16}",
    ]
    for row in result["budgets"]:
        mark = "✓" if row["kept"] else "✗"
        lines.append(f"{row['what']:<44}{_number(row['budget']):>14}{_number(row['measured']):>16}  {mark}")
    lines += ["", "比值 ratios, in this run"]
    lines += [f"  {name.replace('_', ' '):<44}{_number(value):>14}" for name, value in result["ratios"].items()]
    for name in ("evaluate", "ingest", "latency", "quality", "events"):
        if name not in result:
            continue
        lines += ["", name, *_lines(result[name], "  ")]
    return "\n".join([*lines, "", f"用时 took {result['seconds']} s"])


def _lines(result: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{name}: " + ", ".join(f"{key} {_number(one)}" for key, one in value.items()))
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append(f"{indent}{name}:")
            lines += [f"{indent}  " + ", ".join(f"{key} {_number(one)}" for key, one in row.items()) for row in value]
        else:
            lines.append(f"{indent}{name}: {_number(value)}")
    return lines


def _number(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
