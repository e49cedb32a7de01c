"""`qingquan bench clients`: the two clients behind the reading log's reader, on the same log, one after the other.

Each fetches every message as the evaluator does and looks at its payload. Processor time is that of this process, the server's
is taken beside it; repeats take turns, so that a busy moment of the machine hits both.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from qingquan.config import Config
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.machine import cpu_s, describe, rss_mb
from qingquan.services.bench.sender import Order, sending
from qingquan.services.bench.system import TooSlow, measured_system
from qingquan.store.reading_log import ReadingLog
from qingquan.store.reading_log.fetchers import FetcherKind

__all__ = ["run_clients"]

KINDS: tuple[FetcherKind, ...] = get_args(FetcherKind)
FETCH_MESSAGES = 4096
WAIT_S = 5.0
SEND_WAIT_S = 300.0


def run_clients(
    config: Config, messages: int = 200_000, repeats: int = 5, *, works: int = 5_840, folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure. Keys: `machine`, `rows` (one a client, with `messages_per_s`, `readings_per_s`, `lost`,
    `processor_us_per_message`), `ratio` (natsrpy to nats-py)."""
    rounds = -(-messages // works)
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        machine = describe()
        start_ms = config.clock.now_ms() - (rounds + 2) * STEP_MS
        with (
            measured_system(Path(name) / "data", Load(works, start_ms).register, config, say, services=()) as system,
            sending(system.config) as sender,
        ):
            first = system.last_sequence() + 1
            sender.prepare(Order(works, start_ms, STEP_MS, 0, rounds, most=messages))
            sender.go()
            sent = sender.result(SEND_WAIT_S)
            server = system.processes()
            taken: dict[FetcherKind, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
            for number in range(repeats):
                for kind in KINDS:
                    say(f"{kind} {number + 1}/{repeats}")
                    taken[kind].append(_pass(system.config, kind, first, sent.acknowledged, server))
    rows = [_row(kind, taken[kind]) for kind in KINDS]
    rate = {row["client"]: row["messages_per_s"] for row in rows}
    return {
        "machine": machine, "messages": sent.acknowledged, "repeats": repeats, "rows": rows,
        "ratio": round(rate["natsrpy"] / rate["nats-py"], 2),
    }  # fmt: skip


def _pass(config: Config, kind: FetcherKind, first: int, count: int, server: Sequence[int]) -> dict[str, Any]:
    return asyncio.run(_read(replace(config, log_client=kind), first, count, server))


async def _read(config: Config, first: int, count: int, server: Sequence[int]) -> dict[str, Any]:
    async with await ReadingLog.connect(config, name="bench") as log:
        reader = log.reader(first)
        found, size = 0, 0
        used, used_server = time.process_time(), sum(map(cpu_s, server))
        began = time.perf_counter()
        while found < count:
            batch = await reader.fetch(FETCH_MESSAGES, WAIT_S)
            if not batch:
                raise TooSlow(f"{config.log_client}: nothing came for {WAIT_S:.0f} s after {found} of {count} messages")
            found += len(batch)
            size += sum(len(message.payload) for message in batch)
        took_s = time.perf_counter() - began
        return {
            "messages_per_s": count / took_s, "lost": abs(count - found), "bytes": size,
            "processor_us": (time.process_time() - used) * 1e6 / count,
            "server_us": (sum(map(cpu_s, server)) - used_server) * 1e6 / count,
        }  # fmt: skip


def _row(kind: FetcherKind, passes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rate = statistics.median(one["messages_per_s"] for one in passes)
    return {
        "client": kind,
        "messages_per_s": round(rate),
        "readings_per_s": round(rate * len(PARAMETERS)),
        "messages_per_s_least": round(min(one["messages_per_s"] for one in passes)),
        "messages_per_s_most": round(max(one["messages_per_s"] for one in passes)),
        "lost": sum(one["lost"] for one in passes),
        "bytes": passes[0]["bytes"],
        "processor_us_per_message": round(statistics.median(one["processor_us"] for one in passes), 2),
        "server_us_per_message": round(statistics.median(one["server_us"] for one in passes), 2),
        "rss_mb": rss_mb(),
    }
