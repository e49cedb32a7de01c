"""In-memory twin of the console's data, filled with the example county."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from dashboards.web.example_county import HOUR, MINUTE, County
from dashboards.web.ports import (
    Counts,
    FindingQuery,
    IncidentQuery,
    LabQuery,
    MessageQuery,
    PartHealth,
    QuarantineQuery,
)  # fmt: skip
from qingquan.clock import from_ms, to_ms
from qingquan.domain.findings import Finding
from qingquan.domain.flags import Flag
from qingquan.domain.incidents import Incident, IncidentEvent, IncidentState, Message, MessageState, TransitionReason
from qingquan.domain.lab import LabRefusal, LabReport, LabSample
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Works
from qingquan.errors import NotFound, TransitionRefused
from qingquan.standards.loader import load_standards
from qingquan.store.ports import Trend
from qingquan.store.sql.quarantine import QuarantineEntry
from qingquan.store.sql.statements import Page

__all__ = ["ExampleData"]

T = TypeVar("T")

_AGGREGATE: dict[str, Callable[[np.ndarray[tuple[int], np.dtype[np.float64]]], float]] = {
    "mean": lambda part: float(part.mean()), "min": lambda part: float(part.min()),
    "max": lambda part: float(part.max()), "count": lambda part: float(len(part)),
}  # fmt: skip
_TYPICAL = {"ph": 7.5, "temperature": 16.0, "flow": 4.2, "doser_running": 1.0, "disinfectant_level": 62.0}


class ExampleData:
    """`ConsoleData` over a `County` in memory. Safe to use from several threads."""

    def __init__(self, county: County) -> None:
        self.county = county
        self._lock = threading.Lock()

    def register_version(self) -> int:
        return len(self.county.works)

    def works(self, region: str = "") -> Sequence[Works]:
        return [works for works in self.county.works.values() if works.county.startswith(region)]

    def one_works(self, county: str, works: str) -> Works | None:
        found = self.county.works.get(works)
        return found if found is not None and found.county == county else None

    def states(self, region: str = "") -> Sequence[WorksState]:
        return [state for state in self.county.states.values() if state.county.startswith(region)]

    def put_state(self, state: WorksState) -> None:
        """Change where a works stands, as the evaluator would."""
        with self._lock:
            self.county.states[state.works] = state

    def findings(self, query: FindingQuery) -> Page[Finding]:
        return _page(
            sorted(
                (
                    f
                    for f in self.county.findings.values()
                    if f.county.startswith(query.region)
                    and query.works in ("", f.works)
                    and (not query.kinds or f.kind in query.kinds)
                    and (query.is_open is None or query.is_open == (f.end is None and not f.withdrawn))
                    and (query.from_ms is None or f.start >= query.from_ms)
                    and (query.to_ms is None or f.start < query.to_ms)
                ),
                key=lambda f: -f.start,
            ),
            query.limit, query.offset,
        )  # fmt: skip

    def findings_by_id(self, finding_ids: Sequence[str]) -> Sequence[Finding]:
        found = (self.county.findings.get(finding_id) for finding_id in finding_ids)
        return sorted((f for f in found if f is not None), key=lambda f: f.start)

    def incidents(self, query: IncidentQuery) -> Page[Incident]:
        fitting = [
            i
            for i in self.county.incidents.values()
            if i.county.startswith(query.region)
            and query.works in ("", i.works)
            and (not query.states or i.state in query.states)
        ]
        fitting.sort(key=lambda i: (i.state is IncidentState.RESOLVED, -i.severity, -to_ms(i.opened_at)))
        return _page(fitting, query.limit, query.offset)

    def incident(self, incident_id: int) -> Incident | None:
        return self.county.incidents.get(incident_id)

    def incident_events(self, incident_id: int) -> Sequence[IncidentEvent]:
        return list(self.county.events.get(incident_id, ()))

    def acknowledge(self, incident_id: int, by: str, at_ms: int) -> Incident:
        with self._lock:
            incident = self.county.incidents.get(incident_id)
            if incident is None:
                raise NotFound(f"incident {incident_id}")
            if incident.state is IncidentState.RESOLVED:
                raise TransitionRefused(f"incident {incident_id} is resolved")
            if incident.state is IncidentState.ACKNOWLEDGED:
                return incident
            incident = replace(
                incident, state=IncidentState.ACKNOWLEDGED, acknowledged_at=from_ms(at_ms), acknowledged_by=by
            )
            self.county.incidents[incident_id] = incident
            self.county.events[incident_id].append(IncidentEvent(from_ms(at_ms), TransitionReason.ACKNOWLEDGED, by))
            return incident

    def messages(self, query: MessageQuery) -> Page[Message]:
        fitting = [
            m
            for m in reversed(self.county.messages)
            if query.incident in (None, m.incident_id)
            and (not query.states or m.state in query.states)
            and self.county.incidents[m.incident_id].county.startswith(query.region)
        ]
        return _page(fitting, query.limit, query.offset)

    def lab_samples(self, query: LabQuery) -> Page[LabSample]:
        fitting = [s for s in self.county.samples if s.county.startswith(query.region) and query.works in ("", s.works)]
        return _page(sorted(fitting, key=lambda s: -s.uploaded_at), query.limit, query.offset)

    def quarantine(self, query: QuarantineQuery) -> Page[QuarantineEntry]:
        fitting = [
            e
            for e in self.county.quarantine
            if (not query.reasons or e.item.reason in query.reasons) and f"wq.{query.region}" in e.item.subject
        ]
        return _page(fitting, query.limit, query.offset)

    def redrive(self, ids: Sequence[int]) -> int:
        """Mark entries as sent through the door again."""
        marked = set(ids)
        with self._lock:
            before = [entry for entry in self.county.quarantine if entry.id in marked and entry.redriven_at is None]
            self.county.quarantine = [
                replace(e, redriven_at=self.county.now) if e in before else e for e in self.county.quarantine
            ]
        return len(before)

    def upload(self, filename: str, content: bytes, uploader: str) -> LabReport:
        """Take the example's own samples again under new numbers, and refuse what is not a comma in the file."""
        now = self.county.now
        with self._lock:
            new = replace(
                self.county.samples[0], id=len(self.county.samples) + 1, number=f"UP-{len(self.county.samples) + 1:04d}",
                uploaded_at=now, uploaded_by=uploader, source_file=filename,
            )  # fmt: skip
            self.county.samples.append(new)
        shown = content[:20].decode("utf-8", errors="replace")
        refusal = LabRefusal(
            "Sheet1",
            7,
            "D7",
            "砷",
            shown,
            "bad_value",
            "“ERR” 不是数值，也不是未检出的写法",
            "填写数字、<0.001 或“未检出”",
        )
        return LabReport((new,), (refusal,), (new.id,))

    def phone_messages(self) -> list[dict[str, object]]:
        """What phones would show of the messages that went out, newest first."""
        sent = [m for m in reversed(self.county.messages) if m.state is not MessageState.NOT_SENT]
        return [
            {
                "id": m.provider_id,
                "channel": m.channel,
                "to": m.receiver,
                "text": m.body,
                "at": to_ms(m.sent_at or m.created_at),
            }
            for m in sent
        ]

    def counts(self) -> Counts:
        quarantined = Counter(str(e.item.reason) for e in self.county.quarantine)
        return Counts(3200, 3200, 3200, 16_000, 12, 3, dict(quarantined))

    def trend(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        times, values, flags = self._readings(key, start, min(end, self.county.now))
        if step_ms is None:
            return Trend(key, times, {"value": values, "flag": flags.astype(np.float64)})
        keep = (flags != Flag.FAIL) & ~np.isnan(values)
        times, values = times[keep], values[keep]
        buckets, first = np.unique(times // step_ms * step_ms, return_index=True)
        columns = {}
        for name in aggregates:
            parts = np.split(values, first[1:]) if len(values) else []
            columns[name] = np.array([_AGGREGATE[name](part) for part in parts], np.float64)
        return Trend(key, buckets, columns)

    def _readings(
        self, key: SeriesKey, start: int, end: int
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.uint8]]]:  # fmt: skip
        works, state = self.one_works(key.county, key.works), self.county.states.get(key.works)
        point = next((p for p in works.points if p.id == key.point), None) if works else None
        if (
            works is None
            or state is None
            or state.as_of is None
            or point is None
            or key.parameter not in point.parameters
        ):
            return np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.uint8)
        times = np.arange(-(-start // MINUTE) * MINUTE, min(end, state.as_of + 1), MINUTE, dtype=np.int64)
        seed = sum(map(ord, "".join(key)))
        final = state.latest.get(f"{key.point}/{key.parameter}", _TYPICAL.get(key.parameter, 0.5))
        usual = {state.residual_parameter: 0.6, "turbidity": min(final, 0.6)}.get(key.parameter, final)
        wave = (
            0.06 * np.sin(times / (24 * HOUR) * 2 * np.pi + seed)
            + 0.008 * np.sin(times / (37 * MINUTE) * (1 + seed % 7))
            + 0.004 * np.sin(times / (11 * MINUTE))
        )
        values = usual * (1 + wave)
        drop = np.clip((times - state.since + 2 * HOUR) / (2 * HOUR), 0, 1)
        values = np.where(
            key.parameter in (state.residual_parameter, "turbidity"), values * (1 - drop) + final * drop, values
        )
        if key.parameter == "doser_running":
            values = np.where((times > state.since) & (state.disinfection == "missing"), 0.0, 1.0)
        flags = np.full(len(times), Flag.PASS, np.uint8)
        age_h = (self.county.now - times) / HOUR
        flags[(age_h > 4.2 + seed % 3) & (age_h < 4.9 + seed % 3) & (key.parameter in ("turbidity", "ph"))] = (
            Flag.SUSPECT
        )
        kept = ~((age_h > 9) & (age_h < 10.5))
        decimals = load_standards().parameters[key.parameter].decimals
        return times[kept], np.round(values, decimals)[kept], flags[kept]

    def health(self) -> Sequence[PartHealth]:
        return [PartHealth("database", True), PartHealth("series_store", True)]


def _page(items: Iterable[T], limit: int, offset: int) -> Page[T]:
    everything = list(items)
    return Page(everything[offset : offset + limit], len(everything))
