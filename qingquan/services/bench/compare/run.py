"""`qingquan bench compare`: throughput to the database, delay until a reading can be read there, processor and memory.

Every rival gets as many messages as keep it busy for some seconds at the pace it showed in a trial; the load is one and the same
stream, of which a slow one sees less. The clock runs from the first PUBLISH until all of them are found in the database. Looking
must not be part of what is measured: the database is asked for the last messages of a repeat alone, and for all of them once
those are there. Processor time is that of the rival, of the broker and of the database.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qingquan.config import Config
from qingquan.services.bench.alarms import topic
from qingquan.services.bench.compare.rivals import OURS, Place, Rival, Running, rivals
from qingquan.services.bench.compare.sink import MarkWatch, Sink
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.machine import command, cpu_s, descendants, describe, rss_mb
from qingquan.services.bench.sender import Order, Sender, Timed, sending
from qingquan.services.bench.system import TooSlow
from qingquan.testing.brokers import Mosquitto
from qingquan.testing.influx import influx_server, influxd_path

__all__ = ["Effort", "run_compare", "table_text"]

DATABASE = "qingquan"
START_WAIT_S = 300.0
POLL_S = 0.05
_LAST = 16
"""Messages that tell that a repeat has ended: two of every connection of the load generator."""
LEAST_MESSAGES, MOST_MESSAGES = 100, 60_000
SETTLE_S = 2.0
UPLOAD_S = 7_200


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: works of the load, repeats, seconds of each, messages of the trial (all works have reported then); then ``marks`` readings whose
    delay is taken, at ``rate`` messages/s, one in ``mark_s``."""

    works: int = 5_840
    repeats: int = 5
    seconds: float = 6.0
    trial: int = 6_000
    marks: int = 60
    mark_s: float = 0.15
    rate: float = 100.0


