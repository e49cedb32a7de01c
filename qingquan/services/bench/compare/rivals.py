"""Who is compared: each takes messages from the same Mosquitto and brings them into the same InfluxDB.

What is the same for all: the load, the broker with its settings, QoS 1 with a persistent session, the database server, the schema
of its rows, a check of limits on every message. What cannot be the same is said beside each (`differs`).
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.services.bench.compare import node_red, telegraf
from qingquan.services.bench.machine import descendants
from qingquan.services.bench.system import READERS, measured_system

__all__ = ["OURS", "Place", "Rival", "Running", "rivals"]

OURS = "qingquan"
STOP_WAIT_S = 10.0
_PLAIN = "qingquan.services.bench.compare.plain_script"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rival finds broker and database, and a folder for itself. ``register`` is the works of the load."""

    folder: Path
    mqtt_port: int
    influx_url: str
    database: str
    config: Config
    register: Sequence[Works]


@dataclass(frozen=True, slots=True)
class Running:
    """A rival at work: its processes by name, and how many messages it has also judged (``None``: judged before they are
    stored)."""

    processes: Callable[[], Mapping[str, Sequence[int]]]
    judged: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Rival:
    """``missing`` says why it cannot be had here; empty if it can."""

    name: str
    differs: str
    missing: str
    start: Callable[[Place], AbstractContextManager[Running]]


def rivals(node_red_folder: Path | None) -> list[Rival]:
    """Ours first."""

    def flows(place: Place) -> list[str]:
        assert node_red_folder is not None
        return node_red.command(
            node_red_folder.resolve(), place.folder, place.mqtt_port, place.influx_url, place.database
        )

    return [
        Rival(
            OURS,
            "acknowledges the broker once its own log has the message (fsync every 250 ms), reads on after a crash; judges all "
            "rules with state, keeps arrivals and progress beside the readings; stores in batches of half a second",
            "", _ours,
        ),
        Rival(
            "plain script, a write a message",
            "acknowledges the broker once InfluxDB has the point; no log, no register, two fixed limits without state",
            "", _process(lambda place: _plain(place, "one")),
        ),
        Rival(
            "plain script, batches",
            "acknowledges the broker before the point is written: up to a second of points is lost with the process",
            "", _process(lambda place: _plain(place, "batches")),
        ),
        Rival(
            "Node-RED",
            "acknowledges the broker when the message enters the flow, before it is written",
            node_red.missing(node_red_folder), _process(flows),
        ),
        Rival(
            "Telegraf",
            "acknowledges the broker once a batch is written; two fixed limits without state",
            telegraf.missing(),
            _process(lambda place: telegraf.command(place.folder, place.mqtt_port, place.influx_url, place.database)),
        ),
    ]  # fmt: skip


def _plain(place: Place, how: str) -> list[str]:
    return [sys.executable, "-m", _PLAIN, str(place.mqtt_port), place.influx_url, place.database, how]


def _process(command: Callable[[Place], list[str]]) -> Callable[[Place], AbstractContextManager[Running]]:
    @contextmanager
    def start(place: Place) -> Iterator[Running]:
        place.folder.mkdir(parents=True, exist_ok=True)
        with (place.folder / "output").open("ab") as output:
            process = subprocess.Popen(command(place), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield Running(lambda: {"rival": [process.pid, *descendants(process.pid)]})
        finally:
            process.terminate()
            try:
                process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    return start


@contextmanager
def _ours(place: Place) -> Iterator[Running]:
    config = replace(
        place.config, series_store="influx", influx_api="v1", influx_url=place.influx_url, influx_bucket=place.database,
        bridge_host="127.0.0.1", bridge_port=place.mqtt_port, bridge_topic="wq/#",
    )  # fmt: skip
    with measured_system(place.folder, place.register, config, services=(*READERS, "bridge")) as system:
        yield Running(system.processes_by_service, system.evaluated)
