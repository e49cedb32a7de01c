"""`qingquan alerts send-test`: one message straight to a channel, to see the provider's answer with one's own eyes."""

from pathlib import Path

from alerts.channels.base import Outcome
from alerts.channels.build import CHANNELS, build_channels, check_channels, missing
from qingquan.clock import Clock, from_ms
from qingquan.config import Config
from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import ConfigurationError, WrongUse

__all__ = ["send_test"]

TEXT = {
    "zh": "清泉测试消息\n> 收到即说明本通道可用，无需处理",
    "en": "Qingquan test message\n> this channel works; nothing to do",
}
WORDS = {"zh": ("测试水厂", "通道测试", "无需处理"), "en": ("Test works", "channel test", "nothing to do")}


def send_test(config: Config, channel: str, to: str, times: int = 1, config_file: Path | None = None) -> list[Outcome]:
    """What the provider answered to each of ``times`` messages.

    Raises
    ------
    WrongUse
        If there is no such channel, or the settings leave it off.
    ConfigurationError
        With everything that stands against the channels' settings.
    """
    if channel not in CHANNELS:
        raise WrongUse(f"--channel {channel}: allowed: {', '.join(CHANNELS)}")
    if faults := check_channels(config, config_file):
        raise ConfigurationError(faults)
    chosen = build_channels(config)[channel]
    if chosen is None:
        raise WrongUse(f"--channel {channel}: it is off: set {', '.join(missing(config, channel))}")
    try:
        return [chosen.send(_message(config, channel, to)) for _ in range(times)]
    finally:
        chosen.close()


def _message(config: Config, channel: str, to: str) -> Message:
    now_ms = Clock().now_ms()
    at, (works, problem, action) = from_ms(now_ms), WORDS[config.language]
    params = {
        "template": "alarm", "works": works, "problem": problem, "since": f"{at:%m-%d %H:%M}", "action": action,
        "severity": "info", "line": works,
    }  # fmt: skip
    # A number of its own keeps a test apart from every message of the outbox at the provider.
    return Message(
        id=now_ms % 1_000_000_000, incident_id=0, step="test", channel=channel, receiver=to, receiver_name="",
        body=TEXT[config.language], params=params, state=MessageState.SENDING, attempts=0, created_at=at, due_at=at,
        sent_at=None, provider_id="", error="",
    )  # fmt: skip
