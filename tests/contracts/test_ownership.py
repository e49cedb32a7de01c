"""Fences and leases on a real NATS server and both databases: who has lost a partition can change nothing, and is told why."""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.operations import ServiceSign
from qingquan.errors import ConfigurationError, OwnershipLost
from qingquan.services import leasing, one_log
from qingquan.services.leasing import LeaseKeeper, fair_share
from qingquan.services.one_log import require_one_log
from qingquan.services.scopes import EVALUATOR, OnePartition, WholeLog, claim_whole_log
from qingquan.services.signs import own_sign
from qingquan.store.reading_log import ensure_streams
from qingquan.store.reading_log import leases as leases_module
from qingquan.store.reading_log.binary import server_binary
from qingquan.store.reading_log.kept_state import KeptState
from qingquan.store.reading_log.leases import STATE_BUCKET, Bucket, Leases, open_bucket, written
from qingquan.store.sql import ownership
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.operations import save_sign
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, applied_sequence, set_applied_sequence
from qingquan.testing.ports import free_port
from qingquan.testing.postgres import PostgresMissing, fresh_database
from qingquan.testing.servers import log_settings, running_reading_log
from qingquan.testing.workers import Worker


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log"), log_lease_s=1.0, log_sharing="on") as config:
        yield config


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    yield from opened(request.param, tmp_path)


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Engine]:
    yield from opened("postgresql", tmp_path)


def opened(kind: str, folder: Path) -> Iterator[Engine]:
    try:
        url = fresh_database() if kind == "postgresql" else f"sqlite:///{folder / 'database'}"
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    upgrade(url)
    made = open_database(url)
    yield made
    made.dispose()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def test_an_owner_that_was_replaced_can_commit_nothing(log: Config, engine: Engine) -> None:
    async def story() -> None:
        state = await KeptState.connect(log, "first")
        later = await KeptState.connect(log, "second")
        name = OnePartition.state_name(3)
        with writing(engine) as connection:
            set_applied_sequence(connection, 0, 70)
            ownership.list_partitions(connection, EVALUATOR, 8, 70)
            # A database made anew knows nothing of owners that the log's engine remembers.
            epoch = ownership.claim(connection, EVALUATOR, 3, "a", await state.epoch_of(name) + 5)
        await state.take_over(name, epoch)
        old = OnePartition(log, 3, epoch, state, {})
        assert old.snapshots.load(3) is None
        with writing(engine) as connection:
            old.fence(connection)
            old.advance(connection, 100)
        await state.commit(name, 100, {"a": b"x" * 100_000})

        with writing(engine) as connection:
            newer = ownership.claim(connection, EVALUATOR, 3, "b", 1)
            assert newer == epoch + 1
        assert await later.take_over(name, newer) == {"a": b"x" * 100_000}
        with pytest.raises(OwnershipLost), writing(engine) as connection:
            old.fence(connection)
        with pytest.raises(OwnershipLost):
            await state.commit(name, 999, {"a": b"y"})
        with reading(engine) as connection:
            assert ownership.applied_of(connection, EVALUATOR, 3) == 100
            # All others still stand where the one reader of everything stood.
            assert applied_sequence(connection, 0) == ownership.least_applied(connection, EVALUATOR) == 70
        # The one who came late cannot take it back under its old epoch either.
        with pytest.raises(OwnershipLost):
            await state.take_over(name, epoch)
        await later.commit(name, 120, {"b": b"z"})
        assert await later.take_over(name, newer + 1) == {"b": b"z"}
        await state.close()
        await later.close()

    run(story)


def test_a_take_over_does_not_wait_for_one_stopped_in_the_middle_of_sending(on_postgres: Engine) -> None:
    engine = on_postgres
    with writing(engine) as connection:
        epoch = ownership.claim(connection, EVALUATOR, 3, "first")
    sleeping = engine.connect()
    ownership.require_owner(sleeping, EVALUATOR, 3, epoch)
    ownership.advance(sleeping, EVALUATOR, 3, applied=100)
    # Rows are sent without waiting for answers; who is stopped then has not said that the server's turn has come, and does not
    # count as idle.
    wire = sleeping.connection.driver_connection.pgconn  # type: ignore[union-attr]
    wire.enter_pipeline_mode()
    wire.send_query_params(b"SELECT 1", None)
    wire.send_flush_request()
    wire.flush()

    began = time.monotonic()
    with writing(engine) as connection:
        assert ownership.claim(connection, EVALUATOR, 3, "second") == epoch + 1
    assert time.monotonic() - began < 5
    with reading(engine) as connection:
        assert ownership.applied_of(connection, EVALUATOR, 3) == 0
    sleeping.invalidate()
    sleeping.close()


