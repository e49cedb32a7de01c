"""`qingquan rules explain`: which row judges a parameter at a works on a day, and why; which rows do not, and why not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from qingquan.clock import from_ms, to_ms
from qingquan.config import Config
from qingquan.domain.parameters import Limit
from qingquan.domain.profiles import PassedOver, Profile, Ruling, Standing, WhyNone, ruling
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.errors import WrongUse
from qingquan.services.explain_words import Told, sentence
from qingquan.standards.laboratory import load_laboratory, name_key
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import ProfileTables, load_profiles
from qingquan.store.sql.engine import check_schema, open_database, reading
from qingquan.store.sql.register import load_works

__all__ = ["Explanation", "explain", "explanation_json", "explanation_of", "moment_of", "works_named"]

ANNEX = "gb5749-2022-annex-a"
EDITION_2006 = "GB 5749-2006"
DELETED_IN_2022 = frozenset({
    "thermotolerant_coliforms", "trichloroacetaldehyde", "sulfide", "cyanogen_chloride", "hch_total", "parathion", "methyl_parathion",
    "lindane", "ddt", "formaldehyde", "trichloroethane_1_1_1", "dichlorobenzene_1_2", "ethylbenzene",
})  # fmt: skip
"""Indicators of the edition of 2006 whose limits were not seen and are not held (`docs/standards.md`)."""
WORKS_ZONE = "Asia/Shanghai"
YEARS = range(1900, 2200)
# Where water is judged first when nobody says where.
_POINT_ORDER = (PointKind.OUTLET, PointKind.NETWORK_END, PointKind.NETWORK, PointKind.TREATMENT, PointKind.SOURCE)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which row applies and why, as data and as a sentence in both languages.

    ``at`` is ms since epoch, UTC; ``on`` the day at the works. ``limit`` is ``None`` where no row applies, ``why_none``
    then says why. ``informs`` are rows that bear on the parameter without deciding anything.
    """

    works: Works
    point: SamplingPoint
    parameter: str
    at: int
    on: date
    profile: Profile
    limit: Limit | None
    why_none: WhyNone | None
    passed: tuple[PassedOver, ...]
    informs: tuple[Limit, ...]
    zh: str
    en: str


def explain(
    config: Config, works: str, parameter: str, at: int, *, profile: str | None = None, point: str | None = None
) -> Explanation:
    """Explanation for a works of the register.

    Parameters
    ----------
    works
        Its id, or ``county/id`` where several counties use the id.
    parameter
        Code, or name in Chinese or English.
    at
        ms since epoch, UTC; the day is that of the works' time zone.
    profile
        Id of a profile; without it, the one that binds in the county on the day.
    point
        Id of a sampling point; without it, the outlet, else the network end.

    Raises
    ------
    WrongUse
        If works, parameter, profile or point is unknown; says what is known.
    ConfigurationError
        If the database has not the schema of this version.
    """
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with reading(engine) as connection:
            county, _, name = works.rpartition("/")
            entry = works_named(load_works(connection, county or None), name or works, works)
    finally:
        engine.dispose()
    return explanation_of(entry, parameter, at, load_profiles(), profile=profile, point=point)


def moment_of(text: str, config: Config) -> int:
    """ms since epoch of what was written: ``now``, or ISO 8601; without offset it is China Standard Time.

    Raises
    ------
    WrongUse
        If it is neither.
    """
    if text == "now":
        return config.clock.now_ms()
    try:
        written = datetime.fromisoformat(text)
        if written.year not in YEARS:
            raise ValueError(f"year {written.year}")
    except ValueError:
        raise WrongUse(f"--at {text}: allowed: ISO 8601 (2026-05-01, 2026-05-01T08:00+08:00), now") from None
    return to_ms(written if written.tzinfo else written.replace(tzinfo=ZoneInfo(WORKS_ZONE)))


def explanation_json(told: Explanation) -> str:
    """The explanation as one line of JSON."""
    facts = {
        "county": told.works.county, "works": told.works.id, "point": told.point.id, "parameter": told.parameter,
        "at": from_ms(told.at).isoformat(), "on": told.on.isoformat(), "profile": told.profile.id,
        "standing": told.profile.standing, "limit": None if told.limit is None else _row_facts(told.limit),
        "why_none": told.why_none,
        "passed_over": [{"id": one.limit.id, "why": one.why} for one in told.passed],
        "informs": [_row_facts(row) for row in told.informs], "zh": told.zh, "en": told.en,
    }  # fmt: skip
    return json.dumps(facts, ensure_ascii=False)


def _row_facts(row: Limit) -> dict[str, object]:
    return {
        "id": row.id, "kind": row.kind, "min": row.min, "max": row.max, "unit": row.unit, "basis": row.basis,
        "standard": row.standard, "clause": row.clause, "confidence": row.confidence, "source": row.source,
        "valid_from": None if row.valid_from == date.min else row.valid_from.isoformat(),
        "valid_to": None if row.valid_to is None else row.valid_to.isoformat(),
    }  # fmt: skip


