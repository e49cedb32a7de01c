"""`qingquan bench evaluate`: the engine alone. No servers, no disk.

`rule_loop` walks columns that were prepared beforehand; `from_messages` begins with raw messages of the log and
includes decoding and the way to the partitions. Figures are medians of repeats; one core works.
"""

import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ingest.decode import Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.services.bench.load import PARAMETERS, PARTITIONS, Load
from qingquan.services.bench.machine import rss_mb
from qingquan.services.folds import Folds, Tables
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import evaluate
from rules.plan import Plan, compile_plan
from rules.state import new_state

__all__ = [
    "SIZES",
    "LoopFigure",
    "MessageFigure",
    "from_messages",
    "memory_mb",
    "naive_loop",
    "plan_of",
    "rule_loop",
    "run_evaluate",
]

SIZES = (660, 5_840, 58_400)
REPEATS = 5
# 2026-06-01T00:00Z, inside GB 5749-2022.
START_MS = 1_780_272_000_000
WARM_ROUNDS = 24
# As many messages as the evaluator takes from the log at once.
FETCHED = 4096


@dataclass(frozen=True, slots=True)
class LoopFigure:
    """Speed of the compiled loop. ``ns_per_reading`` over whole rounds, checkpoints and findings included."""

    works: int
    readings: int
    readings_per_s: int
    ns_per_reading: float
    findings: int


@dataclass(frozen=True, slots=True)
class MessageFigure:
    """Speed from raw messages on. ``decode_share`` is the part of the time spent decoding."""

    works: int
    messages: int
    messages_per_s: int
    readings_per_s: int
    decode_messages_per_s: int
    json_loads_messages_per_s: int
    decode_share: float


