"""`qingquan bench chaos`: seeds, one after the other; each a system of its own, devices, a script of faults, and the count."""

import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.services.bench.chaos.check import Checked, check, findings_of, firing_under_way
from qingquan.services.bench.chaos.databases import has_influx, influx_kind
from qingquan.services.bench.chaos.disks import BALLAST, can_mount
from qingquan.services.bench.chaos.fire import Fire
from qingquan.services.bench.chaos.schedule import schedule
from qingquan.services.bench.chaos.sender import Order, Progress, Senders, sending
from qingquan.services.bench.chaos.stage import Stage, stage
from qingquan.services.bench.chaos.truth import Truth, undisturbed
from qingquan.services.bench.chaos.water import Water
from qingquan.services.bench.load import PARAMETERS, STEP_MS
from qingquan.services.bench.machine import describe
from qingquan.services.bench.system import TooSlow
from qingquan.services.recorder import READER
from qingquan.services.scopes import EVALUATOR
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import reading
from qingquan.store.sql.ownership import least_applied

__all__ = ["Size", "run_chaos"]

SENT_S, COVERED_S, TOLD_S = 240.0, 180.0, 90.0
LOOK_S = 0.05
RECORDER = "recorder"
KEYS = ("readings", "lost", "duplicated", "incidents_expected", "incidents_found", "messages_duplicated")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is sent: ``rounds`` readings by the minute of five parameters at each of ``works``, ``together`` minutes a message,
    spread over ``seconds``."""

    works: int
    rounds: int
    together: int = 10
    seconds: float = 30.0

    @classmethod
    def of(cls, readings: int, works: int, together: int, seconds: float) -> "Size":
        """As many rounds as make at least so many readings."""
        return cls(works, -(-readings // (works * len(PARAMETERS))), together, seconds)


def run_chaos(
    config: Config, seeds: Sequence[int], size: Size, store: str = "auto", folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Run the seeds. Keys of the sum: those of `KEYS`; ``seeds`` has a row for each, ``is_whole`` says whether nothing differs."""
    rows = [_run_seed(config, seed, size, store, folder, say) for seed in seeds]
    return {
        **{key: sum(row[key] for row in rows) for key in KEYS},
        "is_whole": all(row["is_whole"] for row in rows),
        "faults_injected": dict(sum((Counter(row["faults_injected"]) for row in rows), Counter())),
        "seeds": rows,
        "machine": describe(),
    }


def _run_seed(
    config: Config, seed: int, size: Size, store: str, parent: Path | None, say: Callable[[str], None]
) -> dict[str, Any]:
    began = time.monotonic()
    chosen = store if store != "auto" else ("influx" if has_influx() and seed % 2 == 0 else "duckdb")
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"qingquan-chaos-{seed}-", dir=parent))
    # PostgreSQL runs as a user of its own and has to get through.
    folder.chmod(0o755)
    start_ms = config.clock.now_ms() // STEP_MS * STEP_MS - size.rounds * STEP_MS
    water = Water(size.works, size.rounds, size.together, start_ms, seed)
    say(f"种子 seed {seed}: {water.readings} readings, {size.works} works, {chosen}; {folder}")
    row: dict[str, Any] = dict.fromkeys(KEYS, 0)
    try:
        with stage(folder, water.register, chosen, say) as made:
            row |= _about(made, chosen)
            truth = undisturbed(made.config, water, folder)
            fire = Fire(made, schedule(seed, made.cast))
            try:
                row |= _burnt(made, fire, _order(made, water, seed, size), truth, say)
            finally:
                row["faults"] = [asdict(one) for one in fire.done]
                row["faults_injected"] = Counter(one.kind for one in fire.done)
                row["ended_by_themselves"] = {
                    n: p.ended_by_itself for n, p in made.processes.items() if p.ended_by_itself
                }
            checked = _checked(made, water, truth)
            if checked.faults and RECORDER in made.disks:
                # A small disk goes with the run.
                shutil.copytree(
                    made.disks[RECORDER].folder,
                    folder / f"{RECORDER}-disk",
                    ignore=shutil.ignore_patterns("*.sock", BALLAST),
                )
        row |= {name: getattr(checked, name) for name in KEYS} | checked.details
        row["differences"] = checked.faults[:20]
        row["is_whole"] = not checked.faults and not row["ended_by_themselves"]
    except (QingquanError, TimeoutError, RuntimeError, subprocess.SubprocessError) as error:
        # What could not be counted is not there.
        row |= {"readings": water.readings, "lost": water.readings, "is_whole": False, "differences": [str(error)]}
    row |= {"seed": seed, "seconds": round(time.monotonic() - began, 1)}
    row.setdefault("faults_injected", {})
    if row["is_whole"]:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        row["kept"] = str(folder)
    say(f"种子 seed {seed}: " + ", ".join(f"{key} {row[key]}" for key in KEYS) + f", {row['seconds']} s")
    for line in row["differences"][:5]:
        say(f"  {line}")
    return row


