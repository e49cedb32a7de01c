"""A gateway double on a free port, in a thread of the test, and messages to send to it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvicorn

from alerts.channels.aliyun_sms import AliyunSms
from alerts.channels.base import Channel
from alerts.channels.build import build_channels
from alerts.channels.wecom_robot import WecomRobot
from alerts.double import Account, GatewayDouble
from alerts.double_answers import WaysBack
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.incidents import Message, MessageState
from qingquan.services.gateway_double import account_of, demonstration_settings

__all__ = ["RunningDouble", "outbox_message", "running_double", "served_app"]

START_S = 10.0


@dataclass(frozen=True, slots=True)
class RunningDouble:
    """A double that listens, and settings whose channels lead to it."""

    double: GatewayDouble
    url: str
    config: Config

    def robot(self, **options: Any) -> WecomRobot:
        """The WeCom channel, leading here."""
        return WecomRobot(self.url, self.config.wecom_robot_key, **options)

    def sms(self, **options: Any) -> AliyunSms:
        """The SMS channel, leading here."""
        config = self.config
        templates = {
            "alarm": config.aliyun_template_alarm,
            "recovery": config.aliyun_template_recovery,
            "plain": config.aliyun_template_plain,
            "several": config.aliyun_template_several,
        }
        given = (config.aliyun_key_id, config.aliyun_key_secret, config.aliyun_sign_name, templates)
        return AliyunSms(self.url, *given, **options)

    def channel(self, name: str) -> Channel:
        """Any channel of the settings, leading here."""
        built = build_channels(self.config)[name]
        assert built is not None, name
        return built

    def fault(self, channel: str, **fault: Any) -> None:
        """Script the next request's fault."""
        self.double.faults[channel].append(fault)

    def texts(self, channel: str) -> list[str]:
        """What was accepted over a channel, oldest first."""
        return [one.text for one in self.double.messages if one.channel == channel]


@contextmanager
def running_double(
    config: Config | None = None, wall_ms: Callable[[], int] | None = None, ways: WaysBack | None = None
) -> Iterator[RunningDouble]:
    """A double that listens on a free port of this machine, ended afterwards."""
    account: Account = account_of(demonstration_settings(config or Config(), 1))
    clock = {} if wall_ms is None else {"wall_ms": wall_ms}
    double = GatewayDouble(account, ways=ways, **clock)
    with served_app(double.app) as url:
        # No evaluator runs beside it that an alerter could wait for after its start.
        port = int(url.rpartition(":")[2])
        settings = replace(demonstration_settings(config or Config(), port), restart_hold_s=0.0)
        yield RunningDouble(double, url, settings)


@contextmanager
def served_app(app: Any) -> Iterator[str]:
    """An application that listens on a free port of this machine, ended afterwards; its address."""
    served = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=0)
    server = uvicorn.Server(served)
    thread = threading.Thread(target=server.run, name="served-app", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the application did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)


def outbox_message(channel: str, *, id: int = 1, **fields: Any) -> Message:
    """A queued message as the outbox hands it to a channel; ``fields`` override."""
    at = from_ms(1_782_000_000_000)
    params = {
        "template": "alarm",
        "works": "青山镇城东水厂",
        "problem": "出厂水游离氯0.02mg/L，低于0.3mg/L",
        "since": "08:10",
        "action": "请立即检查投加泵和药箱",
        "severity": "critical",
    }
    values: dict[str, Any] = {
        "id": id, "incident_id": 1, "step": "firing", "channel": channel, "receiver": "13800000001",
        "receiver_name": "张三", "body": "**严重告警｜青山镇城东水厂**", "params": params, "state": MessageState.QUEUED,
        "attempts": 0, "created_at": at, "due_at": at, "sent_at": None, "provider_id": "", "error": "",
    }  # fmt: skip
    return Message(**{**values, **fields})