def test_a_damaged_snapshot_is_not_used(log: Config, capsys: pytest.CaptureFixture[str]) -> None:
    async def story() -> None:
        state = await KeptState.connect(log, "owner")
        await state.take_over("damage", 1)
        await state.commit("damage", 7, {"part": bytes(range(256)) * 1000})
        bucket = await open_bucket(log, STATE_BUCKET, "vandal")
        listed = await bucket.api(
            "STREAM.INFO.KV_QINGQUAN_STATE", {"subjects_filter": "$KV.QINGQUAN_STATE.pieces.damage.>"}
        )
        subject = next(iter(listed["state"]["subjects"]))
        await written(bucket, subject.removeprefix("$KV.QINGQUAN_STATE."), b"nonsense", expected=None)
        assert await state.take_over("damage", 2) == {}
        assert "snapshot damaged, rebuilding from the log" in capsys.readouterr().out
        await written(bucket, "damage", b"{", expected=None)
        assert await state.take_over("damage", 3) == {}
        assert "snapshot not understood, rebuilding from the log" in capsys.readouterr().out
        await bucket.client.close()
        await state.close()

    run(story)


def test_only_one_holds_a_lease_and_it_lapses(log: Config) -> None:
    async def story() -> None:
        leases = await Leases.connect(log, "a")
        first = await leases.acquire("t.part.0", b"a")
        assert first is not None
        assert await leases.acquire("t.part.0", b"b") is None
        renewed = await leases.renew("t.part.0", b"a", first)
        assert renewed is not None
        assert await leases.renew("t.part.0", b"a", first) is None
        assert await leases.held("t.") == {"t.part.0"}
        began = time.monotonic()
        while (taken := await leases.acquire("t.part.0", b"b")) is None:
            await asyncio.sleep(0.05)
        assert 0.5 < time.monotonic() - began < 3.0
        assert taken > renewed
        await leases.release(taken)
        assert await leases.held("t.") == set()
        await leases.close()

    run(story)


def test_services_that_start_at_the_same_moment_all_get_their_leases(log: Config) -> None:
    async def story() -> None:
        # Each tries whether it may write, under the same key: what one has written another may have replaced or removed.
        for _ in range(5):
            for leases in await asyncio.gather(*(Leases.connect(log, "evaluator-leases") for _ in range(8))):
                await leases.close()

    run(story)


