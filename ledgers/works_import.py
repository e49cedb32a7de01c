"""The works register from a workbook or CSV: good rows become works, the others are refused with place, reason and remedy.

Pure. A row is taken whole or not at all. An empty cell says nothing: `WorksRow.given` names what the row did say, so that
an import never wipes out what the register already knows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from ledgers.cells import AnyReader, code, county_code, day_in, mobile, number, one_of, short_text, whole_number
from ledgers.headers import find_header, header_refusals
from ledgers.points_import import PointRow, parse_points
from ledgers.refusals import Refusal, RefusalReason
from ledgers.rows import ReadRow, read_rows
from ledgers.works_columns import (
    DISINFECTANT_WORDS,
    EQUIPMENT_WORDS,
    EVIDENCE_WORDS,
    POINT_COLUMNS,
    POINTS_SHEET,
    WORKS_COLUMNS,
    WORKS_SHEET,
    YES_NO_WORDS,
)
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import Contact, Disinfectant, Equipment, Role, SamplingPoint, Works
from qingquan.sheets import Sheet, Unreadable, read_sheets

__all__ = ["ParsedRegister", "WorksRow", "merged", "parse_file", "parse_sheets"]

WorksKey = tuple[str, str]

TIME_ZONE = "Asia/Shanghai"

# Rough frame around China's territory with its islands [degrees, CGCS2000].
LONGITUDES = (73.4, 135.2)
LATITUDES = (3.4, 53.7)

_POINTS_NAMES = (POINTS_SHEET, "监测点", "points", "sampling points")
_WORKS_NAMES = (WORKS_SHEET, "工程台账", "供水工程", "works")

_DISINFECTANT = one_of(DISINFECTANT_WORDS, suffix="消毒")
_EQUIPMENT = one_of(EQUIPMENT_WORDS)
_YES_NO = one_of(YES_NO_WORDS)
_EVIDENCE = one_of(EVIDENCE_WORDS)

_READERS: Mapping[str, AnyReader] = {
    "county": county_code,
    "works": code,
    "name": short_text,
    "township": short_text,
    "disinfectant": _DISINFECTANT,
    "equipment": _EQUIPMENT,
    "capacity_m3_d": number(0, 10_000_000, above=True),
    "population": whole_number(0, 50_000_000),
    "source_limited": _YES_NO,
    "treatment_limited": _YES_NO,
    "groundwater_limited": _YES_NO,
    "evidence": _EVIDENCE,
    "raw_permanganate_above_6": _YES_NO,
    "cadence_s": whole_number(1, 86_400),
    "upload_interval_s": whole_number(1, 7 * 86_400),
    "longitude": number(-180, 180),
    "latitude": number(-180, 180),
    "caretaker": short_text,
    "caretaker_phone": mobile,
    "caretaker_wecom": short_text,
    "manager": short_text,
    "manager_phone": mobile,
    "manager_wecom": short_text,
    "commissioned_at": day_in(TIME_ZONE),
}

# Columns that are a field of `Works` as they stand; the others are part of its key or of a contact.
_PLAIN = (
    "name", "township", "disinfectant", "equipment", "capacity_m3_d", "population", "source_limited", "cadence_s",
    "upload_interval_s", "longitude", "latitude", "commissioned_at", "treatment_limited", "groundwater_limited", "evidence",
    "raw_permanganate_above_6",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorksRow:
    """A works as its row has it, without points, what the row is silent about filled in as for a new works.

    ``given`` names the fields the row did say.
    """

    works: Works
    given: frozenset[str]


@dataclass(frozen=True, slots=True)
class ParsedRegister:
    """Works and points taken, everything refused, and how many rows were seen: taken + refused rows."""

    works: tuple[WorksRow, ...]
    points: tuple[PointRow, ...]
    refusals: tuple[Refusal, ...]
    rows: int = 0

    @property
    def refused_rows(self) -> int:
        """Rows of which at least one cell was refused."""
        return self.rows - len(self.works) - len(self.points)


def parse_file(
    files: Sequence[tuple[str, bytes]], parameters: Mapping[str, Parameter], known: Collection[WorksKey] = ()
) -> ParsedRegister:
    """A register from the bytes of a workbook, or of CSV files (one of works, one of points), each with its name.

    ``known`` are the works of the register, which a point may belong to as well.
    """
    sheets: list[Sheet] = []
    refusals: list[Refusal] = []
    for name, content in files:
        found = read_sheets(content, name)
        if isinstance(found, Unreadable):
            refusals.append(Refusal(name, 0, "", "", RefusalReason(found.fault.value), {"found": found.detail}))
        else:
            sheets += found
    if refusals:
        return ParsedRegister((), (), tuple(refusals))
    return parse_sheets(sheets, parameters, known)


def parse_sheets(
    sheets: Sequence[Sheet], parameters: Mapping[str, Parameter], known: Collection[WorksKey] = ()
) -> ParsedRegister:
    """A register from its sheets: one of works, one of points, or either alone; other sheets are not read."""
    points_sheet = _points_sheet(sheets)
    works_sheet = _works_sheet([sheet for sheet in sheets if sheet is not points_sheet])
    works: tuple[WorksRow, ...] = ()
    refusals: list[Refusal] = []
    refused: dict[WorksKey, str] = {}
    rows = 0
    if works_sheet is not None:
        works, refusals, refused, rows = _parse_works(works_sheet)
    if points_sheet is None:
        return ParsedRegister(works, (), tuple(refusals), rows)
    taken = [(row.works.county, row.works.id) for row in works]
    points = parse_points(points_sheet, parameters, taken, refused, known)
    return ParsedRegister(works, points.points, (*refusals, *points.refusals), rows + points.rows)


def merged(held: Works | None, row: WorksRow | None, points: Sequence[PointRow]) -> Works | None:
    """The register's entry after an import: what the file says over what is held. ``None`` without either.

    Points are matched by their code; a point the file does not name stays. A contact replaces those of the same role.
    """
    entry = held
    if row is not None:
        entry = row.works if held is None else _over(held, row)
    if entry is None:
        return None
    joined = {point.id: point for point in entry.points}
    for given in points:
        before = joined.get(given.point.id)
        keeps = before is not None and not given.says_parameters
        joined[given.point.id] = replace(given.point, parameters=before.parameters) if before and keeps else given.point
    return replace(entry, points=tuple(joined.values()))


def _over(held: Works, row: WorksRow) -> Works:
    changes = {name: getattr(row.works, name) for name in _PLAIN if name in row.given}
    if "commissioned_at" in changes and _is_same_day(held, row.works):
        del changes["commissioned_at"]
    # The sheet has room for one contact of a role: one that is held already leaves its fellows alone.
    new = [contact for contact in row.works.contacts if contact not in held.contacts]
    roles = {contact.role for contact in new}
    contacts = [*new, *(contact for contact in held.contacts if contact.role not in roles)]
    if new:
        changes["contacts"] = tuple(sorted(contacts, key=lambda contact: list(Role).index(contact.role)))
    return replace(held, **changes)


def _is_same_day(held: Works, given: Works) -> bool:
    """Whether both were commissioned on one day; the sheet has no room for the hour."""
    return _local_day(held) == _local_day(given)


def _local_day(entry: Works) -> date | None:
    return entry.commissioned_at and entry.commissioned_at.astimezone(ZoneInfo(entry.time_zone)).date()


def _points_sheet(sheets: Sequence[Sheet]) -> Sheet | None:
    for sheet in sheets:
        if sheet.name.strip().lower() in _POINTS_NAMES:
            return sheet
    return next((sheet for sheet in sheets if "point" in find_header(sheet, POINT_COLUMNS).columns), None)


def _works_sheet(sheets: Sequence[Sheet]) -> Sheet | None:
    """The sheet by its name, else the one whose header names most of the columns; the first one if none does."""
    for sheet in sheets:
        if sheet.name.strip().lower() in _WORKS_NAMES:
            return sheet
    return max(sheets, key=lambda sheet: len(find_header(sheet, WORKS_COLUMNS).columns), default=None)


def _parse_works(sheet: Sheet) -> tuple[tuple[WorksRow, ...], list[Refusal], dict[WorksKey, str], int]:
    header = find_header(sheet, WORKS_COLUMNS)
    refusals = header_refusals(sheet, header, WORKS_COLUMNS)
    if refusals:
        return (), refusals, {}, 0
    taken: list[WorksRow] = []
    places: dict[WorksKey, str] = {}
    refused: dict[WorksKey, str] = {}
    rows = 0
    for row in read_rows(sheet, header, WORKS_COLUMNS, _READERS):
        rows += 1
        key = (row.values.get("county", ""), row.values.get("works", ""))
        _check_coordinates(row)
        contacts = tuple(contact for role in Role if (contact := _contact(row, role)) is not None)
        if all(key) and key in places:
            row.refuse("works", RefusalReason.DUPLICATE_ROW, {"other": places[key]})
        elif row.refusals:
            refused.setdefault(key, row.place)
        places.setdefault(key, row.place)
        refusals += row.refusals
        if not row.refusals:
            taken.append(_works_row(row, contacts))
    if not rows:
        refusals.append(Refusal(sheet.name, 0, "", "", RefusalReason.NO_ROWS))
    return tuple(taken), refusals, refused, rows


def _works_row(row: ReadRow, contacts: tuple[Contact, ...]) -> WorksRow:
    values = row.values
    equipment = Equipment.NOT_EQUIPPED if values["disinfectant"] is Disinfectant.NONE else Equipment.EQUIPPED
    points: tuple[SamplingPoint, ...] = ()
    plain = {name: values[name] for name in _PLAIN if name in values}
    defaults: dict[str, Any] = {"township": "", "equipment": equipment, "time_zone": TIME_ZONE}
    fields = defaults | plain
    works = Works(county=values["county"], id=values["works"], points=points, contacts=contacts, **fields)
    return WorksRow(works, frozenset(plain))


def _check_coordinates(row: ReadRow) -> None:
    longitude, latitude = row.values.get("longitude"), row.values.get("latitude")
    if row.wrong & {"longitude", "latitude"} or (longitude is None and latitude is None):
        return
    if longitude is None or latitude is None:
        row.refuse("longitude" if longitude is None else "latitude", RefusalReason.COORDINATE_ALONE)
        return
    facts = {"found": f"{longitude:g}, {latitude:g}"}
    if _is_in_china(longitude, latitude):
        return
    swapped = _is_in_china(latitude, longitude)
    row.refuse("longitude", RefusalReason.COORDINATES_SWAPPED if swapped else RefusalReason.OUTSIDE_CHINA, facts)


def _is_in_china(longitude: float, latitude: float) -> bool:
    return LONGITUDES[0] <= longitude <= LONGITUDES[1] and LATITUDES[0] <= latitude <= LATITUDES[1]


def _contact(row: ReadRow, role: Role) -> Contact | None:
    """The contact of a role; ``None`` where the row names none, or names one that nobody could reach."""
    name, phone, wecom = (row.values.get(f"{role}{part}", "") for part in ("", "_phone", "_wecom"))
    if row.wrong & {str(role), f"{role}_phone", f"{role}_wecom"} or not (name or phone or wecom):
        return None
    if not name:
        row.refuse(str(role), RefusalReason.NAMELESS_CONTACT)
        return None
    if not (phone or wecom):
        row.refuse(f"{role}_phone", RefusalReason.UNREACHABLE_CONTACT, {"found": name})
        return None
    return Contact(role, name, phone, wecom)
