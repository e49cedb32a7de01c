"""The works register: what is monitored, and who answers for it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

__all__ = ["Contact", "Disinfectant", "Equipment", "Evidence", "PointKind", "Role", "SamplingPoint", "Works"]


class Disinfectant(StrEnum):
    """How the works disinfects. The value decides which residual is judged and by which row."""

    FREE_CHLORINE = "free_chlorine"
    CHLORAMINE = "chloramine"
    CHLORINE_DIOXIDE = "chlorine_dioxide"
    MIXED_CLO2_CL2 = "mixed_clo2_cl2"
    OZONE = "ozone"
    UV = "uv"
    NONE = "none"

    @property
    def residual(self) -> str | None:
        """Parameter code of the residual that proves disinfection; ``None`` where the water carries none."""
        return _RESIDUAL[self]

    @property
    def residuals(self) -> tuple[str, ...]:
        """All residuals the treatment leaves in the water; of a mixed generator's two, one suffices (GB 5749-2022 Table 2)."""
        if self is Disinfectant.MIXED_CLO2_CL2:
            return ("chlorine_dioxide", "free_chlorine")
        return () if self.residual is None else (self.residual,)


_RESIDUAL = {
    Disinfectant.FREE_CHLORINE: "free_chlorine",
    Disinfectant.CHLORAMINE: "total_chlorine",
    Disinfectant.CHLORINE_DIOXIDE: "chlorine_dioxide",
    Disinfectant.MIXED_CLO2_CL2: "chlorine_dioxide",
    Disinfectant.OZONE: "ozone",
    Disinfectant.UV: None,
    Disinfectant.NONE: None,
}


class Equipment(StrEnum):
    """Whether disinfection equipment stands in the works (a fact of the register, not of the water)."""

    EQUIPPED = "equipped"
    NOT_EQUIPPED = "not_equipped"


class PointKind(StrEnum):
    """Where on the way of the water a sampling point lies; standards set limits per kind."""

    SOURCE = "source"
    TREATMENT = "treatment"
    OUTLET = "outlet"
    NETWORK = "network"
    NETWORK_END = "network_end"


Evidence = Literal["sensor", "hand"]
"""What shows that a works disinfects: an instrument that reports by itself, or a person who measures and logs."""

# No log by noon of the day after, on two days running: at most so long after the last one [s].
HAND_STALE_S = 84 * 3600


class Role(StrEnum):
    """For what a contact is told."""

    CARETAKER = "caretaker"
    MANAGER = "manager"


@dataclass(frozen=True, slots=True)
class Contact:
    """A person who answers for a works. Phone and WeCom id may each be empty, not both."""

    role: Role
    name: str
    phone: str = ""
    wecom_id: str = ""


@dataclass(frozen=True, slots=True)
class SamplingPoint:
    """Fixed place where water is read. ``parameters`` are those *expected*: silence of one is reported."""

    id: str
    kind: PointKind
    name: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Works:
    """A treatment or supply scheme run as one unit (供水工程).

    ``county`` is the 6-digit GB/T 2260 code. ``cadence_s`` is the expected time between two readings [s],
    ``upload_interval_s`` the expected time between two uploads [s]. ``time_zone`` (IANA) applies to device
    times without offset. ``evidence`` says whether instruments or people measure the residual. ``longitude``/``latitude`` are CGCS2000 degrees.

    Facts on which rows of a standard depend: ``source_limited``, source or treatment technique is limited;
    ``treatment_limited``, the treatment technique as well as the source; ``groundwater_limited``, the limited source is
    groundwater; ``raw_permanganate_above_6``, the source is limited and its CODMn above 6 mg/L. What is not stated does
    not hold, and the stricter row is used.
    """

    county: str
    id: str
    name: str
    township: str
    disinfectant: Disinfectant
    equipment: Equipment
    capacity_m3_d: float
    population: int
    points: tuple[SamplingPoint, ...]
    contacts: tuple[Contact, ...] = ()
    source_limited: bool = False
    cadence_s: int = 60
    upload_interval_s: int = 60
    longitude: float | None = None
    latitude: float | None = None
    time_zone: str = "Asia/Shanghai"
    commissioned_at: datetime | None = None
    simulated: bool = False
    note: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    evidence: Evidence = "sensor"
    treatment_limited: bool = False
    groundwater_limited: bool = False
    raw_permanganate_above_6: bool = False

    @property
    def is_hand_logged(self) -> bool:
        """Whether people measure the residual (DPD) and log it, instead of an instrument."""
        return self.evidence == "hand"

    @property
    def is_small_supply(self) -> bool:
        """Small centralized supply of GB 5749-2022 clause 3: below 1000 m3/d **or** below 10,000 people."""
        return self.capacity_m3_d < 1000 or self.population < 10_000

    @property
    def lateness_s(self) -> int:
        """Lateness window [s]: max(10 min, 2 x the expected upload interval)."""
        return max(600, 2 * self.upload_interval_s)

    @property
    def stale_after_s(self) -> int:
        """Silence after which a series is stale [s]: 3 missed intervals, at least 15 min, plus one upload.

        Of a hand-logged works: the longest that a log may be overdue, 3 days and a half.
        """
        if self.is_hand_logged:
            return HAND_STALE_S
        return max(900, 3 * self.cadence_s) + (self.upload_interval_s if self.upload_interval_s > self.cadence_s else 0)
