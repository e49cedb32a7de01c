"""`qingquan bench soak`: a steady load for a long time on everything `up` starts. Does memory stay, do alarms stay quick?

Every process is looked at by itself. Growth is what its memory (median over a stretch) became between the first and the last
fifth of the time after the warm-up. Alarms are spread over the whole run, each with a works of its own that goes on reporting.
"""

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.services.bench.alarms import OutboxWatch, at_floor, delays, sound, told, topic
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.machine import describe
from qingquan.services.bench.sender import Order, Sender, Timed, sending
from qingquan.services.bench.system import READERS, MeasuredSystem, TooSlow, measured_system
from qingquan.services.rulesets import load_ruleset
from qingquan.store.reading_log.credentials import free_port

__all__ = ["EVERYTHING", "growth_percent", "run_soak"]

# As `qingquan up` starts them.
EVERYTHING = (*READERS, "alerter", "web", "adviser", "compliance", "detector", "watchdog")
WAIT_S = 600.0
LOOK_S = 0.02
SAMPLES = 360
LEAST_SAMPLE_S = 0.5
# Windows of the state fill for ten minutes, and a day's first readings pay for its pages.
WARM_UP_S = 600.0
STRETCH = 0.2
SHOWN = 31
# The last alarm is completed so long before the end.
TAIL_S = 2.0
# So long after its alarm a works has its residual again: what is open at a time stays about as much.
LOST_FOR_MS = 600_000

Samples = list[tuple[float, dict[str, float]]]


