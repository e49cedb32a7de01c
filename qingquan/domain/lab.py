"""Laboratory samples and what became of an uploaded sheet."""

from dataclasses import dataclass
from enum import StrEnum

from qingquan.domain.findings import Severity

__all__ = ["LabOperator", "LabRefusal", "LabReport", "LabResult", "LabSample", "LabSeverity", "LabVerdict"]


class LabOperator(StrEnum):
    """How the laboratory wrote the value. ``<0.05`` stays ``<`` 0.05: it never becomes a number of ours."""

    EQUAL = "="
    LESS = "<"
    GREATER = ">"
    NOT_DETECTED = "ND"


class LabVerdict(StrEnum):
    """What the standard says of a result.

    ``UNDECIDED``: a row applies, but the result does not tell on which side of it the water is (a non-detect whose
    detection limit lies above the limit). ``NOT_JUDGED``: no row applies.
    """

    COMPLIANT = "compliant"
    EXCEEDED = "exceeded"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not_judged"


@dataclass(frozen=True, slots=True)
class LabResult:
    """One parameter of one sample.

    ``value`` and ``detection_limit`` are in ``unit`` as the laboratory wrote it, ``canonical_value`` in the parameter's own
    unit; ``None`` where there is no number. ``limit_id`` and ``clause`` name the row of the standard that was applied,
    ``limit`` its bound as text (``""`` = none applied). ``row`` is the line of the uploaded file, 0 when typed in.
    ``value_text`` is the value's cell as the laboratory wrote it; ``analysed_at`` is ms since epoch, UTC.
    ``reason`` says in a sentence why the verdict is what it is.
    """

    parameter: str
    operator: LabOperator
    value: float | None
    detection_limit: float | None
    unit: str
    canonical_value: float | None
    method: str = ""
    verdict: LabVerdict = LabVerdict.NOT_JUDGED
    limit: str = ""
    limit_id: str = ""
    clause: str = ""
    row: int = 0
    value_text: str = ""
    analysed_at: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LabSample:
    """A bottle: where, when, by whom, and its results. Times are ms since epoch, UTC.

    ``number`` is the laboratory's own sample number; the same number for the same county again is refused, never overwritten.
    ``id`` is 0 before the sample is stored. ``source_digest`` is the SHA-256 (hex) of the uploaded file. ``status`` is
    ``received`` until verification exists; ``version`` counts corrections of the same number.
    """

    id: int
    number: str
    county: str
    works: str
    point: str
    sampled_at: int
    uploaded_at: int
    uploaded_by: str
    laboratory: str
    source_file: str
    results: tuple[LabResult, ...] = ()
    source_digest: str = ""
    status: str = "received"
    version: int = 1


@dataclass(frozen=True, slots=True)
class LabSeverity:
    """How urgent an exceedance of a parameter, or of a group of parameters, is.

    ``above`` and ``below`` are for results beyond the upper and under the lower bound; from ``severe_ratio`` times the
    upper bound on it is ``severe`` (``None`` = no such step). ``reaction`` is the class of what must be done.
    """

    key: str
    reaction: str
    above: Severity
    below: Severity
    severe_ratio: float | None
    severe: Severity
    source: str


@dataclass(frozen=True, slots=True)
class LabRefusal:
    """A cell or a row that could not be taken, and how to mend it.

    ``cell`` is the address in the sheet (``B7``), or ``""`` where the whole file is meant; ``reason`` is a fixed word.
    """

    sheet: str
    row: int
    cell: str
    column: str
    value: str
    reason: str
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class LabReport:
    """What became of an upload: samples taken with their verdicts, and everything refused with its place.

    ``sample_ids`` are those of the stored samples, in the order of ``samples``; empty when nothing was stored.
    """

    samples: tuple[LabSample, ...]
    refusals: tuple[LabRefusal, ...]
    sample_ids: tuple[int, ...] = ()

    @property
    def results(self) -> tuple[LabResult, ...]:
        """All results taken, sample by sample."""
        return tuple(result for sample in self.samples for result in sample.results)
