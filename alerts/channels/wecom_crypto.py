"""Callback crypto of WeCom, and of WeChat official accounts in safe mode. Pure but for the random prefix.

AES-256-CBC, the first half of the key as IV, padding to 32 bytes; inside: 16 random bytes, length (4 bytes, big-endian), text,
receive id. Whatever does not fit is one refusal, `CallbackRefused`, which says nothing about where it failed.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from xml.etree import ElementTree

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

__all__ = ["CallbackCrypto", "CallbackRefused", "CardEvent", "card_event"]

BLOCK = 32
PREFIX = 16
MOST_BYTES = 262_144


class CallbackRefused(ValueError):
    """A callback that is not the provider's, or not for us."""


class CallbackCrypto:
    """Checks, opens and seals callbacks of one application. ``receive_id`` is the corporation id, or the app id of WeChat."""

    def __init__(self, token: str, encoding_key: str, receive_id: str) -> None:
        try:
            self._key = base64.b64decode(encoding_key + "=", validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("wecom_callback_key: allowed: 43 letters and digits (EncodingAESKey)") from error
        if len(self._key) != 32:
            raise ValueError("wecom_callback_key: allowed: 43 letters and digits (EncodingAESKey)")
        self._token, self._receive_id = token, receive_id

    def signature(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """``msg_signature`` of a sealed text."""
        joined = "".join(sorted((self._token, timestamp, nonce, encrypted)))
        return hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()

    def opened(self, signature: str, timestamp: str, nonce: str, encrypted: str) -> str:
        """The text inside, once the signature stands and it is for us."""
        if len(encrypted) > MOST_BYTES:
            raise CallbackRefused("too long")
        expected = self.signature(timestamp, nonce, encrypted)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise CallbackRefused("signature")
        try:
            sealed = base64.b64decode(encrypted, validate=True)
            decryptor = self._cipher().decryptor()
            plain = decryptor.update(sealed) + decryptor.finalize()
            padding = plain[-1]
            if not 1 <= padding <= BLOCK or plain[-padding:] != bytes([padding]) * padding:
                raise CallbackRefused("sealed text")
            inner = plain[PREFIX:-padding]
            (length,) = struct.unpack(">I", inner[:4])
            text, receive_id = inner[4 : 4 + length], inner[4 + length :]
            if len(text) != length or not hmac.compare_digest(receive_id, self._receive_id.encode()):
                raise CallbackRefused("sealed text")
            return text.decode()
        except (ValueError, IndexError, struct.error) as error:
            raise CallbackRefused("sealed text") from error

    def opened_xml(self, signature: str, timestamp: str, nonce: str, body: bytes) -> str:
        """The text inside the ``Encrypt`` element of a pushed body."""
        encrypted = _parsed(body).findtext("Encrypt")
        if not encrypted:
            raise CallbackRefused("no Encrypt element")
        return self.opened(signature, timestamp, nonce, encrypted)

    def sealed(self, text: str, *, prefix: bytes | None = None) -> str:
        """A text as the provider would seal it; ``prefix`` are the 16 random bytes."""
        raw = text.encode()
        inner = (prefix or secrets.token_bytes(PREFIX)) + struct.pack(">I", len(raw)) + raw + self._receive_id.encode()
        padding = BLOCK - len(inner) % BLOCK
        encryptor = self._cipher().encryptor()
        return base64.b64encode(encryptor.update(inner + bytes([padding]) * padding) + encryptor.finalize()).decode()

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))


@dataclass(frozen=True, slots=True)
class CardEvent:
    """A click on a card: who, which card (``task_id``), which button, the code for one update of it, and a name for repeats."""

    user: str
    task_id: str
    key: str
    response_code: str
    repeat_key: str


def card_event(xml: str) -> CardEvent | None:
    """The click that an opened callback tells of; ``None`` for any other event."""
    root = _parsed(xml.encode())
    if root.findtext("Event") != "template_card_event":
        return None
    field = {
        name: root.findtext(name) or "" for name in ("FromUserName", "TaskId", "EventKey", "ResponseCode", "CreateTime")
    }
    repeat = f"{field['FromUserName']}:{field['CreateTime']}:{field['EventKey']}:{field['TaskId']}"
    return CardEvent(field["FromUserName"], field["TaskId"], field["EventKey"], field["ResponseCode"], repeat)


def _parsed(body: bytes) -> ElementTree.Element:
    # Entities and document types have no place here, and are how XML is used for attacks.
    if len(body) > MOST_BYTES or b"<!" in body.replace(b"<![CDATA[", b""):
        raise CallbackRefused("not the provider's XML")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 (no document type, no entities: see above)
    except (ElementTree.ParseError, ValueError) as error:
        raise CallbackRefused("not the provider's XML") from error
