"""InfluxQL over what the recorder writes: the one query language that InfluxDB 1, 2 and 3 share.

Measurement ``reading``: tags county, works, point; one float field per parameter. Measurement ``flag``: the same
tags, one field per parameter, holding the flag of every reading that is not good.

InfluxQL has no case distinction and returns no row at all when a count is zero. Where zero and "no data" must not
look alike, a query therefore joins two subqueries: one gives 1 for what is counted, the other 0 for all the rest;
their sum is a count and their mean a share, and both have no row only where there is no data.
"""

# ruff: noqa: S608 - parameter codes come from our own table; what people choose is escaped by Grafana.

from collections.abc import Iterable, Sequence

from qingquan.domain.flags import Flag

__all__ = [
    "county_values", "flag_counts", "flag_rows", "last_data", "latest_table", "point_values", "reporting", "reporting_trend",
    "share_beyond", "share_beyond_trend", "silent", "states", "trend", "works_values",
]  # fmt: skip

COUNTY = '"county" =~ /^$county$/'
WORKS = f'{COUNTY} AND "works" =~ /^$works$/'
OUTLET = f'{COUNTY} AND "point" =~ /^$outlet$/'
RECENT = "time > now() - $silence"
# Flags above this one say that something is wrong with a reading; not evaluated (2) only says that nobody looked.
WEAKEST = int(Flag.NOT_EVALUATED)
# How far back a works is still looked for once it went silent.
MEMORY = "time > now() - 30d"


def county_values() -> str:
    """Counties that have readings."""
    return 'SHOW TAG VALUES FROM "reading" WITH KEY = "county"'


def works_values() -> str:
    """Works of the chosen county that have readings."""
    return f'SHOW TAG VALUES FROM "reading" WITH KEY = "works" WHERE {COUNTY}'


def point_values() -> str:
    """Points of the chosen county that have readings."""
    return f'SHOW TAG VALUES FROM "reading" WITH KEY = "point" WHERE {COUNTY}'


def trend(code: str, point_variable: str) -> str:
    """One parameter of a works over time, by the statistic chosen in ``$statistic``."""
    return (
        f'SELECT $statistic("{code}") FROM "reading" WHERE {WORKS} AND "point" =~ /^${point_variable}$/ AND $timeFilter '
        'GROUP BY time($__interval), "point" fill(null)'
    )


def states(code: str) -> str:
    """A switch contact of a works over time."""
    return f'SELECT last("{code}") FROM "reading" WHERE {WORKS} AND $timeFilter GROUP BY time($__interval), "point" fill(null)'


def flag_counts(code: str) -> str:
    """How many readings of a parameter at a works are suspect, failed or missing."""
    return (
        f'SELECT count("{code}") FROM "flag" WHERE {WORKS} AND "{code}" > {WEAKEST} AND $timeFilter '
        "GROUP BY time($__interval) fill(0)"
    )


def flag_rows(labels: Sequence[tuple[str, str]]) -> str:
    """The newest readings of a works that are suspect, failed or missing, with their flags; ``labels`` = (code, text)."""
    columns = ", ".join(f'"{code}" AS "{text}"' for code, text in labels)
    flagged = " OR ".join(f'"{code}" > {WEAKEST}' for code, _ in labels)
    return f'SELECT "point", {columns} FROM "flag" WHERE {WORKS} AND ({flagged}) AND $timeFilter ORDER BY time DESC LIMIT 200'


def latest_table(labels: Sequence[tuple[str, str]]) -> str:
    """Newest value of each parameter at the outlet of every works; ``labels`` = (code, text)."""
    columns = ", ".join(f'last("{code}") AS "{text}"' for code, text in labels)
    return f'SELECT {columns} FROM "reading" WHERE {OUTLET} AND $timeFilter GROUP BY "works"'


def last_data(codes: Iterable[str]) -> str:
    """When each works last sent anything at all."""
    return f'SELECT last("value") AS "value" FROM {_newest_per_works(codes, MEMORY)} GROUP BY "works"'


def reporting(codes: Sequence[str]) -> str:
    """Number of works heard of within ``$silence``; 0 where works are known and none was heard of."""
    known = f'SELECT last("value") * 0 AS "n" FROM {_newest_per_works(codes, MEMORY)} GROUP BY "works"'
    heard = f'SELECT last("value") * 0 + 1 AS "n" FROM {_newest_per_works(codes, RECENT)} GROUP BY "works"'
    return f'SELECT sum("n") AS "number" FROM ({known}), ({heard})'


def silent(codes: Sequence[str]) -> str:
    """Number of works known from the last 30 days but not heard of within ``$silence``."""
    known = f'SELECT last("value") * 0 + 1 AS "n" FROM {_newest_per_works(codes, MEMORY)} GROUP BY "works"'
    heard = f'SELECT last("value") * 0 - 1 AS "n" FROM {_newest_per_works(codes, RECENT)} GROUP BY "works"'
    return f'SELECT sum("n") AS "number" FROM ({known}), ({heard})'


def reporting_trend(codes: Iterable[str]) -> str:
    """Number of works heard of in each span of ``$silence``."""
    by = 'GROUP BY time($silence), "works"'
    counted = ", ".join(
        f'(SELECT count("{c}") AS "n" FROM "reading" WHERE {COUNTY} AND $timeFilter {by})' for c in codes
    )
    once = f'SELECT max("n") AS "n" FROM {counted} WHERE $timeFilter {by}'
    return f'SELECT count("n") FROM ({once}) WHERE $timeFilter GROUP BY time($silence)'


def share_beyond(code: str, condition: str, otherwise: str) -> str:
    """Share of works whose newest value at the outlet meets ``condition``, e.g. ``< 0.3`` with ``>= 0.3`` otherwise."""
    newest = f'SELECT last("{code}") AS "value" FROM "reading" WHERE {OUTLET} AND $timeFilter GROUP BY "works"'
    return f'SELECT mean("n") AS "share" FROM {_zero_or_one(newest, condition, otherwise)}'


def share_beyond_trend(code: str, condition: str, otherwise: str) -> str:
    """The same in each span of ``$silence``."""
    newest = f'SELECT last("{code}") AS "value" FROM "reading" WHERE {OUTLET} AND $timeFilter GROUP BY time($silence), "works"'
    return (
        f'SELECT mean("n") FROM {_zero_or_one(newest, condition, otherwise)} WHERE $timeFilter GROUP BY time($silence)'
    )


def _zero_or_one(newest: str, condition: str, otherwise: str) -> str:
    ones = f'(SELECT "value" * 0 + 1 AS "n" FROM ({newest}) WHERE "value" {condition})'
    zeros = f'(SELECT "value" * 0 AS "n" FROM ({newest}) WHERE "value" {otherwise})'
    return f"{ones}, {zeros}"


def _newest_per_works(codes: Iterable[str], since: str) -> str:
    newest = (
        f'(SELECT last("{c}") AS "value" FROM "reading" WHERE {COUNTY} AND {since} GROUP BY "works")' for c in codes
    )
    return ", ".join(newest)
