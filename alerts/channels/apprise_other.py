"""Any other channel that the library apprise knows (optional extra ``qingquan[apprise]``).

Its "success" is only as true as the plug-in behind it: several look at the HTTP status alone, and Chinese robots refuse with
HTTP 200. So nothing sent this way counts as accepted for certain (see `UNPROVEN`), and WeCom, DingTalk, Feishu and SMS are
refused here at the start: they have channels of their own.
"""

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from alerts.channels.base import ErrorClass, Outcome, accepted, refused, unknown
from alerts.channels.plain import plain_lines
from alerts.channels.wecom_app import _bytes_cut
from qingquan.domain.incidents import Message

__all__ = ["NAME", "UNPROVEN", "AppriseOther", "apprise_faults"]

NAME = "apprise"
UNPROVEN = "apprise-unproven"
OWN_CHANNELS = frozenset({"wecombot", "wechat", "wecom", "dingtalk", "feishu", "lark", "serverchan"})
BODY_BYTES = 2000


def apprise_faults(url: str) -> list[str]:
    """What stands against this URL; the URL itself is a secret and not repeated."""
    scheme = urlsplit(url).scheme.lower()
    if scheme in OWN_CHANNELS:
        return [f"apprise_url = {scheme}://***: allowed: a service without a channel of its own here (this one has)"]
    try:
        module = import_module("apprise")
    except ImportError:
        return ["apprise_url is set but apprise is missing: pip install 'qingquan[apprise]'"]
    return (
        [] if module.Apprise().add(url) else [f"apprise_url = {scheme}://***: allowed: a URL that apprise understands"]
    )


class AppriseOther:
    """Channel over one apprise URL."""

    name = NAME
    can_be_asked = False
    gives_receipts = False
    reaches = "group"

    def __init__(self, url: str) -> None:
        self._library: Any = import_module("apprise")
        self._sender = self._library.Apprise()
        self._sender.add(url)

    def send(self, message: Message) -> Outcome:
        """Hand over one message. ``False`` of the library hides whether the other side took it."""
        title, *rows = plain_lines(message.body) or [""]
        try:
            done = self._sender.notify(title=title, body=_bytes_cut("\n".join(rows) or title, BODY_BYTES))
        except Exception as error:  # a plug-in may raise anything; it must not end the alerter
            return unknown(type(error).__name__)
        if done is None:
            return refused(ErrorClass.ACCOUNT, detail="apprise has no service for this message")
        return accepted(UNPROVEN) if done else unknown("apprise reports a failure")

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """There is no plainer form."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """The library offers no question."""
        return unknown("apprise cannot be asked")

    def close(self) -> None:
        """Nothing is kept open."""
