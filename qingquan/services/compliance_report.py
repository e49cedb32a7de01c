"""Compliance figures for the command line."""

import csv
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.errors import NotFound
from qingquan.services.compliance_days import month_days
from qingquan.store.sql.compliance import DirtyDay, Known, list_compliance, mark_dirty
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.register import load_works

__all__ = ["current_month", "figures_of", "mark_month", "table_lines", "write_csv"]

MOST_ROWS = 1_000_000
_WORDS = {
    "zh": {"compliant": "合规", "exceeding": "超标", "undecided": "无法判定", "then": "当时所知", "none": "没有统计数据"},
    "en": {
        "compliant": "compliant", "exceeding": "exceeding", "undecided": "undecided", "then": "as known then",
        "none": "no figures",
    },
}  # fmt: skip


def current_month(config: Config) -> str:
    """The month it is in the time zone of the settings."""
    return from_ms(config.clock.now_ms()).astimezone(ZoneInfo(config.time_zone)).strftime("%Y-%m")


def mark_month(config: Config, county: str, works: str, month: str) -> int:
    """Have the days of a month up to today reckoned again by the service; how many works-days.

    Raises
    ------
    NotFound
        If the register has no such works.
    """
    engine = open_database(config.sql_url)
    check_schema(engine)
    today = from_ms(config.clock.now_ms())
    with writing(engine) as connection:
        chosen = [one for one in load_works(connection, county or None) if works in ("", one.id)]
        if not chosen:
            raise NotFound(f"works {works or county or '*'}")
        days = [
            DirtyDay(one.county, one.id, day)
            for one in chosen
            for day in month_days(month)
            if day <= today.astimezone(ZoneInfo(one.time_zone)).date().isoformat()
        ]
        mark_dirty(connection, days)
    engine.dispose()
    return len(days)


def figures_of(
    config: Config, county: str, works: str, parameter: str, month: str, *, by_month: bool
) -> list[dict[str, Any]]:
    """Figures as plain values: as known now, with ``then`` where something else was known first."""
    engine = open_database(config.sql_url)
    check_schema(engine)
    with reading(engine) as connection:
        page = list_compliance(
            connection, county=county, works=works, parameter=parameter, month=month, by_month=by_month, limit=MOST_ROWS
        )
    engine.dispose()
    return [_plain(known) for known in page]


def write_csv(rows: Sequence[dict[str, Any]], out: TextIO) -> None:
    """One line a period; what was known then in columns of its own."""
    flat = [{**row, "then": None, **_flat_then(row["then"])} for row in rows]
    for row in flat:
        del row["then"]
        row["states_ms"] = " ".join(f"{name}={length}" for name, length in sorted(row["states_ms"].items()))
    names = list(flat[0]) if flat else []
    writer = csv.DictWriter(out, names, lineterminator="\n")
    if names:
        writer.writeheader()
    writer.writerows(flat)


def table_lines(rows: Sequence[dict[str, Any]], language: str) -> list[str]:
    """One line a period for people."""
    words = _WORDS["en" if language == "en" else "zh"]
    if not rows:
        return [words["none"]]
    return [_line(row, words) for row in rows]


def _line(row: dict[str, Any], words: dict[str, str]) -> str:
    shown = f"{row['county']}/{row['works']} {row['point']} {row['parameter']} {row['period']}  {words[row['verdict']]} {_percent(row)}"
    facts = (
        f"  +{row['exceeding_ms'] / 60_000:.0f} min"
        f"  ?{row['unknown_ms'] / 3_600_000:.1f} h  {row['received']}/{row['expected']}  {row['standard']} {row['clause']}"
    )
    then = row["then"]
    before = (
        "" if then is None else f"  ({words['then']} {then['known_at']}: {words[then['verdict']]} {_percent(then)})"
    )
    return shown + facts + before


def _percent(row: dict[str, Any]) -> str:
    # Of a period known too little no share is told: 100 % of an hour would look like a pass.
    is_told = row["compliant_share"] is not None and row["verdict"] != "undecided"
    return "-" if not is_told else f"{row['compliant_share']:.2%}"


def _plain(known: Known) -> dict[str, Any]:
    figures = known.now.figures
    row = asdict(figures)
    row["states_ms"] = row.pop("states")
    for name in ("start", "end", "worst_at"):
        row[name] = _time(row[name])
    then = known.then
    return {
        **row,
        "coverage": figures.coverage,
        "compliant_share": figures.compliant_share,
        "version": known.now.version,
        "known_at": _time(known.now.known_at),
        "is_published": known.now.is_published,
        "then": None
        if then is None
        else {
            "known_at": _time(then.known_at),
            "verdict": then.figures.verdict,
            "compliant_share": then.figures.compliant_share,
            "coverage": then.figures.coverage,
        },
    }


def _flat_then(then: dict[str, Any] | None) -> dict[str, Any]:
    names = ("known_at", "verdict", "compliant_share", "coverage")
    return {f"then_{name}": None if then is None else then[name] for name in names}


def _time(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()
