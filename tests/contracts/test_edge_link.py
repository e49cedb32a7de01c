"""The link between a county edge and its province, with real servers: what crosses, what does not, and what each side knows of it."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import paho.mqtt.client as mqtt
import pytest
from nats.aio.msg import Msg
from paho.mqtt.enums import CallbackAPIVersion

from qingquan.config import Config
from qingquan.domain.edges import EdgeLink
from qingquan.domain.readings import LogMessage
from qingquan.edge_table import load_edges
from qingquan.services.edges import EdgeKeeper
from qingquan.services.log_server import LogTail
from qingquan.services.recorder import Recorder, _Summary
from qingquan.store.reading_log import ReadingLog, partition_of, resolve_log_config
from qingquan.store.reading_log.connection import connect
from qingquan.store.reading_log.uplink import ensure_uplink, look_at_edge
from qingquan.store.sql.edges import load_edge_links
from qingquan.store.sql.engine import open_database, reading, upgrade
from qingquan.testing.edges import EDGE, edge_settings, edges_file, province_settings
from qingquan.testing.proxy import TcpProxy, running_proxy
from qingquan.testing.servers import started_server

COUNTY, OTHER = "520403", "520499"


@dataclass
class Pair:
    """Both servers run, no service beside them."""

    province: Config
    edge: Config
    link: TcpProxy

    def publish(self, county: str, works: str, count: int = 1, qos: int = 1) -> None:
        """As a device of the edge."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.username_pw_set(self.edge.mqtt_user, self.edge.mqtt_password)
        client.connect("127.0.0.1", self.edge.mqtt_port)
        client.loop_start()
        sent = [client.publish(f"wq/{county}/{works}/outlet/json", json.dumps({"n": n}), qos=qos) for n in range(count)]
        for one in sent:
            one.wait_for_publish(10)
            assert one.is_published()
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    province = province_settings(tmp_path / "province", COUNTY)
    upgrade(province.sql_url)
    with running_proxy(province.leaf_port) as link:
        edge = edge_settings(tmp_path / "edge", COUNTY, link.port, log_partitions=4)
        with started_server(edge), started_server(province):
            asyncio.run(ensure_uplink(resolve_log_config(edge)))
            yield Pair(resolve_log_config(province), resolve_log_config(edge), link)


async def until(holds: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := await holds()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)
    return found


async def content(config: Config) -> list[tuple[str, bytes]]:
    async with await ReadingLog.connect(config, name="test") as log:
        reader, last = log.reader(1), await log.last_sequence()
        found: list[LogMessage] = []
        while last and (not found or found[-1].sequence < last):
            found += await reader.fetch(1000, 0.5)
    return [(one.subject, one.payload) for one in found]


class Keeper:
    """The province's service, looked at once a call."""

    def __init__(self, config: Config) -> None:
        self.config = config

    async def look(self, edges: str = "") -> EdgeLink:
        config = replace(self.config, edges_file=edges or self.config.edges_file)
        engine, client = open_database(config.sql_url), await connect(config, name="test")
        try:
            (link,) = await EdgeKeeper(config, engine, client, load_edges(config.edges_file)).look()
            with reading(engine) as connection:
                assert load_edge_links(connection) == {EDGE: link}
            return link
        finally:
            await client.close()
            engine.dispose()

    async def is_held(self) -> bool:
        client = await connect(self.config, name="test")
        try:
            look = await look_at_edge(client, EDGE)
        finally:
            await client.close()
        return look is None or look.is_held


def test_nothing_is_sent_before_the_province_has_taken_hold_and_nothing_of_it_is_lost(pair: Pair) -> None:
    keeper = Keeper(pair.province)

    async def run() -> None:
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 40)
        async with await ReadingLog.connect(pair.edge, name="test") as log:
            uplink = await log.uplink()
        assert uplink is not None
        assert (uplink.confirmed, uplink.waiting) == (0, 40)
        assert await keeper.is_held()
        await until(lambda: heard(keeper), "the edge is heard and let go")
        await until(lambda: confirmed(pair.edge, 40), "everything is confirmed")
        assert len(await content(pair.province)) == 40
        # Once let go it stays so, also when the edge starts again.
        await ensure_uplink(pair.edge)
        assert not await keeper.is_held()

    asyncio.run(run())


def test_the_province_takes_what_the_edge_has_into_partitions_of_its_own(pair: Pair) -> None:
    keeper = Keeper(pair.province)

    async def run() -> None:
        first = await until(lambda: heard(keeper), "the edge is heard")
        assert (first.fault, first.waiting) == ("", 0)
        await asyncio.to_thread(pair.publish, OTHER, "W1")
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 300)

        async def all_there() -> bool:
            return len(await content(pair.province)) >= 300

        await until(all_there, "all have crossed")
        above, below = await content(pair.province), await content(pair.edge)
        assert len(below) == 301
        part = partition_of(COUNTY, "W7", pair.province.log_partitions)
        assert {subject for subject, _ in above} == {f"part.{part}.wq.{COUNTY}.W7.outlet.json"}
        assert [payload for _, payload in above] == [payload for subject, payload in below if COUNTY in subject]
        await until(lambda: confirmed(pair.edge, 301), "everything is confirmed at the edge")

    asyncio.run(run())


