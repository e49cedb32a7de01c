"""Column types that hold the same on SQLite and PostgreSQL, and the few conversions between rows and domain values."""

import math
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy import JSON, BigInteger, Dialect, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

from qingquan.clock import from_ms, to_ms

__all__ = [
    "DOCUMENT",
    "IDENTITY",
    "MILLISECONDS",
    "FreeText",
    "as_time",
    "bounded_key",
    "finite_or_none",
    "ms_or_none",
    "storable_text",
    "without_missing",
]

MILLISECONDS = BigInteger()
"""Time [ms since epoch, UTC]."""

IDENTITY = BigInteger().with_variant(Integer(), "sqlite")
"""Number given by the database. SQLite numbers rows by itself only where the key is declared INTEGER."""

DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
"""Small object of names and values; JSONB because PostgreSQL cannot compare plain JSON."""


# At 4 bytes a character and two such texts to a key this stays under what PostgreSQL can index.
KEY_LENGTH = 200


class FreeText(TypeDecorator[str]):
    """Text that people or devices wrote. What no database text can hold is made visible instead of refused."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Text as it goes to the database."""
        return None if value is None else storable_text(value)


def storable_text(text: str) -> str:
    """The text with NUL as ``␀`` and lone surrogates as ``?``; unchanged where it has none of them."""
    if "\x00" in text:
        text = text.replace("\x00", "\u2400")
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def bounded_key(text: str) -> str:
    """Text from outside that stands in a unique key: whole up to `KEY_LENGTH`, else its beginning with a digest of all.

    PostgreSQL refuses to index more than about 2.7 kB, and a device may name a parameter as it likes.
    """
    if len(text) <= KEY_LENGTH:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{text[: KEY_LENGTH - len(digest) - 1]}…{digest}"


def finite_or_none(value: float | None) -> float | None:
    """``None`` for NaN and infinity too: SQLite would keep NaN as NULL, PostgreSQL as NaN."""
    return None if value is None or not math.isfinite(value) else value


def without_missing(document: Mapping[str, Any]) -> dict[str, Any]:
    """A document as read back: NaN was written as null, and a missing value is left out."""
    return {name: value for name, value in document.items() if value is not None}


def as_time(ms: int | None) -> datetime | None:
    """Aware UTC time of a column that may be empty."""
    return None if ms is None else from_ms(ms)


def ms_or_none(at: datetime | None) -> int | None:
    """Column value of a time that may be absent [ms since epoch, UTC]."""
    return None if at is None else to_ms(at)
