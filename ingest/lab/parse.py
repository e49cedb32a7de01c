"""Lab results from an uploaded Excel or CSV file, one result a row. Pure: bytes in, samples and refusals out.

A bad cell refuses its row and nothing else, and says where it stands and how to mend it. Judging against limits is not done
here: verdicts are left at "not judged".
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeVar

from ingest.lab.cells import EXCEL_ERRORS, Wrong, cell_text, detection_limit_of, moment_of, value_of
from ingest.lab.columns import Header, Row, find_header, header_refusals, rows_of, title
from ingest.lab.places import Places
from ingest.lab.wording import LabReason, refusal
from qingquan.domain.lab import LabRefusal, LabReport, LabResult, LabSample
from qingquan.domain.works import Works
from qingquan.sheets import Sheet, Unreadable, column_letters, read_sheets
from qingquan.standards.laboratory import LabParameter, LabUnit, load_laboratory, name_key, unit_key

__all__ = ["Known", "parse_lab"]

T = TypeVar("T")

EARLIEST_MS = 946_684_800_000
"""Year 2000."""
MAX_TEXT = 200
LOOKS_LIKE_DATA = 4
"""So many known columns make a sheet one that was meant to be read, though a required one is missing."""

Known = Callable[[str, Collection[str]], Mapping[str, LabSample]]
"""County and sample numbers to the stored samples, with their results, of those that were uploaded before."""

_IONS = {"nitrate_n": "NO3", "ammonia_n": "NH3"}


def parse_lab(
    content: bytes, filename: str, works: Iterable[Works], *, uploaded_at: int, uploaded_by: str,
    known: Known | None = None, language: str = "zh",
) -> LabReport:  # fmt: skip
    """Samples with their results, and everything refused with its place.

    Parameters
    ----------
    content, filename
        An xlsx, xls, ods or CSV file, told by its content.
    works
        The works for which the uploader may report.
    uploaded_at
        Now [ms since epoch, UTC]; a sample taken later is refused.
    known
        Asked once per county for samples uploaded before. A result such a sample has already is refused, never
        overwritten; one it lacks is taken, and the sample comes with the stored ``id``, so that a mended row can be
        uploaded with the rest of its sheet.
    language
        Of the refusals: ``zh`` or ``en``.
    """
    sheets = read_sheets(content, filename)
    if isinstance(sheets, Unreadable):
        return LabReport((), (refusal(sheets.fault, language, sheet=filename, found=sheets.detail or "—"),))
    upload = _Upload(Places(works), uploaded_at, uploaded_by, filename, sha256(content).hexdigest(), language)
    for sheet, header in _data_sheets(sheets):
        upload.read(sheet, header)
    if known is not None:
        upload.refuse_known(known)
    return upload.report()


def _data_sheets(sheets: list[Sheet]) -> list[tuple[Sheet, Header]]:
    """Sheets to read. Beside a complete one, sheets with notes or lists are left alone; alone, even they are answered for."""
    found = [(sheet, find_header(sheet)) for sheet in sheets if sheet.rows]
    if any(not header.missing for _, header in found):
        return [(s, header) for s, header in found if not header.missing or len(header.columns) >= LOOKS_LIKE_DATA]
    return [max(found, key=lambda pair: len(pair[1].columns))]


@dataclass(slots=True)
class _Draft:
    """A sample under construction and where it began."""

    sample: LabSample
    sheet: str
    row: int
    cell: str
    results: dict[str, LabResult]
    places: dict[str, "_Place"] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row stands, for refusals."""

    sheet: str
    row: int
    columns: Mapping[str, int]

    def cell(self, field: str) -> str:
        return f"{column_letters(self.columns[field])}{self.row}" if field in self.columns else ""


