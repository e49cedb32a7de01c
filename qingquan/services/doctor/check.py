"""What one check came to."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "State"]


class State(StrEnum):
    """``ok``: works. ``missing``: not there, not running or switched off, and nothing needs it now. ``fault``: must be mended."""

    OK = "ok"
    MISSING = "missing"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Check:
    """``name`` is a stable word for scripts; ``detail`` says what was found, ``remedy`` what to do (empty when ok)."""

    name: str
    state: State
    detail: str
    remedy: str = ""
