"""A works and findings about it, for tests of incidents and messages. Times are ms since epoch, UTC."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works

__all__ = ["MINUTE", "START", "example_finding", "example_works", "register_of"]

MINUTE = 60_000
# 2026-06-21 08:00 in Guizhou.
START = 1_782_000_000_000

_SEVERITIES = {
    FindingKind.DISINFECTION_MISSING: Severity.CRITICAL,
    FindingKind.DISINFECTION_LOW: Severity.MAJOR,
    FindingKind.DISINFECTION_HIGH: Severity.MAJOR,
}


def example_works(id_: str = "W0077", **fields: Any) -> Works:
    """A chlorinating works with a caretaker and a manager."""
    works = Works(
        county="520425", id=id_, name="城东水厂", township="青山镇", disinfectant=Disinfectant.FREE_CHLORINE,
        equipment=Equipment.EQUIPPED, capacity_m3_d=500, population=3000,
        points=(
            SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity", "ph")),
            SamplingPoint("end", PointKind.NETWORK_END, "管网末梢", ("free_chlorine",)),
        ),
        contacts=(Contact(Role.CARETAKER, "张三", "13800000001"), Contact(Role.MANAGER, "李四", "13900000002")),
    )  # fmt: skip
    return replace(works, **fields)


def example_finding(id_: str = "f1", **fields: Any) -> Finding:
    """A lasting loss of disinfection since 08:00; ``fields`` override, ``minute`` sets the start after 08:00."""
    kind = fields.get("kind", FindingKind.DISINFECTION_MISSING)
    start = START + fields.pop("minute", 0) * MINUTE
    values: dict[str, Any] = {
        "id": id_, "kind": kind, "severity": _SEVERITIES.get(kind, Severity.MINOR), "county": "520425", "works": "W0077",
        "point": "outlet", "parameter": "free_chlorine", "start": start, "end": None, "evidence_at": start,
        "extreme": 0.02, "limit": 0.3, "clause": "GB 5749-2022 Table 2", "rule": "r", "rule_version": "1", "reason": "",
    }  # fmt: skip
    values |= fields
    if values["end"] is not None and "evidence_at" not in fields:
        values["evidence_at"] = values["end"]
    return Finding(**values)


def register_of(*works: Works) -> Mapping[tuple[str, str], Works]:
    """The works by county and id."""
    return {(one.county, one.id): one for one in works}
