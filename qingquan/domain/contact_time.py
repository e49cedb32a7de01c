"""Words and rows of disinfection by contact: what is inactivated, by what, and the tabulated CT that does it."""

from dataclasses import dataclass
from enum import StrEnum

from qingquan.domain.works import Disinfectant

__all__ = ["BafflingFactor", "CtAgent", "CtRow", "Organism"]


class Organism(StrEnum):
    """What is inactivated. Chlorine does not inactivate Cryptosporidium in practice, so it has no member here."""

    GIARDIA = "giardia"
    VIRUS = "virus"


class CtAgent(StrEnum):
    """What inactivates. Codes are those of the CT tables."""

    FREE_CHLORINE = "free_chlorine"
    CHLORAMINE = "chloramine"
    CHLORINE_DIOXIDE = "chlorine_dioxide"
    OZONE = "ozone"

    @classmethod
    def of(cls, disinfectant: Disinfectant) -> "CtAgent | None":
        """Agent whose CT counts at a works; ``None`` where no CT can be told.

        A mixed generator (ClO2 and Cl2) is credited with its chlorine dioxide alone, as its residual is.
        """
        return _AGENT.get(disinfectant)


_AGENT = {
    Disinfectant.FREE_CHLORINE: CtAgent.FREE_CHLORINE,
    Disinfectant.CHLORAMINE: CtAgent.CHLORAMINE,
    Disinfectant.CHLORINE_DIOXIDE: CtAgent.CHLORINE_DIOXIDE,
    Disinfectant.MIXED_CLO2_CL2: CtAgent.CHLORINE_DIOXIDE,
    Disinfectant.OZONE: CtAgent.OZONE,
}


@dataclass(frozen=True, slots=True)
class CtRow:
    """One cell of a CT table.

    The cell holds at ``temperature_c`` [degC] and, where given, for pH ``ph_min`` to ``ph_max`` (equal = the column of
    that pH) and at a residual of ``residual_mg_l`` [mg/L]; ``None`` = the table makes no difference there.
    ``ct_mg_min_l`` [mg·min/L] achieves ``log_inactivation`` (3 = 99.9 %).
    """

    id: str
    agent: CtAgent
    organism: Organism
    log_inactivation: float
    temperature_c: float
    ph_min: float | None
    ph_max: float | None
    residual_mg_l: float | None
    ct_mg_min_l: float
    confidence: str
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class BafflingFactor:
    """Share of the theoretical detention time that counts as T10, by what the basin looks like inside."""

    id: str
    factor: float
    name_zh: str
    name_en: str
    description_zh: str
    description_en: str
    source: str
