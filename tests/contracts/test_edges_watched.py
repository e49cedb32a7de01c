"""What the watchdog measures of county edges at the province, and of the link at an edge; who is told, and what stands on the page."""

from dataclasses import replace
from pathlib import Path

import pytest

from alerts.operations import OperationsContact, load_operations
from qingquan.config import Config
from qingquan.domain.edges import EdgeLink
from qingquan.services.metrics import METRICS
from qingquan.services.operations_desk import OperationsDesk
from qingquan.services.watchdog import Watchdog
from qingquan.store.reading_log import LogInfo
from qingquan.store.reading_log.uplink import Uplink
from qingquan.store.sql.edges import save_edge_links
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.edges import EDGE, edges_file

LOG = LogInfo(10, 100, 1, 10, 1000)
CONTACT = OperationsContact("王工", (("wecom_app", "wang"),))


def watching(config: Config) -> Watchdog:
    upgrade(config.sql_url)
    shipped = load_operations()
    watches = tuple(one for one in shipped.watches if one.measure.startswith(("edge", "uplink")))
    return Watchdog(config, open_database(config.sql_url), replace(shipped, contacts=(CONTACT,), watches=watches))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the test lets pass."""
    now = [0.0]
    monkeypatch.setattr("qingquan.services.watchdog.steady_s", lambda: now[0])
    return now


def test_an_edge_unheard_for_two_minutes_is_told_once_and_by_name(tmp_path: Path, steady: list[float]) -> None:
    config = Config(data_dir=str(tmp_path), edges_file=edges_file(tmp_path, "520403"))
    watchdog = watching(config)
    engine = open_database(config.sql_url)

    def stands(heard_ago_s: float, **fields: object) -> list[tuple[str, bool]]:
        now = config.clock.now_ms()
        heard = now - round(heard_ago_s * 1000)
        with writing(engine) as connection:
            link = EdgeLink(EDGE, now, heard, heard, 1000, **fields)  # type: ignore[arg-type]
            save_edge_links(connection, [link])
        steady[0] += 10
        return [(one.cause, one.is_firing) for one in watchdog.round(LOG)]

    assert stands(0) == []
    assert stands(110) == []
    assert stands(130) == [(f"edge_silent:{EDGE}", True)]
    assert stands(140) == []
    metrics = watchdog.metrics().decode()
    assert f'qingquan_edge_up{{edge="{EDGE}"}} 0.0' in metrics
    assert f'qingquan_edge_waiting_messages{{edge="{EDGE}"}} 0.0' in metrics
    with reading(engine) as connection:
        (message,) = list_messages(connection).items
    assert f"县级边缘站{EDGE}失联2分钟" in message.body
    assert stands(0, waiting=20_000) == []
    changes = [change for _ in range(8) for change in stands(0, fault="made anew")]
    assert set(changes) == {(f"edge_silent:{EDGE}", False), (f"edge_refused:{EDGE}", True)}
    shown = {one.cause: one.condition for one in OperationsDesk(config, engine).view().watches}
    assert shown == {f"edge_silent:{EDGE}": "ok", f"edge_behind:{EDGE}": "ok", f"edge_refused:{EDGE}": "firing"}
    watchdog.close()
    engine.dispose()


def test_an_edge_whose_province_is_away_says_so_and_how_much_waits(tmp_path: Path, steady: list[float]) -> None:
    config = Config(data_dir=str(tmp_path), log_hub_url="nats://province:7422")
    watchdog = watching(config)
    changes = []
    for _ in range(35):
        steady[0] += 10
        changes += watchdog.round(LOG, Uplink(is_up=False, confirmed=4, waiting=6))
    assert [(one.cause, one.is_firing) for one in changes] == [("uplink_down", True)]
    metrics = watchdog.metrics().decode()
    assert "qingquan_uplink_up 0.0" in metrics
    assert "qingquan_uplink_waiting_messages 6.0" in metrics
    assert "qingquan_uplink_confirmed_sequence 4.0" in metrics
    for _ in range(10):
        steady[0] += 10
        changes += watchdog.round(LOG, Uplink(is_up=True, confirmed=10, waiting=0))
    assert [one.is_firing for one in changes] == [True, False]
    watchdog.close()


def test_who_is_neither_watches_neither(tmp_path: Path) -> None:
    watchdog = watching(Config(data_dir=str(tmp_path)))
    watchdog.round(LOG)
    text = watchdog.metrics().decode()
    assert not [name for name in METRICS if name.startswith(("edge", "uplink")) and f"qingquan_{name}" in text]
    assert "edge_silent" not in text
    watchdog.close()