def run_compare(
    config: Config, effort: Effort = Effort(), *, node_red: Path | None = None, only: Sequence[Rival] | None = None,
    folder: Path | None = None, say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure. Keys: `machine`, `rows` (one a rival, with `messages_per_s`, `readings_per_s`, `lost`, `p50_ms`, `p99_ms`,
    `rss_mb`, `ratio` = ours to it), `skipped` (a line each)."""
    skipped = [one for one in (Mosquitto.missing(), "" if influxd_path() else "influxd is not installed") if one]
    if skipped:
        return {"machine": describe(), "rows": [], "skipped": skipped}
    rows: list[dict[str, Any]] = []
    machine = describe()
    for rival in only or rivals(node_red):
        if rival.missing:
            skipped.append(f"{rival.name}: {rival.missing}")
            continue
        say(rival.name)
        with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
            rows.append(_measured(rival, Path(name), config, effort, say))
    ours = next((row for row in rows if row["name"] == OURS), None)
    for row in rows:
        row["ratio"] = None if ours is None else round(ours["messages_per_s"] / row["messages_per_s"], 2)
        row["ratio_processor"] = (
            None if ours is None else round(row["processor_us_per_message"] / ours["processor_us_per_message"], 2)
        )
    return {"machine": machine, "works": effort.works, "repeats": effort.repeats, "rows": rows, "skipped": skipped}


def _measured(rival: Rival, folder: Path, config: Config, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """One rival with a broker and a database server of its own, both new."""
    # Trials, at most three times the longest repeat together, and the repeats; each begins a new round.
    rounds = (effort.repeats + 3) * MOST_MESSAGES // effort.works + effort.repeats + 10
    start_ms = config.clock.now_ms() - (rounds + 2) * STEP_MS
    others = set(descendants(os.getpid()))
    # The last works takes no part in the load: its readings are those whose delay is taken.
    # The load lies up to two hours in the past: works that were to report every minute would all be silent, and judging that would
    # be most of what is measured.
    register = [replace(one, upload_interval_s=UPLOAD_S) for one in Load(effort.works + 1, start_ms).register]
    broker = Mosquitto(folder / "broker")
    broker.start()
    try:
        with influx_server(folder / "influx") as url:
            sink = Sink(url, DATABASE)
            sink.create()
            place = Place(folder / "rival", broker.port, url, DATABASE, config, register)
            device = replace(config, mqtt_host="127.0.0.1", mqtt_port=broker.port, mqtt_user="", mqtt_password="")
            with rival.start(place) as running, sending(device) as sender:
                servers = {
                    command(one): [one]
                    for one in descendants(os.getpid())
                    if command(one) in ("influxd", "mosquitto") and one not in others
                }
                trial = _Trial(running, servers, sender, sink, effort, start_ms)
                trial.await_start()
                figures = trial.throughput(say)
                say(f"{rival.name}: {figures['messages_per_s']} messages/s")
                figures |= trial.delays(topic(register[-1]), register[-1].id)
                memory = sum(rss_mb(one) or 0.0 for some in running.processes().values() for one in some)
            sink.close()
    finally:
        broker.stop()
    return {"name": rival.name, "differs": rival.differs, **figures, "rss_mb": round(memory, 1)}


class _Trial:
    """The orders to one rival; rounds of the load are used up one after the other."""

    def __init__(
        self, running: Running, servers: Mapping[str, Sequence[int]], sender: Sender, sink: Sink, effort: Effort, start_ms: int
    ) -> None:  # fmt: skip
        self._running, self._servers = running, servers
        self._sender, self._sink, self._effort = sender, sink, effort
        self._start_ms = start_ms
        self._arriving = [one.split("/")[2] for one in Load(effort.works, start_ms).topics()]
        self._next = 0

    def await_start(self) -> None:
        """The rival has subscribed: a message arrives in the sink."""
        deadline = time.monotonic() + START_WAIT_S
        while not self._stored(0, 1):
            if time.monotonic() > deadline:
                raise TooSlow(f"nothing arrives in the database within {START_WAIT_S:.0f} s")
            self._send(0, 1, 1)
            time.sleep(0.5)
        self._next = 1

    def throughput(self, say: Callable[[str], None]) -> dict[str, Any]:
        """Median of the repeats."""
        count = self._as_many_as_fill(self._effort.seconds)
        repeats = [self._timed(count) for _ in range(self._effort.repeats)]
        say(f"{[one['messages_per_s'] for one in repeats]} messages/s")
        middle = statistics.median_low(one["messages_per_s"] for one in repeats)
        return {
            "messages_per_s": middle,
            "readings_per_s": middle * len(PARAMETERS),
            "messages_per_s_least": min(one["messages_per_s"] for one in repeats),
            "messages_per_s_most": max(one["messages_per_s"] for one in repeats),
            "messages": count * self._effort.repeats,
            "lost": sum(one["lost"] for one in repeats),
            "processor_us_per_message": round(statistics.median(one["processor_us"] for one in repeats), 1),
            "processor_us_by_process": {
                name: round(statistics.median(one["processor_us_by_process"][name] for one in repeats), 1)
                for name in repeats[0]["processor_us_by_process"]
            },
        }

    def _as_many_as_fill(self, seconds: float) -> int:
        """Messages for so long, from trials that grow until one is long enough to tell. The first one is not looked at: all works
        are new in it, to the rival as to the database."""
        count = self._effort.trial
        self._timed(count)
        while True:
            pace = float(self._timed(count)["messages_per_s"])
            if count / pace >= seconds / 3 or count >= MOST_MESSAGES:
                return round(min(max(pace * seconds, LEAST_MESSAGES), MOST_MESSAGES))
            count = min(count * 4, MOST_MESSAGES)

    def delays(self, marked: str, works: str) -> dict[str, Any]:
        """From publishing to being readable, under a load that everybody can carry."""
        effort = self._effort
        seconds = SETTLE_S + effort.marks * effort.mark_s
        rounds = -(-round(effort.rate * seconds) // effort.works)
        order = Order(effort.works, self._start_ms, STEP_MS, self._next, rounds, rate=effort.rate)
        self._sender.prepare(replace(order, most=round(effort.rate * seconds)))
        began = time.time() + 0.5
        timed = [_mark(marked, began, SETTLE_S + n * effort.mark_s, n) for n in range(effort.marks)]
        with MarkWatch(self._sink.url, self._sink.database, works) as watch:
            self._sender.go([one for one, _ in timed], began)
            sent = self._sender.result(START_WAIT_S)
            watch.wait(len(timed), 30.0)
        found = [
            (watch.found[at] - moment) * 1000
            for (_, at), moment in zip(timed, sent.timed_at, strict=True)
            if at in watch.found
        ]
        if not found:
            return {"p50_ms": None, "p99_ms": None, "marks_lost": len(timed)}
        p50, p99 = np.percentile(found, [50, 99])
        return {
            "p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1), "marks_lost": len(timed) - len(found),
        }  # fmt: skip

    def _timed(self, count: int) -> dict[str, Any]:
        effort = self._effort
        rounds = -(-count // effort.works)
        first, self._next = self._next, self._next + rounds
        judged = self._running.judged() if self._running.judged else 0
        used = self._used()
        sent_at, published = self._send(first, rounds, count)
        deadline = time.monotonic() + 60 + 10 * effort.seconds
        stored, pause_s = 0, POLL_S
        while stored < count and time.monotonic() < deadline:
            found_at = time.time()
            is_judged = self._running.judged is None or self._running.judged() - judged >= count
            if is_judged and self._has_last(first, rounds, count):
                stored = self._stored(first, rounds)
                pause_s = max(POLL_S, 3 * (time.time() - found_at))
            if stored < count:
                time.sleep(pause_s)
        stored = stored or self._stored(first, rounds)
        spent = {name: (now - used[name]) * 1e6 / max(stored, 1) for name, now in self._used().items()}
        return {
            "messages_per_s": max(round(stored / (found_at - sent_at)), 1),
            "lost": abs(published - stored),
            "processor_us": sum(spent.values()),
            "processor_us_by_process": spent,
        }

    def _has_last(self, first: int, rounds: int, count: int) -> bool:
        """Whether the last messages are in the database."""
        ended = count - (rounds - 1) * self._effort.works
        last = self._arriving[max(ended - _LAST, 0) : ended]
        at = self._start_ms + (first + rounds - 1) * STEP_MS
        return self._sink.count(at, at + STEP_MS, last) == len(last)

    def _send(self, first: int, rounds: int, count: int) -> tuple[float, int]:
        order = Order(self._effort.works, self._start_ms, STEP_MS, first, rounds, most=count)
        self._sender.prepare(order)
        self._sender.go()
        sent = self._sender.result(START_WAIT_S)
        return sent.began_at, sent.published

    def _stored(self, first: int, rounds: int) -> int:
        return self._sink.count(self._start_ms + first * STEP_MS, self._start_ms + (first + rounds) * STEP_MS)

    def _used(self) -> dict[str, float]:
        """Processor time so far by process [s]."""
        groups = {**self._running.processes(), **self._servers}
        return {name: sum(cpu_s(one) for one in group) for name, group in groups.items()}


def _mark(marked: str, began: float, after_s: float, number: int) -> tuple[Timed, int]:
    """A reading of the marked works, observed when it is sent; its time tells it from the others."""
    at = round((began + after_s) * 1000)
    values = dict(zip(PARAMETERS, (0.6 + number % 5 / 100, 0.4, 7.2, 17.0, 12.0), strict=True))
    return Timed(after_s, marked, json.dumps({"t": at, "v": values}).encode()), at


def table_text(result: dict[str, Any]) -> str:
    """For people."""
    head = ("", "messages/s", "ratio", "lost", "p50 ms", "p99 ms", "µs/message", "MB")
    keys = ("name", "messages_per_s", "ratio", "lost", "p50_ms", "p99_ms", "processor_us_per_message", "rss_mb")
    lines = ["".join(f"{one:<34}" if n == 0 else f"{one:>12}" for n, one in enumerate(head))]
    for row in result["rows"]:
        lines.append("".join(f"{row[key]:<34}" if key == "name" else f"{row[key]!s:>12}" for key in keys))
    lines += [f"  {row['name']}: {row['differs']}" for row in result["rows"]]
    return "\n".join([*lines, *(f"未测 skipped: {one}" for one in result["skipped"])])
