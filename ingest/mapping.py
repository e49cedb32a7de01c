"""Mapping files: which column of a recorded CSV is which parameter at which point. Strict: all faults at once.

Keys: ``time`` (column), ``tz`` (IANA name or fixed offset such as ``+08:00``), ``county``, ``works``, ``point`` (for columns that
name none), ``disinfectant``, and ``[columns]`` from file column to ``{parameter, unit, point?}``. Optional: ``name`` of the works,
``cadence_s`` (else found out from the file, `ingest.pace`), ``time_format`` (`ingest.recorded_times`), ``time_origin`` (then times are seconds since it), ``[points]`` from
point to its kind (a point named like a kind is of that kind, any other is an outlet).
"""

import re
import tomllib
from collections.abc import Callable
from collections.abc import Mapping as Table
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ingest.recorded_times import TIME_FORMATS, time_format_fault
from ingest.topics import BadTopic, parse_topic
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import Unit, load_standards, unit_conversion

__all__ = ["LONGEST_CADENCE_S", "MappedColumn", "Mapping", "load_mapping", "parse_mapping", "works_of"]

_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")
_REQUIRED = ("time", "tz", "county", "works", "disinfectant", "columns")
LONGEST_CADENCE_S = 7 * 86_400
_OPTIONAL = ("point", "name", "cadence_s", "time_format", "time_origin", "points")
_COLUMN_KEYS = ("parameter", "unit", "point")


@dataclass(frozen=True, slots=True)
class MappedColumn:
    """A file column, the parameter in it, and how its unit comes to the canonical one."""

    name: str
    parameter: Parameter
    unit: Unit
    point: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping file. ``time_origin_ms`` [ms since epoch]: times in the file are seconds since then."""

    source: str
    time: str
    time_zone: str
    zone: tzinfo
    county: str
    works: str
    disinfectant: Disinfectant
    columns: tuple[MappedColumn, ...]
    kinds: Table[str, PointKind]
    name: str
    cadence_s: int
    time_format: str | None
    time_origin_ms: int | None
    states_cadence: bool = True

    @property
    def points(self) -> tuple[str, ...]:
        """Points in the order in which columns name them."""
        return tuple(dict.fromkeys(column.point for column in self.columns))


def load_mapping(path: Path | str) -> Mapping:
    """The mapping in a TOML file.

    Raises
    ------
    ConfigurationError
        One line per fault: file, key, value found, what is allowed.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 at byte {error.start}"]) from error
    return parse_mapping(text, str(path))


