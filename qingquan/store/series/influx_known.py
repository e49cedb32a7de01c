"""The newest reading of some series, asked of InfluxDB when a writer meets them for the first time.

A writer that takes over cannot ask for all series at once: at 58,400 works that is one question of minutes, longer than any
server answers. It asks for those of the batch at hand, many points in a statement, within half an hour around the batch; only
who was silent then is looked for further back, series by series.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from qingquan.domain.readings import SeriesKey
from qingquan.store.series.identity import NEVER
from qingquan.store.series.influx_lines import identifier, is_at
from qingquan.store.series.influx_rollups import POINTS_AT_ONCE, any_of

__all__ = ["Newest", "newest_of"]

WINDOW_MS = 30 * 60_000

Query = Callable[[Iterable[str]], list[list[dict[str, Any]]]]


class Newest(NamedTuple):
    """Newest time of a series that the store holds, and of those readings that a progress mark covers [ms]; `NEVER` = none."""

    held: int = NEVER
    covered: int = NEVER


def newest_of(query: Query, asked: Sequence[SeriesKey], around: int, covered: int) -> dict[SeriesKey, Newest]:
    """Newest times of the series asked for. ``around``: a time near which most of them have readings [ms]; ``covered``: sequence
    up to which readings are covered, what lies beyond is left of an append that was cut short."""
    start = around - WINDOW_MS
    found = dict.fromkeys(asked, Newest()) | _since(query, asked, start, covered)
    silent = [key for key in asked if found[key].covered == NEVER]
    before = _last(query, silent, f"time < {start}ms")
    cut_short = [key for key, (_, sequence) in before.items() if sequence > covered]
    whole = _last(query, cut_short, f'time < {start}ms AND "{{sequence}}" <= {covered}')
    for key, (at, sequence) in before.items():
        at_covered = at if sequence <= covered else whole.get(key, (NEVER, 0))[0]
        found[key] = Newest(max(found[key].held, at), at_covered)
    return found


def _since(query: Query, asked: Sequence[SeriesKey], start: int, covered: int) -> dict[SeriesKey, Newest]:
    parameters: dict[SeriesKey, list[str]] = defaultdict(list)
    for key in asked:
        parameters[key._replace(parameter="")].append(key.parameter)
    points = sorted(parameters)
    parts = [points[first : first + POINTS_AT_ONCE] for first in range(0, len(points), POINTS_AT_ONCE)]
    names = [list(dict.fromkeys(name for point in part for name in parameters[point])) for part in parts]
    answers = query(
        f"SELECT {', '.join(identifier(f'{name}_sequence') for name in chosen)} FROM arrival"  # noqa: S608 - quoted by us
        f" WHERE time >= {start}ms AND {any_of(part)} GROUP BY county, works, point"
        for part, chosen in zip(parts, names, strict=True)
    )
    found: dict[SeriesKey, Newest] = {}
    for chosen, answer in zip(names, answers, strict=True):
        for group in answer:
            tags = group["tags"]
            for place, name in enumerate(chosen, 1):
                rows = [(row[0], row[place]) for row in group["values"] if row[place] is not None]
                if rows:
                    whole = [at for at, sequence in rows if sequence <= covered]
                    key = SeriesKey(tags["county"], tags["works"], tags["point"], name)
                    found[key] = Newest(max(at for at, _ in rows), max(whole, default=NEVER))
    return {key: found[key] for key in asked if key in found}


def _last(query: Query, asked: Sequence[SeriesKey], condition: str) -> dict[SeriesKey, tuple[int, int]]:
    """Time and sequence of the last reading of each series that meets the condition; none for a series without one."""
    answers = query(
        f"SELECT last({identifier(f'{key.parameter}_sequence')}) FROM arrival"  # noqa: S608 - quoted by us
        f" WHERE {is_at(key.county, key.works, key.point)} AND {condition.format(sequence=f'{key.parameter}_sequence')}"
        for key in asked
    )
    return {
        key: (answer[0]["values"][0][0], answer[0]["values"][0][1])
        for key, answer in zip(asked, answers, strict=True)
        if answer
    }