def works_named(entries: Sequence[Works], name: str, written: str) -> Works:
    """The one works of that id; raises `WrongUse` if there is none, or several."""
    found = [one for one in entries if one.id == name]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{one.county}/{one.id}" for one in found)
        raise WrongUse(f"--works {written}: 多个县有此编号 several counties have it: {several}")
    near = get_close_matches(name, [one.id for one in entries], 3)
    hint = f"; 相近 close: {', '.join(near)}" if near else ""
    raise WrongUse(f"--works {written}: 登记表中没有此工程 not in the register ({len(entries)} works){hint}")


def explanation_of(
    works: Works,
    parameter: str,
    at: int,
    tables: ProfileTables,
    *,
    profile: str | None = None,
    point: str | None = None,
) -> Explanation:
    """The same for an entry and tables at hand; no store."""
    on = from_ms(at).astimezone(ZoneInfo(works.time_zone)).date()
    code, place = _code(parameter, tables), _point(works, point)
    chosen = _profile(tables, works, on, profile)
    informs: tuple[Limit, ...] = ()
    if chosen.standing is Standing.REFERENCE:
        found, informs = Ruling(None, WhyNone.REFERENCE_ONLY, ()), _informing(tables.rows_for(chosen), code, place, on)
        if not informs:
            # Annex A is held whole; of other authorities only what instruments measure. What is not held is no statement of theirs.
            found = Ruling(None, WhyNone.NO_ROW if chosen.id == ANNEX else WhyNone.NOT_HELD, ())
        rows_on = on
    else:
        rows = tables.binding_rows(works.county) if chosen.standing is Standing.BINDING else tables.rows_for(chosen)
        rows_on = on if profile is None else _day_of_rows(rows, on)
        found = ruling(rows, works, place.kind, code, rows_on, chosen, works.disinfectant.residuals)
        if not chosen.standard or (
            found.why_none is WhyNone.NO_ROW and chosen.standard == EDITION_2006 and code in DELETED_IN_2022
        ):
            found = Ruling(None, WhyNone.NOT_HELD, ())
        elif found.why_none is WhyNone.NO_ROW:
            informs = _informing(tables.rows[ANNEX], code, place, on)
    told = Told(works, place, code, _name(code, tables), on, rows_on, chosen, found, informs)
    return Explanation(
        works, place, code, at, on, chosen, found.limit, found.why_none, found.passed, informs,
        sentence(told, "zh"), sentence(told, "en"),
    )  # fmt: skip


def _code(parameter: str, tables: ProfileTables) -> str:
    codes = {row.code for rows in tables.rows.values() for row in rows}
    codes |= set(load_laboratory().parameters)
    if parameter in codes:
        return parameter
    names = {
        name_key(name): row.code for rows in tables.rows.values() for row in rows for name in (row.name_zh, row.name_en)
    }
    # "硝酸盐" leaves a laboratory's basis open, but not which row is meant.
    known = {**load_laboratory().open_basis, **names, **load_laboratory().names}.get(name_key(parameter))
    if known is not None:
        return known
    near = get_close_matches(parameter, sorted(codes), 3, 0.5)
    raise WrongUse(f"--parameter {parameter}: 未知指标 unknown; 相近 close: {', '.join(near) or '-'}")


def _name(code: str, tables: ProfileTables) -> tuple[str, str]:
    online = load_standards().parameters.get(code)
    if online is not None:
        return online.name_zh, online.name_en
    for rows in tables.rows.values():
        for row in rows:
            if row.code == code:
                return row.name_zh, row.name_en
    held = load_laboratory().parameters[code]
    return held.name_zh, held.name_en


def _point(works: Works, point: str | None) -> SamplingPoint:
    if point is None:
        ordered = sorted(works.points, key=lambda one: _POINT_ORDER.index(one.kind))
        return ordered[0] if ordered else SamplingPoint("outlet", PointKind.OUTLET, "")
    found = next((one for one in works.points if one.id == point), None)
    if found is None:
        raise WrongUse(
            f"--point {point}: 该工程的采样点 points of the works: {', '.join(one.id for one in works.points) or '-'}"
        )
    return found


def _profile(tables: ProfileTables, works: Works, on: date, profile: str | None) -> Profile:
    if profile is not None:
        if profile not in tables.profiles:
            raise WrongUse(f"--profile {profile}: allowed: {', '.join(tables.profiles)}")
        return tables.profiles[profile]
    chosen = tables.at(works.county, on)
    if chosen is None:
        first = min(one.valid_from for one in tables.profiles.values() if one.standing is Standing.BINDING)
        raise WrongUse(f"--at {on}: 当日没有收录的标准 no standard held for that day; the first begins on {first}")
    return chosen


def _day_of_rows(rows: Sequence[Limit], on: date) -> date:
    """The day whose rows are taken. A profile asked for by name keeps its edition after that edition was replaced."""
    if not rows or any(row.is_in_force(on) for row in rows):
        return on
    last = max(row.valid_to or date.max for row in rows)
    return last if on > last else min(row.valid_from for row in rows)


def _informing(rows: Sequence[Limit], code: str, point: SamplingPoint, on: date) -> tuple[Limit, ...]:
    """Rows of a reference that speak of the parameter here; where it speaks of other points only, those."""
    speaking = [row for row in rows if row.code == code and row.is_in_force(on)]
    here = [row for row in speaking if row.point in ("any", point.kind)]
    return tuple(here or speaking)