class _Upload:
    def __init__(
        self, places: Places, uploaded_at: int, uploaded_by: str, filename: str, digest: str, language: str
    ) -> None:
        self._places = places
        self._tables = load_laboratory()
        self._uploaded_at = uploaded_at
        self._uploaded_by = uploaded_by
        self._filename = filename
        self._digest = digest
        self._language = language
        self._drafts: dict[tuple[str, str], _Draft] = {}
        self._refusals: list[LabRefusal] = []

    def report(self) -> LabReport:
        samples = (replace(draft.sample, results=tuple(draft.results.values())) for draft in self._drafts.values())
        return LabReport(tuple(samples), tuple(self._refusals))

    def read(self, sheet: Sheet, header: Header) -> None:
        faults = header_refusals(sheet, header, self._language)
        self._refusals += faults
        if faults:
            return
        empty = True
        for row in rows_of(sheet, header):
            empty = False
            self._read_row(row, _Place(sheet.name, row.number, header.columns))
        if empty:
            self._refusals.append(refusal(LabReason.NO_ROWS, self._language, sheet=sheet.name, row=header.row + 1))

    def refuse_known(self, known: Known) -> None:
        numbers: dict[str, list[str]] = {}
        for county, number in self._drafts:
            numbers.setdefault(county, []).append(number)
        repeated: list[tuple[_Draft, LabSample, str]] = []
        for county, asked in numbers.items():
            held = known(county, asked)
            for number in asked:
                if number in held:
                    repeated += self._set_beside((county, number), held[number])
        from_this_file = [one for one in repeated if one[1].source_digest == self._digest]
        if from_this_file:
            # One line for a file sent twice, not one for every row of it.
            _, stored, _ = from_this_file[0]
            self._refusals.append(
                refusal(
                    LabReason.FILE_TAKEN, self._language, sheet=self._filename, value=str(len(from_this_file)),
                    by=stored.uploaded_by, other=stored.source_file,
                )
            )  # fmt: skip
        for draft, stored, parameter in repeated:
            if stored.source_digest != self._digest:
                self._refuse(draft.places[parameter], "parameter", parameter, Wrong(LabReason.RESULT_TAKEN))

    def _set_beside(self, key: tuple[str, str], stored: LabSample) -> list[tuple[_Draft, LabSample, str]]:
        """Hold a sample against the stored one of its number; results that one has already are left out and returned."""
        draft = self._drafts[key]
        if any(getattr(draft.sample, name) != getattr(stored, name) for name in ("works", "point", "sampled_at")):
            self._refusals.append(
                refusal(
                    LabReason.NUMBER_TAKEN, self._language, sheet=draft.sheet, row=draft.row, cell=draft.cell,
                    column=title("number", self._language), value=stored.number,
                )
            )  # fmt: skip
            del self._drafts[key]
            return []
        held = {result.parameter for result in stored.results}
        fresh = {code: result for code, result in draft.results.items() if code not in held}
        if fresh:
            sample = replace(draft.sample, id=stored.id)
            self._drafts[key] = replace(draft, sample=sample, results=fresh)
        else:
            del self._drafts[key]
        return [(draft, stored, code) for code in draft.results if code in held]

    def _read_row(self, row: Row, place: _Place) -> None:
        """All faults of a row are told at once."""
        before = len(self._refusals)
        for field in ("number", "works", "point", "sampled_at", "parameter", "value"):
            if field not in row.cells:
                self._refuse(place, field, "", Wrong(LabReason.REQUIRED))
        for field in ("number", "method", "laboratory"):
            if len(cell_text(row.cells.get(field, ""))) > MAX_TEXT:
                self._refuse(place, field, "", Wrong(LabReason.TOO_LONG, {"allowed": str(MAX_TEXT)}))
        for field, cell in row.cells.items():
            if field != "value" and cell_text(cell) in EXCEL_ERRORS:
                self._refuse(place, field, cell_text(cell), Wrong(LabReason.CELL_ERROR))
        if len(self._refusals) > before:
            return
        sample = self._sample(row, place)
        result = self._result(row, place, sample)
        if len(self._refusals) == before and sample is not None and result is not None:
            self._add(sample, result, place)

    def _sample(self, row: Row, place: _Place) -> LabSample | None:
        county = cell_text(row.cells.get("county", ""))
        works = self._taken(place, "works", row, self._places.works(cell_text(row.cells["works"]), county))
        if works is None:
            return None
        point = self._taken(place, "point", row, self._places.point(works, cell_text(row.cells["point"])))
        sampled_at = self._moment(place, "sampled_at", row, works.time_zone)
        if point is None or sampled_at is None:
            return None
        return LabSample(
            id=0, number=cell_text(row.cells["number"]), county=works.county, works=works.id, point=point.id,
            sampled_at=sampled_at, uploaded_at=self._uploaded_at, uploaded_by=self._uploaded_by,
            laboratory=cell_text(row.cells.get("laboratory", "")), source_file=self._filename, source_digest=self._digest,
        )  # fmt: skip

    def _moment(self, place: _Place, field: str, row: Row, time_zone: str) -> int | None:
        moment = self._taken(place, field, row, moment_of(row.cells[field], time_zone))
        if moment is not None and moment > self._uploaded_at:
            self._refuse(place, field, cell_text(row.cells[field]), Wrong(LabReason.TIME_IN_FUTURE))
        elif moment is not None and moment < EARLIEST_MS:
            self._refuse(place, field, cell_text(row.cells[field]), Wrong(LabReason.TIME_TOO_OLD))
        else:
            return moment
        return None

    def _result(self, row: Row, place: _Place, sample: LabSample | None) -> LabResult | None:
        parameter = self._taken(place, "parameter", row, self._parameter(row))
        if parameter is None:
            return None
        unit = self._taken(place, "unit", row, self._unit(parameter, row))
        value = self._taken(place, "value", row, value_of(row.cells["value"], is_absence=parameter.is_absence))
        limit = self._taken(place, "detection_limit", row, _detection_limit(row))
        analysed_at = self._analysed_at(row, place, sample)
        if unit is None or value is None:
            return None
        canonical = None if value.value is None else value.value * unit.factor + unit.offset
        if canonical is not None and not self._is_possible(parameter, canonical, row, place):
            return None
        return LabResult(
            parameter=parameter.code, operator=value.operator, value=value.value, detection_limit=limit or None,
            unit=cell_text(row.cells.get("unit", "")) or parameter.unit, canonical_value=canonical,
            method=cell_text(row.cells.get("method", "")), row=row.number, value_text=value.text, analysed_at=analysed_at,
        )  # fmt: skip

    def _parameter(self, row: Row) -> LabParameter | Wrong:
        key = name_key(cell_text(row.cells["parameter"]))
        code = self._tables.names.get(key)
        if code is None and key in self._tables.open_basis:
            code = self._tables.open_basis[key]
            unit = unit_key(cell_text(row.cells.get("unit", "")))
            # The name leaves it open, so the unit must tell; a bare mg/L does not.
            if unit in ("", "mg/l", "ug/l") or unit not in self._tables.units[code]:
                return Wrong(LabReason.BASIS_OPEN, {"ion": _IONS[code]})
        return Wrong(LabReason.UNKNOWN_PARAMETER) if code is None else self._tables.parameters[code]

    def _unit(self, parameter: LabParameter, row: Row) -> LabUnit | Wrong:
        text = cell_text(row.cells.get("unit", ""))
        if not text and parameter.unit in ("-", "ratio", "pH unit"):
            return LabUnit(parameter.unit, 1.0)
        if not text:
            return Wrong(LabReason.REQUIRED)
        unit = self._tables.unit(parameter.code, text)
        if unit is None:
            allowed = "、".join(dict.fromkeys(one.alias for one in self._tables.units[parameter.code].values()))
            return Wrong(LabReason.UNKNOWN_UNIT, {"allowed": allowed})
        return unit

    def _analysed_at(self, row: Row, place: _Place, sample: LabSample | None) -> int | None:
        if "analysed_at" not in row.cells or sample is None:
            return None
        works = self._places.works(sample.works, sample.county)
        zone = "Asia/Shanghai" if isinstance(works, Wrong) else works.time_zone
        moment = self._moment(place, "analysed_at", row, zone)
        # A date alone means some time that day, so it is held against the day the sample was taken.
        cell = cell_text(row.cells["analysed_at"])
        day_ms = 86_400_000 if ":" not in cell or cell.endswith("00:00:00") else 0
        if moment is not None and moment + day_ms <= sample.sampled_at:
            self._refuse(place, "analysed_at", cell, Wrong(LabReason.ANALYSED_BEFORE_SAMPLED))
            return None
        return moment

    def _is_possible(self, parameter: LabParameter, canonical: float, row: Row, place: _Place) -> bool:
        low, high = {"ph": (0.0, 14.0), "temperature": (-5.0, 100.0), "orp": (-2000.0, 2000.0)}.get(
            parameter.code, (0.0, float("inf"))
        )
        if low <= canonical <= high:
            return True
        allowed = f"{low:g}–{high:g}" if high < float("inf") else f"≥ {low:g}"
        self._refuse(place, "value", cell_text(row.cells["value"]), Wrong(LabReason.OUT_OF_RANGE, {"allowed": allowed}))
        return False

    def _add(self, sample: LabSample, result: LabResult, place: _Place) -> None:
        draft = self._drafts.get((sample.county, sample.number))
        if draft is None:
            draft = _Draft(sample, place.sheet, place.row, place.cell("number"), {})
            self._drafts[sample.county, sample.number] = draft
        other = {"other": str(draft.row)}
        for field in ("works", "point", "sampled_at"):
            if getattr(draft.sample, field) != getattr(sample, field):
                self._refuse(place, field, str(getattr(sample, field)), Wrong(LabReason.SAMPLE_CONFLICT, other))
                return
        known = draft.results.get(result.parameter)
        if known is not None:
            self._refuse(
                place, "parameter", result.parameter, Wrong(LabReason.DUPLICATE_RESULT, {"other": str(known.row)})
            )
            return
        draft.results[result.parameter] = result
        draft.places[result.parameter] = place

    def _taken(self, place: _Place, field: str, row: Row, found: T | Wrong) -> T | None:
        """What was found, or ``None`` after setting it among the refusals."""
        if isinstance(found, Wrong):
            self._refuse(place, field, cell_text(row.cells.get(field, "")), found)
            return None
        return found

    def _refuse(self, place: _Place, field: str, value: str, wrong: Wrong) -> None:
        self._refusals.append(
            refusal(
                wrong.reason, self._language, sheet=place.sheet, row=place.row, cell=place.cell(field),
                column=title(field, self._language), value=value, **wrong.facts,
            )
        )  # fmt: skip


def _detection_limit(row: Row) -> float | Wrong:
    """The detection limit given, 0 where none is."""
    cell = row.cells.get("detection_limit", "")
    return detection_limit_of(cell) if cell_text(cell) not in ("", "-", "--", "/", "—") else 0.0