def _about(made: Stage, store: str) -> dict[str, Any]:
    return {
        "network_cuts": made.network.kind,
        "full_disk": "tmpfs" if can_mount() else "limit on the size of files",
        "database": made.databases.kind,
        "series_store": "DuckDB, one recorder" if store == "duckdb" else f"{influx_kind()}, two recorders",
    }


def _order(made: Stage, water: Water, seed: int, size: Size) -> Order:
    return Order(
        Config(mqtt_user=made.config.log_user, mqtt_password=made.config.log_password), made.brokers, size.works,
        size.rounds, size.together, water.start_ms, seed, size.seconds,
    )  # fmt: skip


def _burnt(made: Stage, fire: Fire, order: Order, truth: Truth, say: Callable[[str], None]) -> dict[str, Any]:
    """Send under fire, then wait until everybody is through."""
    with sending(order) as senders:
        senders.wait_ready()
        fire.light()
        senders.go()
        began = time.monotonic()
        sent = _under_fire(made, fire, senders)
        sent_s = time.monotonic() - began
    say(f"全部确认 everything acknowledged after {sent_s:.0f} s, {sent.reconnects} reconnects; {len(fire.done)} faults")
    last = _last(made)
    made.wait(lambda: _covered(made) >= last, f"everything judged and recorded up to {last}", COVERED_S)
    caught_up_s = time.monotonic() - began - sent_s
    _wait_told(made, truth)
    return {
        "sent_s": round(sent_s, 1), "caught_up_s": round(caught_up_s, 1), "reconnects": sent.reconnects,
        "messages_sent": sent.total,
    }  # fmt: skip


def _under_fire(made: Stage, fire: Fire, senders: Senders) -> Progress:
    deadline = time.monotonic() + SENT_S
    try:
        while True:
            # Asked first: devices that have ended had told everything before, and putting a fault right takes its time.
            goes_on = senders.is_running
            sent = senders.progress()
            fire.spread(sent.acknowledged / max(sent.total, 1))
            made.watch()
            if sent.is_done and fire.is_over:
                return sent
            if time.monotonic() > deadline or not (goes_on or sent.is_done):
                raise TooSlow(
                    f"{sent.acknowledged} of {sent.total} messages acknowledged; the devices {senders.standing};"
                    f" faults under way: {fire.under_way or 'none'}"
                )
            time.sleep(LOOK_S)
    finally:
        fire.put_right()


def _last(made: Stage) -> int:
    found: list[int] = []

    def asked() -> bool:
        last = made.last_sequence()
        found.extend([] if last is None else [last])
        return bool(found)

    made.wait(asked, "the log answers", COVERED_S)
    return found[0]


def _covered(made: Stage) -> int:
    """Log sequence up to which everything is judged and recorded; 0 while somebody does not answer."""
    try:
        with closing(open_series_reader(made.recorder_config)) as store:
            recorded = store.covered(READER)
        with reading(made.engine) as connection:
            return min(recorded, least_applied(connection, EVALUATOR))
    except StoreUnavailable:
        return 0


def _wait_told(made: Stage, truth: Truth) -> None:
    """Until findings stand still and alarms are out; what is not by then is counted as it is."""
    deadline = time.monotonic() + TOLD_S
    while time.monotonic() < deadline:
        made.watch()
        if findings_of(made) == truth.findings and not firing_under_way(made):
            return
        time.sleep(0.5)


def _checked(made: Stage, water: Water, truth: Truth) -> Checked:
    """The writers of the store end first: an embedded one has one user at a time."""
    for name in made.cast.recorders:
        made.processes[name].stop()
    return check(made, water, truth)