@pytest.mark.parametrize("way", ["its time is up", "removed by another", "written over", "gone from among others"])
def test_a_trial_that_is_gone_before_it_is_removed_is_no_lack_of_rights(
    log: Config, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """On a busy machine a second and more lies between writing it and removing it; the server has a code for each way."""

    async def written_and_gone(bucket: Bucket, key: str, value: bytes, *, expected: int | None) -> int | None:
        if way == "gone from among others":
            await written(bucket, key + ".before", value, expected=None)
        sequence = await written(bucket, key, value, expected=expected)
        if way == "its time is up":
            await asyncio.sleep(1.5)
        if way in ("removed by another", "gone from among others"):
            await bucket.api(f"STREAM.MSG.DELETE.{bucket.stream}", {"seq": sequence, "no_erase": True})
        if way == "written over":
            await written(bucket, key, value, expected=None)
        return sequence

    monkeypatch.setattr(leases_module, "written", written_and_gone)

    async def story() -> None:
        await (await Leases.connect(log, "evaluator-leases")).close()

    run(story)


@pytest.mark.parametrize("members", range(1, 12))
def test_shares_differ_by_one_at_most_and_cover_everything(members: int) -> None:
    names = [f"m{n}" for n in range(members)]
    shares = [fair_share(8, names, name) for name in names]
    assert sum(shares) == 8
    assert max(shares) - min(shares) <= 1
    assert fair_share(8, names, "stranger") == 0


def test_the_whole_log_has_one_owner_and_cannot_be_had_once_shared(log: Config, engine: Engine) -> None:
    with writing(engine) as connection:
        old = WholeLog(log, claim_whole_log(connection, EVALUATOR, "a"))
        old.fence(connection)
    with writing(engine) as connection:
        new = WholeLog(log, claim_whole_log(connection, EVALUATOR, "b"))
    with pytest.raises(OwnershipLost, match="owner is now b"), writing(engine) as connection:
        old.fence(connection)
    with writing(engine) as connection:
        new.fence(connection)
        new.advance(connection, 50)
        new.saved(connection, 40)
        ownership.list_partitions(connection, EVALUATOR, 8, 50, 40)
    with writing(engine) as connection:
        ownership.advance(connection, EVALUATOR, 0, applied=90, snapshot=90)
    with reading(engine) as connection:
        assert ownership.least_snapshot(connection, EVALUATOR) == applied_sequence(connection, SNAPSHOT_PARTITION) == 40
    with pytest.raises(ConfigurationError, match="set log_sharing = 'on'"), writing(engine) as connection:
        claim_whole_log(connection, EVALUATOR, "c")


def test_members_that_judge_by_other_rules_are_refused(log: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leasing, "SETTLE_S", 0.3)
    first = LeaseKeeper(log, "rules", 8, "host-1-aa", {"ruleset": "1 (abc)"})
    first.start()
    try:
        deadline = time.monotonic() + 10
        while len(first.held()) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run(LeaseKeeper(log, "rules", 8, "host-2-bb", {"ruleset": "1 (abc)"}).check)
        with pytest.raises(ConfigurationError) as refused:
            run(LeaseKeeper(log, "rules", 8, "host-3-cc", {"ruleset": "2 (def)"}).check)
        [line] = refused.value.faults
        assert "host-1-aa works by ruleset 1 (abc), this one by ruleset 2 (def)" in line
        assert "rules activate" in line
    finally:
        first.stop()


def refusal(config: Config, log: Path) -> str:
    """What an evaluator says that ends with the exit status of wrong use; it must be one line."""
    upgrade(config.sql_url)
    with Worker(config, "evaluator", log) as worker:
        assert worker.wait(120) == 2, log.read_text()
    lines = [line for line in log.read_text().splitlines() if "timestamp=" not in line]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_second_evaluator_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running_reading_log(tmp_path) as config:
        upgrade(config.sql_url)
        with Worker(config, "evaluator", tmp_path / "first.log") as first:
            deadline = time.monotonic() + 120
            while not first.said("evaluator started"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            line = refusal(config, tmp_path / "second.log")
            assert "another evaluator runs on this data" in line
            assert "log_sharing = 'on'" in line
            assert first.is_running


def test_a_log_with_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    with running_reading_log(tmp_path, log_partitions=4) as config:
        other = Config(**{**_settings(config), "log_partitions": 8})
        assert "set log_partitions to what it was made with" in refusal(other, tmp_path / "refused.log")


def test_a_server_without_jetstream_is_refused(tmp_path: Path) -> None:
    with _server(tmp_path, "") as config:
        config = Config(**{**_settings(config), "log_sharing": "on"})
        assert "enable JetStream for the account" in refusal(config, tmp_path / "refused.log")


def test_a_bucket_without_rights_is_refused(tmp_path: Path) -> None:
    text = """
    accounts { WQ { jetstream: enabled, users: [
      { user: admin, password: a }
      { user: narrow, password: n, permissions: { publish: { deny: ["$KV.>"] } } } ] } }
    """
    with _server(tmp_path, f"jetstream {{ store_dir: {json.dumps(str(tmp_path / 'js'))} }}\n{text}") as config:
        admin = Config(**{**_settings(config), "log_user": "admin", "log_password": "a"})
        asyncio.run(ensure_streams(admin))
        narrow = Config(**{**_settings(config), "log_user": "narrow", "log_password": "n", "log_sharing": "on"})
        line = refusal(narrow, tmp_path / "refused.log")
        assert "log_user = 'narrow': may not use the bucket QINGQUAN_LEASE" in line
        assert "allow this user to publish to $JS.API.> and $KV.QINGQUAN_LEASE.>" in line


def test_a_bucket_of_another_life_time_is_refused(log: Config, tmp_path: Path) -> None:
    run(lambda: _opened(log))
    other = Config(**{**_settings(log), "log_lease_s": 9.0, "database_url": f"sqlite:///{tmp_path / 'other'}"})
    assert "set log_lease_s alike for all services" in refusal(other, tmp_path / "refused.log")


def test_other_copies_than_the_log_has_are_refused(log: Config) -> None:
    three = Config(**{**_settings(log), "log_replicas": 3})
    with pytest.raises(
        ConfigurationError, match="log_replicas = 3: the reading log at log_url has 1: set log_replicas = 1"
    ) as refused:
        run(lambda: open_bucket(three, "QINGQUAN_OTHER", "once"))
    assert len(refused.value.faults) == 1


def test_services_of_one_database_that_name_two_logs_are_refused(
    log: Config, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign(seen_at: int) -> None:
        with writing(engine) as connection:
            save_sign(
                connection, ServiceSign("recorder", "elsewhere:7", 0, seen_at, 1, 0.0, log="2020-01-01T00:00:00Z")
            )

    now = time.time_ns() // 1_000_000
    sign(now)
    later = threading.Timer(0.5, sign, [now + 500])
    later.start()
    with pytest.raises(ConfigurationError) as refused:
        run(lambda: require_one_log(log, engine, EVALUATOR))
    later.join()
    [line] = refused.value.faults
    assert "recorder elsewhere:7 of the same database reads the log made 2020-01-01T00:00:00Z" in line
    assert "name the same servers in log_url for all services" in line

    # Nobody signs any more: the old log is gone, and its readers with it.
    monkeypatch.setattr(one_log, "SIGNS_AGAIN_S", 0.6)
    run(lambda: require_one_log(log, engine, EVALUATOR))
    assert own_sign(EVALUATOR).log not in ("", "2020-01-01T00:00:00Z")


async def _opened(config: Config) -> None:
    await (await Leases.connect(config, "once")).close()


def _settings(config: Config) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@contextmanager
def _server(folder: Path, text: str) -> Iterator[Config]:
    port, file = free_port(), folder / "nats.conf"
    file.write_text(f'listen: "127.0.0.1:{port}"\nserver_name: lone\n{text}')
    with (folder / "nats.log").open("wb") as output:
        process = subprocess.Popen([str(server_binary()), "-c", str(file)], stdout=output, stderr=output)
    try:
        yield log_settings(folder, log_url=f"nats://127.0.0.1:{port}")
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
