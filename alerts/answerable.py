"""A channel whose messages can be answered: its link, or the words that ask for a reply, are put in as a message goes out."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Engine

from alerts.channels.base import Channel, Outcome
from alerts.channels.build import sms_codes
from alerts.links import Linker
from alerts.messages import BY_TEMPLATE
from alerts.policy import load_policy
from alerts.templates import load_templates
from qingquan.config import Config
from qingquan.domain.incidents import Message

__all__ = ["REPLIED", "Answerable", "with_answers"]

REPLIED = "alarm_reply"


class Answerable:
    """The channel within, for messages with a way back. Groups get none: a link says who answers."""

    def __init__(self, inner: Channel, linker: Linker, *, takes_replies: bool = False, language: str = "zh") -> None:
        self._inner, self._linker = inner, linker
        self._takes_replies, self._language = takes_replies, language
        self.name, self.can_be_asked = inner.name, inner.can_be_asked
        self.gives_receipts, self.reaches = inner.gives_receipts, inner.reaches

    def send(self, message: Message) -> Outcome:
        """Hand over one message."""
        return self._inner.send(self.answerable(message))

    def send_fallback(self, message: Message) -> Outcome | None:
        """The plainest form, as it is."""
        return self._inner.send_fallback(message)

    def ask(self, message: Message) -> Outcome:
        """What became of an earlier attempt."""
        return self._inner.ask(message)

    def close(self) -> None:
        """Release connections."""
        self._inner.close()

    def answerable(self, message: Message) -> Message:
        """The message with its way back."""
        if self._takes_replies:
            return self._with_reply(message)
        if self.reaches != "person":
            return message
        link = self._linker.link(message)
        if not link:
            return message
        shown = message.body.replace(f"{self._linker.console(message.incident_id)})", f"{link})")
        return replace(message, body=shown, params={**message.params, "link": link})

    def _with_reply(self, message: Message) -> Message:
        """An alarm asks for a reply with the incident's number as the code; nothing else does."""
        if message.params.get("template") != "alarm" or message.incident_id > 999_999:
            return message
        params = {**message.params, "template": REPLIED, "code": str(message.incident_id)}
        return replace(message, params=params, body=load_templates()[REPLIED].rendered(params, self._language))


def with_answers(channels: Mapping[str, Channel | None], engine: Engine, config: Config) -> dict[str, Channel | None]:
    """The channels of the settings, each with the way back it can carry: links where people reach us, replies where they come in."""
    linker = Linker(engine, config.public_url, load_policy(config.alerts_file).link_lasts_ms)
    takes_replies = {
        f"{provider}_sms"
        for provider in ("aliyun", "tencent")
        if config.receipts_token and sms_codes(config, provider)[REPLIED]
    }
    return {
        name: channel
        if channel is None or (channel.reaches == "person" and name in BY_TEMPLATE and name not in takes_replies)
        else Answerable(channel, linker, takes_replies=name in takes_replies, language=config.language)
        for name, channel in channels.items()
    }
