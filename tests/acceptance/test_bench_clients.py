"""Both clients of the reading log fetch the same messages; the setting chooses which one the services use. No times."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.clients import KINDS, run_clients
from qingquan.store.reading_log import ReadingLog
from qingquan.store.reading_log.fetchers import PythonFetcher, RustFetcher
from qingquan.testing.servers import running_reading_log


@pytest.mark.proof
def test_both_clients_fetch_every_message_of_the_same_log(tmp_path: Path) -> None:
    result = run_clients(Config(), 600, 1, works=50, folder=tmp_path)
    assert [row["client"] for row in result["rows"]] == list(KINDS)
    assert [row["lost"] for row in result["rows"]] == [0, 0]
    first, second = result["rows"]
    assert first["bytes"] == second["bytes"] > 600 * 80
    assert {"messages_per_s", "readings_per_s", "processor_us_per_message", "rss_mb"} <= first.keys()
    assert result["ratio"] > 0


def test_the_setting_chooses_the_client(tmp_path: Path) -> None:
    async def kind_of(config: Config) -> type:
        async with await ReadingLog.connect(config, name="chosen") as log:
            reader = log.reader(1)
            assert len(await reader.fetch(1, 2.0)) == 1
            return type(reader._fetcher)

    with running_reading_log(tmp_path) as config:
        assert asyncio.run(kind_of(config)) is RustFetcher
        assert asyncio.run(kind_of(replace(config, log_client="nats-py"))) is PythonFetcher
