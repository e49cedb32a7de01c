"""That marks have silenced a works' detector, told to the county as a finding; over when it tells again.

A detector that says nothing any more looks like one that finds nothing. What a person has silenced needs no telling.
"""

from dataclasses import replace

from sqlalchemy import Connection

from alerts.apply import AlertSettings, apply_findings
from qingquan.domain.findings import AS_OF, Finding, FindingKind, Severity, finding_id
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.store.sql.findings import list_findings
from rules.reasons import TITLE

__all__ = ["SILENCED_RULE", "tell_silence"]

SILENCED_RULE = "detector-silent"
RULE_VERSION = "1"
_TITLES = {
    "zh": "突变检测已静默（近30次核实中属实{share:.0%}，不足两成）",
    "en": "event detection has fallen silent ({share:.0%} of the last 30 marks were real)",
}


def tell_silence(
    connection: Connection, works: Works, share: float | None, is_silenced: bool, now: int, settings: AlertSettings
) -> None:  # fmt: skip
    """Bring the works' finding in line. ``is_silenced``: marks, not a person, keep its detector silent; ``share`` of them real.

    Needs a writing transaction.
    """
    held = list_findings(
        connection, county=works.county, works=works.id, kinds=[FindingKind.DETECTOR_SILENT], is_open=True, limit=5
    ).items
    if is_silenced == bool(held):
        return
    changed = [_ended(one, now) for one in held] if held else [_finding(works, share or 0.0, now, settings)]
    apply_findings(connection, changed, {(works.county, works.id): works}, now, settings)


def _finding(works: Works, share: float, now: int, settings: AlertSettings) -> Finding:
    title = _TITLES["en" if settings.style.language == "en" else "zh"].format(share=share)
    key = SeriesKey(works.county, works.id, "", "")
    return Finding(
        id=finding_id(FindingKind.DETECTOR_SILENT, SILENCED_RULE, key, now), kind=FindingKind.DETECTOR_SILENT,
        severity=Severity.MINOR, county=works.county, works=works.id, point="", parameter="", start=now, end=None, evidence_at=now,
        extreme=None, limit=None, clause="", rule=SILENCED_RULE, rule_version=RULE_VERSION, reason=title,
        evidence={AS_OF: now, TITLE: title, "real_share": round(share, 3)},
    )  # fmt: skip


def _ended(one: Finding, now: int) -> Finding:
    return replace(one, end=now, evidence={**one.evidence, AS_OF: now})
