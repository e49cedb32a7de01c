"""Short signed links: one incident, one receiver, one purpose, until then. The signature is pure; its key stands in the database.

A token is 12 characters of base62, the beginning of an HMAC-SHA256 over what it stands for: 71 bits, too many to guess at a
page that takes some tries a minute. The store keeps the digest of a token and what it stands for; both must agree.
A link is dead when its time is over, and as soon as its incident is closed. Neither log nor outbox ever holds a token: it
is put into the message at the moment it is handed over.
"""

import hmac
from hashlib import sha256

from sqlalchemy import Connection, Engine

from qingquan.clock import to_ms
from qingquan.domain.answers import Link
from qingquan.domain.incidents import IncidentState, Message
from qingquan.errors import StoreUnavailable
from qingquan.store.sql.answers import find_link, link_key, save_link
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import get_incident

__all__ = ["ANSWER", "PATH", "TOKEN_LENGTH", "Linker", "followed", "public_url_faults", "token_digest", "token_of"]

ANSWER = "answer"
PATH = "/a/"
TOKEN_LENGTH = 12
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def token_of(key: bytes, link: Link) -> str:
    """The token of a link; the same for the same link."""
    said = "\x1f".join(
        (str(link.incident_id), str(link.message_id), link.channel, link.receiver, link.person, link.purpose, str(link.expires_at))
    )  # fmt: skip
    number = int.from_bytes(hmac.digest(key, said.encode(), "sha256"), "big")
    letters = []
    for _ in range(TOKEN_LENGTH):
        number, place = divmod(number, 62)
        letters.append(_BASE62[place])
    return "".join(letters)


def token_digest(token: str) -> str:
    """What the store keeps of a token."""
    return sha256(token.encode()).hexdigest()


def followed(connection: Connection, token: str, now_ms: int) -> Link | None:
    """What a token leads to; ``None`` if it is not ours, its time is over, or its incident is closed."""
    if len(token) != TOKEN_LENGTH or not token.isascii() or not token.isalnum():
        return None
    link, key = find_link(connection, token_digest(token)), link_key(connection)
    if link is None or key is None or not hmac.compare_digest(token_of(bytes.fromhex(key), link), token):
        return None
    incident = get_incident(connection, link.incident_id)
    if link.expires_at <= now_ms or incident is None or incident.state is IncidentState.CLOSED:
        return None
    return link


class Linker:
    """Makes the links of messages as they go out. Safe to use from several threads."""

    def __init__(self, engine: Engine, public_url: str, lasts_ms: int) -> None:
        self._engine, self._url, self._lasts_ms = engine, public_url.rstrip("/"), lasts_ms

    def console(self, incident_id: int) -> str:
        """Where the console shows an incident."""
        return f"{self._url}/incidents/{incident_id}"

    def link(self, message: Message) -> str:
        """The address of a message's own link; empty where links are off, or the database is away: the message matters more."""
        if not self._url or not message.incident_id:
            return ""
        expires = to_ms(message.created_at) + self._lasts_ms
        link = Link(
            message.incident_id, message.id, message.channel, message.receiver, message.receiver_name, ANSWER, expires
        )
        try:
            with reading(self._engine) as connection:
                key = link_key(connection)
                known = key is not None and find_link(connection, token_digest(token_of(bytes.fromhex(key), link)))
            if key is None or not known:
                with writing(self._engine) as connection:
                    key = link_key(connection)
                    assert key is not None
                    save_link(connection, token_digest(token_of(bytes.fromhex(key), link)), link)
        except StoreUnavailable:
            return ""
        return f"{self._url}{PATH}{token_of(bytes.fromhex(key), link)}"


def public_url_faults(public_url: str) -> list[str]:
    """What stands against the address people reach us by, one line; nothing against none."""
    host = public_url.partition("://")[2].partition("/")[0]
    if not public_url or (
        public_url.startswith(("http://", "https://")) and host and not set(public_url) & set(" ?#\"'<>")
    ):
        return []
    return [f"public_url = {public_url!r}: allowed: http:// or https:// with a host, or empty for no links in messages"]
