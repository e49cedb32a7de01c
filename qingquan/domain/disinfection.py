"""What is known of a works' disinfection beside its readings: contact, dosing, deliveries, measurements by hand; and the advice."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = [
    "HAND_CHECK",
    "HAND_LOG_OVERDUE",
    "HAND_MEASURED",
    "HAND_METHODS",
    "HAND_OVERDUE",
    "NOT_FOR_THE_LOG",
    "Advice",
    "Delivery",
    "DisinfectionFacts",
    "HandFault",
    "HandMeasurement",
    "HandMethod",
    "HandReport",
    "Segment",
    "Verdict",
]  # fmt: skip


class HandMethod(StrEnum):
    """How a person measured a residual."""

    DPD_COLOUR = "dpd_colour"
    DPD_PHOTOMETER = "dpd_photometer"
    OTHER = "other"


HAND_METHODS = tuple(HandMethod)


HAND_LOG_OVERDUE = "hand-log-overdue"
"""Rule of the finding that a hand-logged works is without evidence: nobody has logged for two days."""

HAND_CHECK = "hand-check"
"""Rule of the finding that an instrument disagrees with what people measure."""
HAND_MEASURED = "hand-measured"
"""Rule of a finding about the water that people measured beside an instrument which says otherwise, or nothing."""

HAND_OVERDUE = "hand_overdue"
"""Key of the evidence of `HAND_CHECK` at an outlet: the instrument has failed and nobody measured in its place for 4 h, since when [ms]."""

NOT_FOR_THE_LOG = 0
"""``sequence`` of a measurement that checks an instrument: it is no reading of the series."""


@dataclass(frozen=True, slots=True)
class HandFault:
    """One thing wrong with an entry: its field, a fixed word, and what the words name."""

    field: str
    word: str
    facts: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HandReport:
    """What became of a file of measurements: rows seen, taken, known before; refusals as ``sheet!cell: what: how to mend it``."""

    rows: int
    taken: int
    known: int
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of the contact zone: volume in use [m3], baffling factor (0 to 1), peak hourly flow [m3/h]."""

    name: str
    volume_m3: float
    baffling_factor: float
    peak_flow_m3_h: float


@dataclass(frozen=True, slots=True)
class Delivery:
    """Disinfectant that came in: when [ms], available chlorine [g/L], how much [L]."""

    delivered_at: int
    strength_g_l: float
    amount_l: float | None = None


@dataclass(frozen=True, slots=True)
class DisinfectionFacts:
    """Facts of one works that a computation about disinfection needs; ``None`` = not known, and said so.

    ``giardia_log``, ``virus_log`` wanted inactivation; ``tank_volume_l`` of the solution tank when full [L];
    ``pump_capacity_l_h`` of the dosing pump [L/h]; ``store_temperature_c`` mean of the store [degC];
    ``network_end_hours`` travel time of the water from outlet to network end [h].
    """

    giardia_log: float | None = None
    virus_log: float | None = None
    tank_volume_l: float | None = None
    pump_capacity_l_h: float | None = None
    store_temperature_c: float | None = None
    network_end_hours: float | None = None
    segments: tuple[Segment, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class HandMeasurement:
    """A residual that a person measured and logged. Times are ms since epoch, UTC; ``value`` in the parameter's unit.

    ``qualifier`` "<" says that less than ``value`` was there. ``sequence`` is its place in the reading log, ``None`` until the log has
    it, `NOT_FOR_THE_LOG` where an instrument measures and this only checks it. ``source`` is where it was entered: page, api or a
    file's name.
    """

    county: str
    works: str
    point: str
    parameter: str
    observed_at: int
    value: float
    method: HandMethod
    person: str
    entered_at: int
    entered_by: str = ""
    source: str = ""
    note: str = ""
    sequence: int | None = None
    id: int = 0
    qualifier: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What probably stands behind a disinfection finding, in words. ``short`` and ``action`` fit a text message, empty = nothing
    better to say than the finding's own words; the sentences say what to do by when."""

    cause: str
    leaning: str
    sentence_zh: str
    sentence_en: str
    short: str = ""
    action: str = ""

    def notes(self) -> dict[str, str]:
        """As an incident's summary keeps it."""
        return {f"verdict_{name}": getattr(self, name) for name in _VERDICT}

    @classmethod
    def of_notes(cls, summary: Mapping[str, str]) -> "Verdict | None":
        """The verdict an incident's summary keeps; ``None`` without one."""
        if "verdict_cause" not in summary:
            return None
        return cls(**{name: summary.get(f"verdict_{name}", "") for name in _VERDICT})


_VERDICT = ("cause", "leaning", "sentence_zh", "sentence_en", "short", "action")


@dataclass(frozen=True, slots=True)
class Advice:
    """What was computed about a works' disinfection as of ``computed_at`` [ms]; the sections as JSON has them."""

    county: str
    works: str
    computed_at: int
    document: dict[str, Any] = field(default_factory=dict)