def parse_mapping(text: str, source: str) -> Mapping:
    """The mapping in a TOML text; ``source`` names it in faults. Raises as `load_mapping` does."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{source}: not valid TOML: {error}"]) from error
    checked = _Checked(source, table)
    mapping = checked.mapping()
    if checked.faults or mapping is None:
        raise ConfigurationError(checked.faults)
    return mapping


def works_of(mapping: Mapping) -> Works:
    """A works to register for recorded data. Capacity and population are not known: 0, hence a small supply."""
    points = tuple(
        SamplingPoint(
            point, mapping.kinds[point], point, tuple(c.parameter.code for c in mapping.columns if c.point == point)
        )
        for point in mapping.points
    )
    equipped = mapping.disinfectant is not Disinfectant.NONE
    return Works(
        county=mapping.county, id=mapping.works, name=mapping.name, township="", disinfectant=mapping.disinfectant,
        equipment=Equipment.EQUIPPED if equipped else Equipment.NOT_EQUIPPED, capacity_m3_d=0, population=0, points=points,
        cadence_s=mapping.cadence_s, upload_interval_s=mapping.cadence_s,
        time_zone=_named_zone(mapping.time_zone),
    )  # fmt: skip


class _Checked:
    """Takes a table apart and collects what is wrong with it, in file order."""

    def __init__(self, source: str, table: dict[str, Any]) -> None:
        self._source = source
        self._table = table
        self._standards = load_standards()
        self.faults: list[str] = []

    def mapping(self) -> Mapping | None:
        for key in self._table:
            if key not in _REQUIRED + _OPTIONAL:
                self._fault(key, f"unknown key; known are {', '.join(_REQUIRED + _OPTIONAL)}")
        for key in _REQUIRED:
            if key not in self._table:
                self.faults.append(f"{self._source}: {key} is missing")
        time = self._text("time", "the name of the time column", lambda text: text)
        zone = self._text("tz", "an IANA time zone such as Asia/Shanghai, or a fixed offset such as +08:00", _zone)
        county = self._text("county", "a 6-digit code (GB/T 2260)", lambda text: _identifier(text, "county"))
        works = self._text("works", "1 to 64 of A-Z a-z 0-9 _ -", lambda text: _identifier(text, "works"))
        words = ", ".join(Disinfectant)
        disinfectant = self._text(
            "disinfectant", words, lambda text: Disinfectant(text) if text in set(Disinfectant) else None
        )
        name = self._text("name", "a text", lambda text: text)
        origin = self._text("time_origin", "date and time with offset, such as 2026-01-01T00:00:00+08:00", _origin)
        time_format = self._time_format()
        cadence = self._cadence()
        columns = self._columns()
        kinds = self._kinds([column.point for column in columns])
        if time is None or zone is None or county is None or works is None or disinfectant is None:
            return None
        return Mapping(
            self._source, time, self._table["tz"], zone, county, works, disinfectant, columns, kinds, name or works,
            cadence, time_format, origin, "cadence_s" in self._table,
        )  # fmt: skip

    def _fault(self, key: str, allowed: str, value: object = ...) -> None:
        shown = "" if value is ... else f" = {value!r:.80}"
        self.faults.append(f"{self._source}: {key}{shown}: {allowed}")

    def _text(self, key: str, allowed: str, read: Callable[[str], Any]) -> Any:
        """A checked text, ``None`` if absent or wrong."""
        if key not in self._table:
            return None
        value = self._table[key]
        result = read(value) if isinstance(value, str) and value else None
        if result is None:
            self._fault(key, f"allowed: {allowed}", value)
        return result

    def _time_format(self) -> str | None:
        value = self._table.get("time_format")
        if value is None:
            return None
        fault = time_format_fault(value) if isinstance(value, str) else f"allowed: {', '.join(TIME_FORMATS)}"
        if fault:
            self._fault("time_format", fault, value)
            return None
        return str(value)

    def _cadence(self) -> int:
        value = self._table.get("cadence_s", 60)
        if type(value) is not int or not 1 <= value <= LONGEST_CADENCE_S:
            self._fault("cadence_s", f"allowed: whole seconds from 1 to {LONGEST_CADENCE_S}", value)
            return 60
        return value

    def _columns(self) -> tuple[MappedColumn, ...]:
        table = self._table.get("columns", {})
        if not isinstance(table, dict) or ("columns" in self._table and not table):
            self._fault(
                "columns", 'allowed: a table such as [columns] with Cl = {parameter = "free_chlorine", unit = "mg/L"}'
            )
            return ()
        columns: list[MappedColumn] = []
        taken: dict[tuple[str, str], str] = {}
        for name, row in table.items():
            column = self._column(name, row)
            if column is None:
                continue
            other = taken.setdefault((column.point, column.parameter.code), name)
            if other != name:
                self._fault(f"columns.{name}", f"{column.parameter.code} at {column.point} is already column {other!r}")
            if name == self._table.get("time"):
                self._fault(f"columns.{name}", "is the time column")
            columns.append(column)
        return tuple(columns)

    def _column(self, name: str, row: object) -> MappedColumn | None:
        where = f"columns.{name}"
        if not isinstance(row, dict):
            self._fault(where, "allowed: {parameter, unit, point?}", row)
            return None
        for key in row:
            if key not in _COLUMN_KEYS:
                self._fault(f"{where}.{key}", f"unknown key; known are {', '.join(_COLUMN_KEYS)}")
        point = self._point(where, row)
        parameter = self._parameter(where, row)
        unit = self._unit(where, row, parameter)
        return MappedColumn(name, parameter, unit, point) if parameter and unit and point else None

    def _parameter(self, where: str, row: dict[str, Any]) -> Parameter | None:
        code = row.get("parameter")
        parameter = self._standards.parameters.get(code) if isinstance(code, str) else None
        if parameter is None:
            self._fault(f"{where}.parameter", f"allowed: {', '.join(self._standards.parameters)}", code)
        return parameter

    def _unit(self, where: str, row: dict[str, Any], parameter: Parameter | None) -> Unit | None:
        alias = row.get("unit")
        if parameter is None:
            return None
        unit = unit_conversion(self._standards.units, alias, parameter) if isinstance(alias, str) else None
        if unit is None:
            fitting = ", ".join(one.alias for one in self._standards.units.values() if one.unit == parameter.unit)
            self._fault(f"{where}.unit", f"allowed for {parameter.code}: {fitting}", alias)
        return unit

    def _point(self, where: str, row: dict[str, Any]) -> str | None:
        key, point = (f"{where}.point", row["point"]) if "point" in row else ("point", self._table.get("point"))
        if point is None:
            self._fault(where, "names no point, and the file has no `point` for all columns")
        elif not isinstance(point, str) or _identifier(point, "point") is None:
            line = f"{self._source}: {key} = {point!r:.80}: allowed: 1 to 64 of A-Z a-z 0-9 _ -"
            if line not in self.faults:
                self.faults.append(line)
        else:
            return point
        return None

    def _kinds(self, points: list[str]) -> dict[str, PointKind]:
        known = set(PointKind)
        kinds = {point: PointKind(point) if point in known else PointKind.OUTLET for point in points}
        table = self._table.get("points", {})
        if not isinstance(table, dict):
            self._fault("points", "allowed: a table from point to its kind", table)
            return kinds
        for point, kind in table.items():
            if point not in kinds:
                self._fault(f"points.{point}", f"no column is at this point; points are {', '.join(kinds)}")
            elif kind not in known:
                self._fault(f"points.{point}", f"allowed: {', '.join(PointKind)}", kind)
            else:
                kinds[point] = PointKind(kind)
        return kinds


def _identifier(text: str, part: str) -> str | None:
    """The text, if it may stand in a topic as that part."""
    parts = {"county": "520425", "works": "w", "point": "p", part: text}
    topic = parse_topic(f"wq/{parts['county']}/{parts['works']}/{parts['point']}/json")
    return None if isinstance(topic, BadTopic) else text


def _zone(text: str) -> tzinfo | None:
    offset = _OFFSET.fullmatch(text)
    if offset:
        sign = -1 if offset[1] == "-" else 1
        ahead = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(sign * ahead) if ahead <= timedelta(hours=14) else None
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        return None


def _named_zone(text: str) -> str:
    """An IANA name. Offsets in whole hours have one (its sign is the other way round); for others UTC must do, which loses
    nothing, since readings from such a file always go out with their offset."""
    offset = _OFFSET.fullmatch(text)
    if not offset:
        return text
    hours = int(offset[2])
    if not hours or offset[3] != "00":
        return "UTC"
    return f"Etc/GMT{'-' if offset[1] == '+' else '+'}{hours}"


def _origin(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else round(at.timestamp() * 1000)
