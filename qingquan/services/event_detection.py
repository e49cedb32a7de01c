"""`qingquan detect`: event detection over a recorded file. One row out per row in, in their order, each from the rows before it."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.mapping import MappedColumn, Mapping
from ingest.recorded import RowChunk, read_rows
from qingquan.domain.parameters import ParameterKind
from qingquan.errors import ConfigurationError, WrongUse
from qingquan.standards.event_floors import load_event_floors
from rules.events.detector import DetectorPlan, DetectorRows, RowVerdicts, SeriesFloor, new_state, step
from rules.events.operations import excused_rows, new_operations, total_flow

__all__ = ["EVENT_COLUMNS", "FileDetection", "detect_file", "detector_plan"]

EVENT_COLUMNS = ("time", "score", "event", "contributors")
LINE, SWITCHES = "flow", ("sample_flow", "doser_running", "power")
"""Parameters whose start, or return, after a stop excuses changes: lines together, switches each."""


@dataclass(frozen=True, slots=True)
class FileDetection:
    """What a file came to: ``rows`` in and out, ``event_rows`` in ``events`` unbroken runs; refused parts count as missing."""

    rows: int
    refused_rows: int
    refused_cells: int
    event_rows: int
    events: int


def detector_plan(mapping: Mapping) -> tuple[DetectorPlan, list[int]]:
    """Plan for the quality columns of a mapping, and where they stand among its columns.

    A column is called by its parameter, and by ``point/parameter`` where several points have it. Operational columns (flow,
    temperature ...) are no events themselves.

    Raises
    ------
    ConfigurationError
        No column holds a quality parameter.
    """
    floors = load_event_floors()
    places = [n for n, one in enumerate(mapping.columns) if one.parameter.kind is ParameterKind.QUALITY]
    if not places:
        raise ConfigurationError(
            [f"{mapping.source}: columns: none holds a quality parameter; allowed: {', '.join(sorted(floors))}"]
        )
    chosen = [mapping.columns[n] for n in places]
    rows = [floors[one.parameter.code] for one in chosen]
    return DetectorPlan(
        tuple(_called(one, chosen) for one in chosen), tuple(SeriesFloor(one.floor, one.relative) for one in rows)
    ), places


def detect_file(
    file: Path, mapping: Mapping, out: Path, *, progress: Callable[[int], None] | None = None
) -> FileDetection:
    """Judge every row of a file and write `EVENT_COLUMNS`; refused rows stand with score 0.

    Raises
    ------
    ConfigurationError
        Faults of mapping or file; ``out`` is then left as it was.
    WrongUse
        ``out`` is the file itself.
    """
    if out.exists() and file.exists() and out.samefile(file):
        raise WrongUse(f"--out {out}: is the file that is read")
    plan, places = detector_plan(mapping)
    rows = refused_rows = refused_cells = event_rows = events = 0
    was_event = False
    # Written beside and moved into place at the end: a faulty file leaves no half table behind.
    part = out.with_name(f"{out.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("w", newline="", encoding="utf-8") as sink:
            writer = csv.writer(sink, lineterminator="\n")
            writer.writerow(EVENT_COLUMNS)
            for chunk, verdicts in _judged(file, mapping, plan, places):
                writer.writerows(_written(chunk, verdicts, plan))
                whole = sum(one.column == "" for one in chunk.refused)
                rows, refused_rows = rows + chunk.rows, refused_rows + whole
                refused_cells += len(chunk.refused) - whole
                event_rows += int(verdicts.event.sum())
                edges = np.diff(np.r_[was_event, verdicts.event].astype(np.int8))
                events += int((edges == 1).sum())
                was_event = was_event if not len(verdicts.event) else bool(verdicts.event[-1])
                if progress is not None:
                    progress(rows)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return FileDetection(rows, refused_rows, refused_cells, event_rows, events)


def _judged(
    file: Path, mapping: Mapping, plan: DetectorPlan, places: list[int]
) -> Iterator[tuple[RowChunk, RowVerdicts]]:
    """The chunks of a file in their order, each with what its rows are."""
    lines = [n for n, one in enumerate(mapping.columns) if one.parameter.code == LINE]
    switches = [n for n, one in enumerate(mapping.columns) if one.parameter.code in SWITCHES]
    state, operations = new_state(plan), new_operations(1 + len(switches))
    for chunk in read_rows(file, mapping):
        flows = np.c_[total_flow(chunk.values[:, lines]), chunk.values[:, switches]]
        excused = excused_rows(chunk.observed_at, flows, operations)
        values = np.ascontiguousarray(chunk.values[:, places])
        yield chunk, step(DetectorRows.of_one_works(chunk.observed_at, values, excused), state, plan)


def _called(column: MappedColumn, columns: list[MappedColumn]) -> str:
    code = column.parameter.code
    alone = sum(one.parameter.code == code for one in columns) == 1
    return code if alone else f"{column.point}/{code}"


def _written(chunk: RowChunk, verdicts: RowVerdicts, plan: DetectorPlan) -> Iterator[tuple[str, ...]]:
    """The rows of a chunk and those refused, in the order of their lines."""
    refused = [one for one in chunk.refused if one.column == ""]
    lines = chunk.line.tolist()
    at = 0
    for n, (text, score) in enumerate(zip(chunk.time_text, verdicts.score.tolist(), strict=True)):
        while at < len(refused) and refused[at].line < lines[n]:
            yield refused[at].text, "0", "0", ""
            at += 1
        yield text, f"{score:.4f}", str(int(verdicts.event[n])), ";".join(verdicts.contributors(n, plan.columns))
    for one in refused[at:]:
        yield one.text, "0", "0", ""
