"""`qingquan evaluate`: the same engine over a recorded file, without servers."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ingest.mapping import Mapping, works_of
from ingest.pace import paced
from ingest.recorded import read_rows
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding
from qingquan.domain.quality import Flagged, test_names
from qingquan.domain.readings import ReadingBatch, SeriesKey
from qingquan.services.file_flags import file_flags
from qingquan.services.folds import Fold
from qingquan.services.rulesets import load_ruleset
from qingquan.services.silence import Silence
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import evaluate, open_findings
from rules.plan import Plan, compile_plan
from rules.state import new_state

__all__ = ["FINDING_COLUMNS", "FLAG_COLUMNS", "FileEvaluation", "evaluate_file", "finding_row"]

FINDING_COLUMNS = (
    "id", "kind", "severity", "county", "works", "point", "parameter", "start", "end", "extreme", "limit", "clause",
    "rule_version", "reason",
)  # fmt: skip
FLAG_COLUMNS = ("time", "point", "parameter", "value", "flag", "tests")
CHUNK_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class FileEvaluation:
    """What a file came to: every row is among ``rows``, every value among ``readings`` or ``missing``."""

    rows: int
    refused_rows: int
    refused_cells: int
    readings: int
    missing: int
    duplicates: int
    conflicts: int
    findings: tuple[Finding, ...]


def evaluate_file(
    file: Path,
    mapping: Mapping,
    config: Config,
    *,
    findings_out: Path,
    flags_out: Path | None = None,
    as_of_ms: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> FileEvaluation:
    """Judge a file and write its findings (and flags).

    Rows are judged in the order of their times, whatever their order in the file. ``as_of_ms``: also judge what has fallen silent
    by then; without it nothing is said about the time after a series' last row.

    Raises
    ------
    ConfigurationError
        Faults of mapping, file or ruleset.
    """
    tables = load_standards()
    works = works_of(paced(file, mapping))
    plan = compile_plan([works], tables.parameters, load_profiles().binding, load_ruleset(config))
    fold = Fold(0, plan, new_state(plan))
    columns, rows, refused_rows, refused_cells = _read(file, mapping, plan, progress)
    found: dict[str, Finding] = {}
    counts: dict[str, int] = {}
    for first in range(0, len(columns), CHUNK_ROWS * 8):
        part = columns.part(first, first + CHUNK_ROWS * 8)
        now = int(part.batch.observed_at[-1])
        evaluation, fold.state = evaluate(
            part.batch, part.slots, fold.state, plan, tables.parameters, now, config.language
        )
        _keep(found, evaluation.findings)
        for name, count in evaluation.counts.items():
            counts[name] = counts.get(name, 0) + count
    last = int(columns.batch.observed_at[-1]) if len(columns) else 0
    _keep(found, open_findings(fold.state, plan, tables.parameters, last, config.language))
    if as_of_ms is not None:
        silence = Silence(tables.parameters, config.language)
        _keep(found, silence.changes(fold, as_of_ms, {(works.county, works.id): works}))
    findings = tuple(sorted(found.values(), key=lambda one: (one.start, one.kind, one.point, one.parameter, one.id)))
    zone = ZoneInfo(works.time_zone)
    _write(findings_out, FINDING_COLUMNS, (finding_row(finding, zone) for finding in findings))
    if flags_out is not None:
        quality = file_flags(
            columns.batch, columns.slots, plan.series, works, load_ruleset(config).instrument.maintenance_most_ms
        )
        _write(flags_out, FLAG_COLUMNS, _flag_rows(columns, quality, plan))
    return FileEvaluation(
        rows, refused_rows, refused_cells, counts.get("judged", 0), counts.get("missing", 0),
        counts.get("duplicates", 0), counts.get("conflicts", 0), findings,
    )  # fmt: skip


def finding_row(finding: Finding, zone: ZoneInfo) -> tuple[str, ...]:
    """A finding as the columns of `FINDING_COLUMNS`; times with offset, empty where there is nothing."""
    return (
        finding.id, finding.kind, finding.severity.word, finding.county, finding.works, finding.point, finding.parameter,
        _time(finding.start, zone), "" if finding.end is None else _time(finding.end, zone),
        _number(finding.extreme), _number(finding.limit), finding.clause, finding.rule_version, finding.reason,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Columns:
    """All readings of the file, in order of time, then of rank within the works."""

    batch: ReadingBatch
    slots: npt.NDArray[np.int32]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.slots)

    def part(self, first: int, last: int) -> "_Columns":
        b, s = self.batch, slice(first, last)
        cut = ReadingBatch(b.series[s], b.observed_at[s], b.value[s], b.flag[s], b.sequence[s], b.received_at[s])
        return _Columns(cut, self.slots[s], self.texts)


def _read(
    file: Path, mapping: Mapping, plan: Plan, progress: Callable[[int], None] | None
) -> tuple[_Columns, int, int, int]:
    keys = [SeriesKey(mapping.county, mapping.works, one.point, one.parameter.code) for one in mapping.columns]
    width_slots = np.array([plan.slot_of[key] for key in keys], np.int32)
    times, values, texts = [], [], []
    rows = refused_rows = refused_cells = 0
    for chunk in read_rows(file, mapping, CHUNK_ROWS):
        rows += chunk.rows
        whole = sum(part.column == "" for part in chunk.refused)
        refused_rows += whole
        refused_cells += len(chunk.refused) - whole
        times.append(chunk.observed_at)
        values.append(chunk.values)
        texts += chunk.time_text
        if progress is not None:
            progress(rows)
    if not times:
        empty = ReadingBatch.empty()
        return _Columns(empty, empty.series, []), rows, refused_rows, refused_cells
    at, value = np.concatenate(times), np.concatenate(values)
    count, width = value.shape
    observed, slots, line = np.repeat(at, width), np.tile(width_slots, count), np.repeat(np.arange(count), width)
    order = np.lexsort((slots, observed))
    flat = value.reshape(-1)[order]
    batch = ReadingBatch(
        slots[order],
        observed[order],
        flat,
        np.where(np.isnan(flat), 9, 2).astype(np.uint8),
        line[order],
        observed[order],
    )
    return _Columns(batch, slots[order], texts), rows, refused_rows, refused_cells


def _keep(found: dict[str, Finding], findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.withdrawn:
            found.pop(finding.id, None)
        else:
            found[finding.id] = finding


def _flag_rows(columns: _Columns, quality: Flagged, plan: Plan) -> Iterator[tuple[str, ...]]:
    """One row per value, in file order. ``tests`` names the tests behind the flag, separated by blanks."""
    order = np.lexsort((columns.slots, columns.batch.sequence))
    for n in order.tolist():
        key, value = plan.series[int(columns.slots[n])], float(columns.batch.value[n])
        text = columns.texts[int(columns.batch.sequence[n])]
        tests = " ".join(test_names(int(quality.tests[n])))
        shown = _number(None if value != value else value)
        yield text, key.point, key.parameter, shown, str(int(quality.flag[n])), tests


def _write(path: Path, header: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _time(ms: int, zone: ZoneInfo) -> str:
    return from_ms(ms).astimezone(zone).isoformat()


def _number(value: float | None) -> str:
    return "" if value is None else repr(float(value))
