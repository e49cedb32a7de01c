"""A county edge cut off from its province: it receives, judges and alerts on; afterwards both hold the same, and nobody was told twice."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import BrokerLost
from qingquan.store.sql.engine import open_database, reading
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.edges import EdgePair, running_edge_pair
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.system import System
from simulators.devices import Devices

pytestmark = pytest.mark.proof

WORKS = [make_works(f"W{number:03}", ("free_chlorine", "flow")) for number in range(40)]
BEFORE, DURING = WORKS[0], WORKS[1]
MINUTES = 90
LOST_MIN = 45
GONE = (MessageState.ACCEPTED, MessageState.DELIVERED)


def story(works: list[int], begun: int, minutes: range) -> list[tuple[int, str, bytes]]:
    """An hour and a half of some works minute by minute; the two that lose their residual do so half-way."""
    entries = []
    for minute in minutes:
        for number in works:
            is_lost = WORKS[number] in (BEFORE, DURING) and minute >= MINUTES - LOST_MIN
            values = {"free_chlorine": 0.01 if is_lost else 0.5 + number / 1000, "flow": 8.0}
            payload = json.dumps({"t": begun + minute * MINUTE, "v": values}).encode()
            entries.append((number % 4, f"wq/{WORKS[number].county}/{WORKS[number].id}/outlet/json", payload))
    return entries


def findings(system: System) -> dict[str, tuple[str, int, int | None]]:
    engine = open_database(system.config.sql_url)
    try:
        with reading(engine) as connection:
            return {one.id: (one.kind, one.start, one.end) for one in list_findings(connection, limit=10_000)}
    finally:
        engine.dispose()


def messages(system: System) -> list[Message]:
    engine = open_database(system.config.sql_url)
    try:
        with reading(engine) as connection:
            return list(list_messages(connection, limit=10_000))
    finally:
        engine.dispose()


def told_of(system: System, name: str) -> bool:
    """Whether somebody has been told of a works."""
    return any(one.state in GONE and name in one.body for one in messages(system))


class Sender:
    """Four devices of the edge."""

    def __init__(self, pair: EdgePair) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self._devices = Devices(pair.edge.config, 4, window=100)
        self._devices.connect(20)

    def send(self, entries: list[tuple[int, str, bytes]]) -> None:
        for device, topic, payload in entries:
            self._devices.put(device, topic, payload)
            self.sent.append((topic, payload))

    def drained(self) -> bool:
        self._devices.pump(0.05)
        return self._devices.acknowledged >= len(self.sent)

    @property
    def acknowledged(self) -> int:
        return self._devices.acknowledged

    def close(self) -> None:
        self._devices.close()


def last_sequence(system: System) -> int:
    """0 while its log server is away."""
    try:
        return system.last_sequence()
    except BrokerLost:
        return 0


def test_cut_off_it_alerts_on_and_afterwards_both_hold_the_same(tmp_path: Path) -> None:
    with running_edge_pair(tmp_path, WORKS) as pair:
        edge, province = pair.edge, pair.province
        begun = edge.config.clock.now_ms() // MINUTE * MINUTE - MINUTES * MINUTE
        sender = Sender(pair)
        others = [number for number in range(len(WORKS)) if WORKS[number] is not DURING]
        sender.send(story(others, begun, range(MINUTES)))
        pair.wait_for(sender.drained, "all acknowledged with the link up")
        pair.wait_for(lambda: told_of(edge, BEFORE.name), "the edge tells of the first loss")
        pair.wait_for(lambda: set(findings(edge)) <= set(findings(province)), "the province finds the same")

        pair.link.cut()
        taken = last_sequence(province)
        sender.send(story([WORKS.index(DURING)], begun, range(MINUTES)))
        pair.wait_for(sender.drained, "the edge acknowledges while cut off")
        pair.wait_for(lambda: told_of(edge, DURING.name), "the edge judges and tells while cut off")
        # Many more, and the edge's log server dies among them.
        seconds = [(n, t, p.replace(b"000, ", b"500, ")) for n, t, p in story(others, begun, range(MINUTES))]
        sender.send(seconds)
        pair.wait_for(
            lambda: sender.drained() or sender.acknowledged > len(sender.sent) - len(seconds) * 2 // 3, "load"
        )
        assert edge.signal("nats-server", signal.SIGKILL)
        pair.wait_for(sender.drained, "all acknowledged after the edge's log server died")
        assert last_sequence(province) == taken, "nothing crosses a cut link"

        backlog = last_sequence(edge)
        pair.link.mend()
        mended = time.monotonic()
        pair.wait_for(lambda: last_sequence(province) > taken + 100, "the transfer begins")
        assert province.signal("nats-server", signal.SIGKILL)
        half = last_sequence(province)
        print(f"province killed at {half} of {backlog}, {time.monotonic() - mended:.1f} s after the link was back")
        pair.wait_for(lambda: last_sequence(province) >= backlog - 5, "the province has caught up")
        print(f"caught up {time.monotonic() - mended:.1f} s after the link was back")
        pair.wait_for(lambda: pair.logged()[0] == pair.logged()[1], "both logs are the same", 20)
        above, below = pair.logged()
        assert above == below
        assert {(topic.replace(".", "/"), payload) for topic, payload in below} == set(sender.sent)
        last = last_sequence(province)
        pair.wait_for(lambda: province.evaluated() >= last and edge.evaluated() >= backlog, "both have judged all")
        pair.wait_for(lambda: findings(edge) == findings(province), "both have found the same")
        assert {kind for kind, _, _ in findings(edge).values()} >= {"disinfection_missing"}

        sent = [one for one in messages(edge) if one.state in GONE]
        assert {name for name in (BEFORE.name, DURING.name) if any(name in one.body for one in sent)} == {
            BEFORE.name,
            DURING.name,
        }
        keys = Counter((one.incident_id, one.step, one.receiver, one.channel) for one in sent)
        assert max(keys.values()) == 1
        texts = Counter((one["channel"], one["to"], one["text"]) for one in edge.accepted_messages())
        assert texts
        assert max(texts.values()) == 1, "each message once at the provider"
        assert province.accepted_messages() == []
        held = messages(province)
        assert held
        assert {one.state for one in held} == {MessageState.NOT_SENT}
        assert all("边缘站puding" in one.error for one in held), [one.error for one in held]
        sender.close()