def rule_loop(
    works: int,
    config: Config,
    *,
    rounds: int | None = None,
    repeats: int = REPEATS,
    in_order: bool = False,
    plan: Plan | None = None,
) -> LoopFigure:
    """`rules.engine.evaluate` on prepared columns: ``repeats`` times so many rounds, after a warm-up.

    ``in_order``: devices report in the order of the register, which is kinder to the processor's caches. ``plan``: that of
    these works, where it is at hand.
    """
    load = Load(works, START_MS)
    if in_order:
        load.order = np.arange(works)
    parameters = load_standards().parameters
    plan = plan or plan_of(works, config)
    state = new_state(plan)
    slots = load.slots(plan)
    # Every repeat crosses checkpoints, which come every ten minutes of event time.
    rounds = rounds or max(20, 1_000_000 // (works * len(PARAMETERS)))
    seconds, findings, number = [], 0, 0
    for repeat in range(repeats + 1):
        count = WARM_ROUNDS if repeat == 0 else rounds
        spent = 0.0
        for _ in range(count):
            batch = load.batch(number, slots)
            began = time.perf_counter()
            evaluation, state = evaluate(batch, slots, state, plan, parameters, load.at(number))
            spent += time.perf_counter() - began
            findings += len(evaluation.findings)
            number += 1
        seconds.append(spent)
    each = rounds * len(slots)
    middle = statistics.median(seconds[1:])
    return LoopFigure(works, each, round(each / middle), round(middle / each * 1e9, 1), findings)


def plan_of(works: int, config: Config) -> Plan:
    """The plan of a load of so many works."""
    tables = load_standards()
    return compile_plan(
        Load(works, START_MS).register, tables.parameters, load_profiles().binding, load_ruleset(config)
    )


def naive_loop(works: int, *, rounds: int = 1) -> float:
    """Seconds a reading for the loop a script would write: one dictionary of limits, one comparison, no state."""
    load = Load(works, START_MS)
    limits = {"free_chlorine": (0.3, 2.0), "turbidity": (0.0, 1.0), "ph": (6.5, 8.5)}
    names = [(one.id, parameter) for one in load.register for parameter in PARAMETERS]
    spent, over = 0.0, 0
    for number in range(rounds):
        values = load.values(number).reshape(-1).tolist()
        began = time.perf_counter()
        alarms = []
        for (name, parameter), value in zip(names, values, strict=True):
            limit = limits.get(parameter)
            if limit is not None and not limit[0] <= value <= limit[1]:
                alarms.append((name, parameter, value))
        spent += time.perf_counter() - began
        over += len(alarms)
    return spent / (rounds * len(names))


class _Chain:
    """Decoder and folds, joined as the evaluator joins them."""

    def __init__(self, load: Load, config: Config) -> None:
        standards = load_standards()
        self.catalog = SeriesCatalog()
        self.decoder = Decoder(
            PointDirectory(load.register), self.catalog, standards.parameters,
            earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
            future_tolerance_ms=config.future_tolerance_s * 1000,
        )  # fmt: skip
        tables = Tables(standards.parameters, load_profiles().binding, load_ruleset(config))
        self.folds = Folds(tables, PARTITIONS, self.catalog, config.language)
        self.folds.register(load.register)
        self.decode_s = self.judge_s = 0.0
        self.readings = 0

    def take(self, messages: Sequence[LogMessage]) -> None:
        for first in range(0, len(messages), FETCHED):
            part = messages[first : first + FETCHED]
            began = time.perf_counter()
            decoded = self.decoder.decode(part)
            between = time.perf_counter()
            self.folds.take(decoded.batch, part[-1].sequence, part[-1].received_at)
            self.judge_s += time.perf_counter() - between
            self.decode_s += between - began
            self.readings += len(decoded.batch)


def from_messages(works: int, config: Config, *, rounds: int | None = None, repeats: int = REPEATS) -> MessageFigure:
    """Decoder and folds on raw messages, as the evaluator has them from the log."""
    load = Load(works, START_MS)
    chain = _Chain(load, config)
    rounds = rounds or max(1, 60_000 // works)
    chain.take(load.messages(0))
    figures = []
    for repeat in range(repeats):
        numbers = range(1 + repeat * rounds, 1 + (repeat + 1) * rounds)
        messages = [message for number in numbers for message in load.messages(number)]
        chain.decode_s = chain.judge_s = 0.0
        chain.readings = 0
        chain.take(messages)
        if chain.readings != len(messages) * len(PARAMETERS):
            raise AssertionError(f"{chain.readings} readings out of {len(messages)} messages")
        figures.append((chain.decode_s + chain.judge_s, chain.decode_s, _seconds(_plain_json, messages)))
    total, decode_s, json_s = (statistics.median(column) for column in zip(*figures, strict=True))
    count = len(messages)
    return MessageFigure(
        works, count, round(count / total), round(count * len(PARAMETERS) / total), round(count / decode_s),
        round(count / json_s), round(decode_s / total, 2),
    )  # fmt: skip


def _plain_json(messages: Sequence[LogMessage]) -> None:
    for message in messages:
        json.loads(message.payload)


def _seconds(work: Callable[[Sequence[LogMessage]], None], messages: Sequence[LogMessage]) -> float:
    began = time.perf_counter()
    work(messages)
    return time.perf_counter() - began


def memory_mb(works: int, config: Config, rounds: int = 3) -> float | None:
    """Resident memory of a fresh process that judges so many works, register, plan and state included."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_judging_process, (works, config, rounds))


def _judging_process(works: int, config: Config, rounds: int) -> float | None:
    load = Load(works, START_MS)
    chain = _Chain(load, config)
    for number in range(rounds):
        at, subjects = load.at(number), load.topics()
        payloads = load.payloads(number)
        # Message by message, as they would pass: the load itself must not count.
        for first in range(0, works, FETCHED):
            chain.take(
                [
                    LogMessage(number * works + first + n + 1, at, "part.0." + topic.replace("/", "."), payload)
                    for n, (topic, payload) in enumerate(
                        zip(subjects[first : first + FETCHED], payloads[first : first + FETCHED], strict=True)
                    )
                ]
            )
    return rss_mb()


def run_evaluate(
    config: Config, sizes: Sequence[int] = SIZES, *, repeats: int = REPEATS, with_memory: bool = True,
    rounds: int | None = None, say: Callable[[str], None] = lambda _: None,
) -> dict[str, object]:  # fmt: skip
    """Everything of this page. Keys: `readings_per_s`, `messages_per_s`, `ratio`, `rss_mb`, and the rows behind them."""
    loops, in_order, messages = [], [], []
    for works in sizes:
        say(f"规则循环 rule loop, {works} works")
        plan = plan_of(works, config)
        loops.append(rule_loop(works, config, rounds=rounds, repeats=repeats, plan=plan))
        in_order.append(rule_loop(works, config, rounds=rounds, repeats=repeats, in_order=True, plan=plan))
    for works in sizes:
        say(f"原始报文 raw messages, {works} works")
        messages.append(from_messages(works, config, rounds=rounds, repeats=repeats))
    say(f"内存 memory, {sizes[-1]} works")
    memory = memory_mb(sizes[-1], config) if with_memory else None
    naive_s = naive_loop(sizes[0], rounds=max(1, 200_000 // (sizes[0] * len(PARAMETERS))))
    return {
        "rule_loop": [_row(one) for one in loops],
        "rule_loop_in_order": [_row(one) for one in in_order],
        "from_messages": [_row(one) for one in messages],
        "ratio": round(loops[-1].ns_per_reading / loops[0].ns_per_reading, 2),
        "readings_per_s": messages[0].readings_per_s,
        "messages_per_s": messages[0].messages_per_s,
        "rss_mb": memory,
        "rss_works": sizes[-1],
        "naive_python_ns_per_reading": round(naive_s * 1e9, 1),
        "times_naive_python": round(naive_s * 1e9 / loops[0].ns_per_reading, 1),
        "times_json_loads": round(messages[0].decode_messages_per_s / messages[0].json_loads_messages_per_s, 2),
    }


def _row(figure: LoopFigure | MessageFigure) -> Mapping[str, object]:
    return {name: getattr(figure, name) for name in figure.__slots__}
