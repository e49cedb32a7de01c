"""Profiles with their rows: what binds where and when, what programmes evaluate by, what other authorities say.

`ProfileTables.binding` is what readings and laboratory results are judged by, in every county.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path

from qingquan.domain.parameters import Limit
from qingquan.domain.profiles import Binding, Criterion, Profile, Relaxation, Standing, profile_at
from qingquan.errors import ConfigurationError
from qingquan.standards.limit_checks import duplicate_faults, limit_faults, reference_faults
from qingquan.standards.limit_rows import CONFIDENCES, LIMIT_COLUMNS, REFERENCE_COLUMNS, limit_of, reference_of
from qingquan.standards.loader import StandardsTables, load_standards
from qingquan.standards.tables import Placed, cell_in, day_of, needed, number_of, packaged_table, table_rows

__all__ = ["CRITERIA_TABLE", "PROFILES_TABLE", "ProfileTables", "load_profiles", "profiles_from", "use_own_profiles"]

PROFILES_TABLE = "profiles.csv"
CRITERIA_TABLE = "evaluation_criteria.csv"

_PROFILE_COLUMNS = (
    "id", "standing", "name_zh", "name_en", "region", "base", "standard", "table", "relaxation", "valid_from", "valid_to",
    "confidence", "source", "note_zh",
)  # fmt: skip
_CRITERION_COLUMNS = (
    "id", "profile", "criterion", "grade", "supply", "condition", "measure", "limit_kind", "value", "unit", "confidence",
    "source", "note_zh",
)  # fmt: skip
CRITERIA = frozenset({"quantity", "quality", "convenience", "reliability"})
GRADES = frozenset({"full", "basic", "pass"})
SUPPLIES = frozenset({"any", "centralized", "dispersed"})
DAY = timedelta(1)


@dataclass(frozen=True, slots=True)
class ProfileTables:
    """Profiles by id in file order, the rows of each, and the numbers of the evaluation profiles."""

    profiles: dict[str, Profile]
    rows: dict[str, tuple[Limit, ...]]
    criteria: tuple[Criterion, ...]
    _bindings: dict[str, Binding] = field(default_factory=dict, compare=False, repr=False)

    def at(self, county: str, on: date, standing: Standing = Standing.BINDING) -> Profile | None:
        """The profile in force in a county on a day."""
        return profile_at(self.profiles.values(), county, on, standing)

    def rows_for(self, profile: Profile) -> tuple[Limit, ...]:
        """Rows a profile judges by: its own, and those of its base for whatever it does not say itself."""
        own = self.rows[profile.id]
        if not profile.base:
            return own
        return _overlaid(self.rows_for(self.profiles[profile.base]), own)

    def binding(self, county: str) -> Binding:
        """What binds in a county: the one door for everything that judges, draws or explains."""
        found = self._bindings.get(county)
        if found is None:
            rows = self.binding_rows(county)
            fitting = (one for one in self.profiles.values() if one.standing is Standing.BINDING and one.covers(county))
            # Counties without rows of their own share one value, and with it what it has chosen.
            value = Binding(tuple(fitting), rows)
            found = self._bindings[county] = next((one for one in self._bindings.values() if one == value), value)
        return found

    def binding_rows(self, county: str) -> tuple[Limit, ...]:
        """Rows that bind in a county through all years: the national ones with the county's and province's laid over."""
        rows: tuple[Limit, ...] = ()
        fitting = [one for one in self.profiles.values() if one.standing is Standing.BINDING and one.covers(county)]
        for profile in sorted(fitting, key=lambda one: (len(one.region), one.valid_from)):
            own = self.rows[profile.id]
            rows = _overlaid(rows, own) if profile.region else rows + own
        return rows


_own: dict[str, ProfileTables] = {}
"""Tables laid over those that ship, under one key; set at the start of a process and by tests, see `use_own_profiles`."""


def load_profiles() -> ProfileTables:
    """The profiles that ship with the product, with those of a county or province where a folder of them is in use.

    Raises
    ------
    ConfigurationError
        One line per wrong row: file, line, what is wrong.
    """
    return _own.get("tables") or _shipped()


def use_own_profiles(folder: str) -> None:
    """From now on lay the profiles of a folder over those that ship, in everything this process does; ``""`` = none.

    The folder holds ``profiles.csv`` (the columns of the table that ships) and the tables of limits it names.

    Raises
    ------
    ConfigurationError
        One line per wrong row: file, line, what is wrong. What was in use stays in use.
    """
    if not folder:
        _own.clear()
        return
    table = Path(folder) / PROFILES_TABLE
    try:
        text = table.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError([f"profiles_dir = {folder!r}: {table}: cannot be read: {why}"]) from error
    texts = {name: packaged_table(name) for name in (PROFILES_TABLE, CRITERIA_TABLE)}
    _own["tables"] = profiles_from(texts, load_standards(), (str(table), text))


@cache
def _shipped() -> ProfileTables:
    return profiles_from({name: packaged_table(name) for name in (PROFILES_TABLE, CRITERIA_TABLE)}, load_standards())


def profiles_from(
    texts: Mapping[str, str], standards: StandardsTables, own: tuple[str, str] | None = None
) -> ProfileTables:
    """The same of tables given as CSV text; tables of rows not among them are those that ship. Raises as above.

    ``own``: path and text of a further table of profiles, whose tables of rows lie beside it.
    """
    faults: list[str] = []
    lines = table_rows(PROFILES_TABLE, texts[PROFILES_TABLE], _PROFILE_COLUMNS, _profile, faults)
    mine = [] if own is None else table_rows(*own, _PROFILE_COLUMNS, _profile, faults)
    folder = None if own is None else Path(own[0]).parent
    tables = dict(texts)
    for one in mine:
        _read_beside(one.place, folder, one.row[1], tables, faults)
    lines += mine
    criteria = table_rows(CRITERIA_TABLE, texts[CRITERIA_TABLE], _CRITERION_COLUMNS, _criterion, faults)
    profiles = {one.row[0].id: one.row[0] for one in lines}
    faults += duplicate_faults("profile", ((one.place, one.row[0].id) for one in lines))
    faults += duplicate_faults("criterion", ((one.place, one.row.id) for one in criteria))
    faults += [
        f"{one.place}: unknown profile {one.row.profile!r}" for one in criteria if one.row.profile not in profiles
    ]
    faults += _profile_faults([Placed(one.place, one.row[0]) for one in lines], profiles)
    rows = {one.row[0].id: _rows_of(one.place, *one.row, tables, standards, faults) for one in lines}
    for one in lines:
        faults += _override_faults(one.place, one.row[0], profiles, rows)
    faults += _shared_ids(lines, rows)
    if faults:
        raise ConfigurationError(faults)
    return ProfileTables(profiles, rows, tuple(one.row for one in criteria))


def _read_beside(place: str, folder: Path | None, table: str, tables: dict[str, str], faults: list[str]) -> None:
    """Take a table of rows from the folder of the profiles that name it."""
    if folder is None or not table:
        return
    if Path(table).name != table:
        faults.append(f"{place}: table {table!r}: allowed: the name of a file in the same folder")
        return
    try:
        tables[table] = (folder / table).read_text(encoding="utf-8")
    except FileNotFoundError:
        pass  # one that ships, or said later to be missing
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{place}: table {table!r} cannot be read: {error}")


def _shared_ids(lines: Sequence[Placed[tuple[Profile, str]]], rows: Mapping[str, tuple[Limit, ...]]) -> list[str]:
    """A verdict names its row by id, so no two profiles that bind may use one id for different rows."""
    first: dict[str, tuple[str, Limit]] = {}
    faults = []
    for one in lines:
        profile = one.row[0]
        for row in rows[profile.id] if profile.standing is Standing.BINDING else ():
            place, known = first.setdefault(row.id, (one.place, row))
            if known is not row:
                faults.append(f"{one.place}: {profile.id}: id {row.id!r} is already that of a row of {place}")
    return faults


def _profile(row: dict[str, str]) -> tuple[Profile, str]:
    needed(row, "id", "name_zh", "name_en", "source")
    standing = Standing(cell_in(row, "standing", [*Standing]))
    if standing is not Standing.REFERENCE:
        needed(row, "valid_from")
    if standing is not Standing.EVALUATION:
        needed(row, "standard")
    if not (row["region"] == "" or (row["region"].isdigit() and len(row["region"]) in (2, 4, 6))):
        raise ValueError(f"region {row['region']!r}: allowed: 2, 4 or 6 digits of a division code, or nothing")
    valid_from, valid_to = day_of(row, "valid_from") or date.min, day_of(row, "valid_to")
    if valid_to and valid_to < valid_from:
        raise ValueError(f"valid_to {valid_to} is before valid_from {valid_from}")
    profile = Profile(
        id=row["id"], standing=standing, name_zh=row["name_zh"], name_en=row["name_en"], region=row["region"],
        base=row["base"], standard=row["standard"], relaxation=Relaxation(cell_in(row, "relaxation", [*Relaxation])),
        valid_from=valid_from, valid_to=valid_to, confidence=cell_in(row, "confidence", CONFIDENCES),
        source=row["source"], note_zh=row["note_zh"],
    )  # fmt: skip
    return profile, row["table"]


def _criterion(row: dict[str, str]) -> Criterion:
    needed(row, "id", "profile", "measure", "source")
    kind, value = cell_in(row, "limit_kind", ("min", "max", "text")), number_of(row, "value")
    if (value is None) != (kind == "text") or (value is None) != (not row["unit"]):
        raise ValueError(f"limit_kind {kind} does not fit value={row['value']!r} unit={row['unit']!r}")
    if value is None:
        needed(row, "note_zh")
    return Criterion(
        id=row["id"], profile=row["profile"], criterion=cell_in(row, "criterion", CRITERIA),
        grade=cell_in(row, "grade", GRADES), supply=cell_in(row, "supply", SUPPLIES), condition=row["condition"],
        measure=row["measure"], is_minimum=kind == "min", value=value, unit=row["unit"],
        confidence=cell_in(row, "confidence", CONFIDENCES), source=row["source"], note_zh=row["note_zh"],
    )  # fmt: skip


def _profile_faults(lines: Sequence[Placed[Profile]], profiles: Mapping[str, Profile]) -> list[str]:
    """Bases that do not exist, two profiles of a region at once, days on which nothing binds."""
    faults = [
        f"{one.place}: unknown base {one.row.base!r}" for one in lines if one.row.base and one.row.base not in profiles
    ]
    faults += [
        f"{one.place}: {one.row.id} binds in region {one.row.region} alone and needs a base"
        for one in lines
        if one.row.standing is Standing.BINDING and bool(one.row.region) != bool(one.row.base)
    ]
    regions: dict[tuple[Standing, str], list[Placed[Profile]]] = {}
    for one in lines:
        if one.row.standing is not Standing.REFERENCE:
            regions.setdefault((one.row.standing, one.row.region), []).append(one)
    for (standing, region), group in regions.items():
        ordered = sorted(group, key=lambda one: one.row.valid_from)
        must_join = standing is Standing.BINDING and not region
        for before, after in pairwise(ordered):
            faults += _joint_faults(before.row, after, must_join=must_join)
        if must_join and ordered[-1].row.valid_to is not None:
            faults.append(f"{ordered[-1].place}: nothing binds after {ordered[-1].row.valid_to}")
    return faults


def _joint_faults(before: Profile, after: Placed[Profile], *, must_join: bool) -> list[str]:
    end = before.valid_to or date.max
    if after.row.valid_from <= end:
        return [f"{after.place}: {after.row.id} is in force at the same time as {before.id}"]
    if must_join and after.row.valid_from > end + DAY:
        return [f"{after.place}: nothing binds from {end + DAY} to {after.row.valid_from - DAY}"]
    return []


def _rows_of(
    place: str, profile: Profile, table: str, texts: Mapping[str, str], standards: StandardsTables, faults: list[str]
) -> tuple[Limit, ...]:
    if not table:
        rows = tuple(row for row in standards.limits if profile.standard and row.standard.startswith(profile.standard))
    else:
        rows = _table_of(place, profile, table, texts, standards, faults)
    if profile.standard and not rows:
        faults.append(f"{place}: no row of {profile.standard!r} for {profile.id}")
    return rows


def _table_of(
    place: str, profile: Profile, table: str, texts: Mapping[str, str], standards: StandardsTables, faults: list[str]
) -> tuple[Limit, ...]:
    try:
        text = texts[table] if table in texts else packaged_table(table)
    except FileNotFoundError:
        faults.append(f"{place}: table {table!r} does not exist")
        return ()
    binds = profile.standing is Standing.BINDING
    columns = LIMIT_COLUMNS if binds else REFERENCE_COLUMNS
    placed = table_rows(table, text, columns, limit_of if binds else reference_of, faults)
    units = {code: one.unit for code, one in standards.parameters.items()}
    units |= {row.code: row.unit for row in standards.limits}
    if binds:
        faults += limit_faults(placed, units, standards.quantities, is_whole=not profile.base)
    else:
        faults += reference_faults(placed, units, standards.quantities)
    faults += [
        f"{one.place}: standard {one.row.standard!r}: {profile.id} holds {profile.standard!r}"
        for one in placed
        if one.row.standard != profile.standard
    ]
    return tuple(one.row for one in placed)


def _override_faults(
    place: str, profile: Profile, profiles: Mapping[str, Profile], rows: Mapping[str, tuple[Limit, ...]]
) -> list[str]:
    """An override replaces rows of its base one for one, within its own dates of force."""
    base = profiles.get(profile.base)
    if base is None:
        return []
    places = {(row.code, row.point) for row in rows[base.id]}
    end = profile.valid_to or date.max
    faults = [
        f"{place}: {row.id}: {base.id} has no row of {row.code} at point {row.point!r}"
        for row in rows[profile.id]
        if (row.code, row.point) not in places
    ]
    return faults + [
        f"{place}: {row.id} is in force from {row.valid_from} to {row.valid_to}, outside the dates of {profile.id}"
        for row in rows[profile.id]
        if row.valid_from < profile.valid_from or (row.valid_to or date.max) > end
    ]


def _overlaid(rows: Iterable[Limit], own: Sequence[Limit]) -> tuple[Limit, ...]:
    """Rows with those of an override in their place: for its days, its own rows alone speak of a parameter at a point."""
    said: dict[tuple[str, str], list[tuple[date, date]]] = {}
    for row in own:
        said.setdefault((row.code, row.point), []).append((row.valid_from, row.valid_to or date.max))
    kept: list[Limit] = []
    for row in rows:
        parts = [(row.valid_from, row.valid_to or date.max)]
        for start, end in said.get((row.code, row.point), []):
            parts = [part for one in parts for part in _without(one, start, end)]
        kept += [_with_dates(row, *part) for part in parts]
    return (*kept, *own)


def _without(part: tuple[date, date], start: date, end: date) -> list[tuple[date, date]]:
    """What is left of a span of days without another."""
    first, last = part
    if end < first or last < start:
        return [part]
    before = [(first, start - DAY)] if first < start else []
    after = [(end + DAY, last)] if end < last else []
    return before + after


def _with_dates(row: Limit, first: date, last: date) -> Limit:
    valid_to = None if last == date.max else last
    return (
        row
        if (first, valid_to) == (row.valid_from, row.valid_to)
        else replace(row, valid_from=first, valid_to=valid_to)
    )
