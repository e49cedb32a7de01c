"""Devices keep what the broker did not acknowledge and send it when the broker is back."""

import asyncio
import json
import threading
import time
from dataclasses import replace

import pytest

from qingquan.store.reading_log import EmbeddedServer, ReadingLog, ensure_streams, resolve_log_config
from qingquan.testing.servers import log_settings
from simulators.county import county
from simulators.generate import messages
from simulators.publish import run


def _stored(config, least):
    async def fetched():
        found = []
        async with await ReadingLog.connect(config, name="test") as log:
            last = await log.last_sequence()
            assert last >= least
            reader = log.reader(1)
            while not found or found[-1].sequence < last:
                found += await reader.fetch(5000, 1.0)
        return found

    return asyncio.run(fetched())


@pytest.mark.parametrize("is_lean", [False, True])
def test_no_message_is_missing_after_the_broker_was_away_in_the_middle_of_a_run(tmp_path, is_lean):
    server = EmbeddedServer(log_settings(tmp_path))
    server.start()
    config = resolve_log_config(log_settings(tmp_path))
    asyncio.run(ensure_streams(config))
    fixed = replace(config)  # ports as they are now, so that the server comes back where the devices look for it

    async def has_begun():
        async with await ReadingLog.connect(config, name="test") as log:
            begun = await log.last_sequence()
            while await log.last_sequence() < begun + 100:
                await asyncio.sleep(0.1)

    def restart():
        nonlocal server
        asyncio.run(has_begun())
        server.stop()
        time.sleep(0.5)
        server = EmbeddedServer(fixed)
        server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    try:
        done = run(config, 200, "calm", 80.0, 5, hours=0.2, window=20, is_lean=is_lean, report=lambda _: None)
        restarting.join()
        assert done.reconnects > 0
        assert done.given_up == 0
        stored = {(m.subject.split(".", 2)[2], m.payload) for m in _stored(config, done.acknowledged)}
        start = done.at_ms - 12 * 60_000
        sent = {
            (".".join(("wq", *topic)), payload) for _, topic, payload in messages(county(200, 5), "calm", start, 0.2, 5)
        }
        assert len(sent) == done.published
        assert sent == stored
        assert all(json.loads(payload) for _, payload in sent)
    finally:
        restarting.join()
        server.stop()