async def heard(keeper: Keeper) -> EdgeLink | None:
    """Heard, and no longer held: the province's source has attached."""
    link = await keeper.look()
    return link if link.heard_at == link.checked_at and not await keeper.is_held() else None


async def confirmed(config: Config, least: int) -> bool:
    async with await ReadingLog.connect(config, name="test") as log:
        uplink = await log.uplink()
    assert uplink is not None
    return uplink.confirmed >= least and uplink.waiting == 0


def test_a_cut_edge_frees_only_what_the_province_has_confirmed(pair: Pair) -> None:
    keeper = Keeper(pair.province)

    async def run() -> None:
        await until(lambda: heard(keeper), "the edge is heard")
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 20)
        await until(lambda: confirmed(pair.edge, 20), "the first are confirmed")
        pair.link.cut()
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 30)
        link = await keeper.look()
        assert link.heard_at != link.checked_at
        async with await ReadingLog.connect(pair.edge, name="test") as log:
            uplink = await log.uplink()
            assert uplink is not None
            assert (uplink.is_up, uplink.confirmed, uplink.waiting) == (False, 20, 30)
            await _Summary(cast(Recorder, Recorded()), log, 0)._purge(50, 0)
            assert await log.first_sequence() == 21
            pair.link.mend()
            await until(lambda: confirmed(pair.edge, 50), "the rest is confirmed")
            await _Summary(cast(Recorder, Recorded()), log, 0)._purge(50, 0)
            assert await log.first_sequence() == 51
        assert len(await content(pair.province)) == 50

    asyncio.run(run())


class Recorded:
    """Evaluator and recorder of the edge have covered everything."""

    def others(self) -> tuple[int, int]:
        return 50, 0

    def recorded(self, covered: int) -> int:
        return covered


def test_ordinary_messages_of_devices_do_not_cross_either_way(pair: Pair) -> None:
    async def run() -> None:
        await until(lambda: heard(Keeper(pair.province)), "the edge is heard")
        above, below = await connect(pair.province, name="test"), await connect(pair.edge, name="test")
        seen: list[str] = []

        async def note(message: Msg) -> None:
            seen.append(message.subject)

        for client in (above, below):
            for subject in ("wq.>", "$MQTT.msgs.>", "dn.>"):
                await client.subscribe(subject, cb=note)
            await client.flush()
        await asyncio.sleep(0.3)
        await above.publish("dn.520403.W1", b"from above")
        await above.publish("wq.520403.W1.outlet.json", b"from above")
        await above.flush()
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 1, 0)
        await asyncio.sleep(0.5)
        # Each is seen on its own side and there alone.
        assert sorted(seen) == ["dn.520403.W1", "wq.520403.W1.outlet.json", "wq.520403.W7.outlet.json"]
        with pytest.raises(Exception, match="no responders"):
            await above.request(f"$JS.{EDGE}.API.STREAM.PURGE.READINGS", b"", timeout=1)
        for client in (above, below):
            await client.close()

    asyncio.run(run())


def test_an_edge_that_hands_on_other_counties_is_left_out_by_name_until_both_agree(pair: Pair, tmp_path: Path) -> None:
    keeper = Keeper(pair.province)
    other = tmp_path / "other"
    other.mkdir()

    async def run() -> None:
        await until(lambda: heard(keeper), "the edge is heard")
        link = await keeper.look(edges_file(other, OTHER))
        assert "hands on counties 520403, edges_file has 520499" in link.fault
        await asyncio.to_thread(pair.publish, COUNTY, "W7", 10)
        await asyncio.sleep(1.0)
        assert await content(pair.province) == []
        assert (await keeper.look()).fault == ""

        async def all_there() -> bool:
            return len(await content(pair.province)) == 10

        await until(all_there, "what waited has crossed")

    asyncio.run(run())


def test_a_wrong_password_is_said_with_its_remedy_and_the_edge_goes_on(pair: Pair, tmp_path: Path) -> None:
    stranger = edge_settings(
        tmp_path / "stranger", COUNTY, pair.province.leaf_port, log_hub_password="another-secret-of-tests"
    )
    with started_server(stranger) as server:
        tail = LogTail(server.log_file)
        deadline, counts = time.monotonic() + 20, dict[str, int]()
        while "hub_login_refused" not in counts:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            counts |= tail.poll()
        Pair(pair.province, resolve_log_config(stranger), pair.link).publish(COUNTY, "W7", 5)