def run_soak(
    config: Config, works: int = 58_400, minutes: float = 30.0, readings_per_s: float = 5_000, *, alarms: int | None = None,
    services: Sequence[str] = EVERYTHING, folder: Path | None = None, say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure. Keys: `messages_per_s`, `readings_per_s`, `lost`, `p50_ms`, `p99_ms`, `rss_mb`, `growth_percent`, and more.

    The run lasts whole rounds of the load, at least ``minutes``.
    """
    rate = readings_per_s / len(PARAMETERS)
    rounds = max(1, -(-round(rate * minutes * 60) // works))
    seconds = works * rounds / rate
    alarms = max(4, round(seconds / 5)) if alarms is None else alarms
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        now_ms = config.clock.now_ms()
        load = Load(works + alarms, now_ms)
        struck = [told(one) for one in load.register[works:]]
        register = [*load.register[:works], *struck]
        config = replace(config, web_port=free_port())
        with (
            measured_system(Path(name) / "data", register, config, say, services) as system,
            sending(system.config) as sender,
        ):
            say("预热 warming up")
            first = system.last_sequence()
            sender.prepare(Order(works, now_ms - STEP_MS, STEP_MS, 0, 1))
            sender.go()
            system.wait_covered(first + sender.result(WAIT_S).acknowledged, WAIT_S)
            sender.prepare(Order(works, now_ms, STEP_MS, 1, rounds, rate=rate))
            say(f"测量 measuring: {seconds:.0f} s, {readings_per_s:.0f} readings/s, {alarms} alarms")
            return {"machine": describe(), "works": works} | _measured(system, sender, struck, seconds, say)


def _measured(
    system: MeasuredSystem, sender: Sender, struck: Sequence[Works], seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    before, used = system.taken(), system.processor_s()
    began = time.time() + 0.5
    for_ms = load_ruleset(system.config).disinfection.missing_floor_for_ms
    due = _moments(len(struck), seconds)
    streams = [_stream(one, after_s, seconds, began, for_ms) for one, after_s in zip(struck, due, strict=True)]
    timed = sorted((one for stream in streams for one in stream), key=lambda one: one.after_s)
    completes = {one.id: (topic(one), after_s) for one, after_s in zip(struck, due, strict=True)}
    with OutboxWatch(system.engine, set(completes), LOOK_S) as watch:
        sender.go(timed, began)
        samples = _sampled(system, began, seconds, say)
        sent = sender.result(WAIT_S)
        judged_at, recorded_at = system.wait_covered(before.logged + sent.acknowledged, WAIT_S)
        seen = watch.wait(WAIT_S / 10)
    at = {(one.topic, one.after_s): moment for one, moment in zip(timed, sent.timed_at, strict=True)}
    published = {works: at[key] for works, key in completes.items()}
    try:
        told_of = delays(seen, published)
    except ValueError as error:
        raise TooSlow(f"{error}; see {system.config.data_path / 'log'}") from error
    readings = (sent.acknowledged - len(timed) + sum(one.payload.count(b'"t"') for one in timed)) * len(PARAMETERS)
    taken, took_s = system.taken().since(before), sent.ended_at - sent.began_at
    missing = taken.lost(sent.published, sent.acknowledged, readings)
    growth = growth_percent(samples, seconds)
    spent = {name: round(now_s - used[name], 1) for name, now_s in system.processor_s().items()}
    return {
        "seconds": round(took_s, 1),
        "messages_per_s": round(sent.acknowledged / took_s),
        "readings_per_s": round(readings / took_s),
        **told_of,
        "lost": missing + told_of["lost"],
        "published": sent.published,
        "acknowledged": sent.acknowledged,
        **asdict(taken),
        "behind_at_the_end_s": round(max(judged_at, recorded_at) - sent.ended_at, 2),
        "restarts": system.restarts() + sent.reconnects,
        "rss_mb": {name: values[-1] for name, values in _columns(samples).items()},
        "growth_percent": growth,
        "growth_most_percent": max(growth.values(), default=0.0),
        "processor_s": spent,
        "rss_mb_over_time": _shown(samples),
    }


def _moments(count: int, seconds: float) -> list[float]:
    """When each alarm is completed, from the start [s]: evenly spread, each at a random place in its share."""
    share = max(seconds - TAIL_S, 0.5) / count
    moments = share * (np.arange(count) + np.random.default_rng(7).random(count))
    return [float(one) for one in moments]


def _stream(one: Works, due_s: float, seconds: float, began: float, for_ms: int) -> list[Timed]:
    """All messages of a works whose alarm is completed at ``due_s``: at the floor from ``for_ms`` before until `LOST_FOR_MS` after,
    then sound until the end, a reading a minute. What lies before the start comes in one buffered upload at the start."""
    due = round((began + due_s) * 1000)
    times = range(due - for_ms, round((began + seconds) * 1000), STEP_MS)
    buffered = [at for at in times if at < began * 1000]

    def shown(at: int) -> dict[str, object]:
        return at_floor(at) if at < due + LOST_FOR_MS else sound(at)

    stream = [Timed(0.0, topic(one), json.dumps([at_floor(at) for at in buffered]).encode())] if buffered else []
    live = (at for at in times if at >= began * 1000)
    return stream + [
        # The moment itself for the reading that completes, so that it is found again.
        Timed(due_s if at == due else at / 1000 - began, topic(one), json.dumps(shown(at)).encode())
        for at in live
    ]


def _sampled(system: MeasuredSystem, began: float, seconds: float, say: Callable[[str], None]) -> Samples:
    """Memory of every process [MB] at moments from the start [s], until the load ends."""
    every_s = max(seconds / SAMPLES, LEAST_SAMPLE_S)
    samples: Samples = []
    said = 0.0
    while (elapsed := time.time() - began) < seconds:
        system.watch()
        found = system.memory_by_process_mb()
        samples.append((round(elapsed, 1), found))
        if elapsed - said >= 60:
            said = elapsed
            say(f"{elapsed:.0f} s: " + ", ".join(f"{name} {mb:.0f}" for name, mb in found.items()) + " MB")
        time.sleep(every_s)
    return samples


def growth_percent(samples: Samples, seconds: float) -> dict[str, float]:
    """Growth of each process after the warm-up (a third of short runs), between the medians of two stretches."""
    warm_s = min(WARM_UP_S, seconds / 3)
    steady_s = seconds - warm_s
    first = [values for at, values in samples if warm_s <= at <= warm_s + STRETCH * steady_s]
    last = [values for at, values in samples if at >= seconds - STRETCH * steady_s]
    if not (first and last):
        return {}
    grown = {}
    for name in last[-1]:
        began = [values[name] for values in first if values.get(name)]
        if began:
            grown[name] = round((median(values.get(name, 0.0) for values in last) / median(began) - 1) * 100, 2)
    return grown


def _columns(samples: Samples) -> Mapping[str, list[float]]:
    return (
        {name: [values[name] for _, values in samples if name in values] for name in samples[-1][1]} if samples else {}
    )


def _shown(samples: Samples) -> list[dict[str, float]]:
    """Some of the samples, for a table or a curve."""
    picked = np.unique(np.linspace(0, len(samples) - 1, min(SHOWN, len(samples))).round().astype(int)).tolist()
    return [{"s": samples[n][0], **samples[n][1]} for n in picked]
