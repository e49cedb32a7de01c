"""What the log's servers answer: no answer yet is waited for, a refusal is a refusal."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from qingquan.errors import BrokerLost
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi


class Answers:
    """A client whose server gives one answer."""

    is_connected = True

    def __init__(self, error: dict[str, object]) -> None:
        self.error = error

    async def request(self, *_: object, **__: object) -> object:
        return SimpleNamespace(data=json.dumps({"error": self.error}).encode())


@pytest.mark.parametrize("code", [10004, 10005, 10008, 10009, 10023])
def test_servers_that_are_choosing_a_leader_have_not_refused(code: int) -> None:
    """Taken for a refusal, a service that began at that moment said it lacked a right, and ended."""
    api = JetStreamApi(Answers({"code": 503, "err_code": code, "description": "temporarily unavailable"}))  # type: ignore[arg-type]
    with pytest.raises(BrokerLost, match=str(code)):
        asyncio.run(api("STREAM.MSG.DELETE.KV_QINGQUAN_LEASE"))


def test_a_refusal_has_its_code_and_words() -> None:
    api = JetStreamApi(Answers({"code": 404, "err_code": 10059, "description": "stream not found"}))  # type: ignore[arg-type]
    with pytest.raises(ApiRefused, match="stream not found") as refused:
        asyncio.run(api("STREAM.INFO.READINGS"))
    assert refused.value.code == 10059
