"""Payload formats by the name that stands last in a topic. A new one is a file with a `DIALECT` and a line here."""

from ingest.dialects import json
from ingest.dialects.base import Dialect

__all__ = ["DIALECTS"]

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (json.DIALECT,)}
