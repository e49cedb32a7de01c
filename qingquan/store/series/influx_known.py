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
from qingquan.store.series.influx_answers import arrivals_of, arrived_by
from qingquan.store.series.influx_lines import identifier, is_at, set_members
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
        f"SELECT {arrived_by(chosen)} FROM arrival WHERE time >= {start}ms AND {any_of(part)}"  # noqa: S608 - quoted by us
        " GROUP BY county, works, point, of"
        for part, chosen in zip(parts, names, strict=True)
    )
    found: dict[SeriesKey, Newest] = {}
    for chosen, answer in zip(names, answers, strict=True):
        for group in answer:
            tags = group["tags"]
            for name, at, sequence in arrivals_of(group, chosen):
                key = SeriesKey(tags["county"], tags["works"], tags["point"], name)
                before = found.get(key, Newest())
                whole = max(before.covered, at) if sequence <= covered else before.covered
                found[key] = Newest(max(before.held, at), whole)
    return {key: found[key] for key in asked if key in found}


def _last(query: Query, asked: Sequence[SeriesKey], condition: str) -> dict[SeriesKey, tuple[int, int]]:
    """Time and sequence of the last reading of each series that meets the condition; none for a series without one."""
    wanted = set(asked)
    points = list(dict.fromkeys(key._replace(parameter="") for key in asked))
    answers = query(
        [
            *(_last_of(key, f"{key.parameter}_sequence", condition) for key in asked),
            *(f"{_last_of(point, 'sequence', condition)} GROUP BY of" for point in points),
        ]
    )
    found = {
        key: (answer[0]["values"][0][0], answer[0]["values"][0][1])
        for key, answer in zip(asked, answers[: len(asked)], strict=True)
        if answer
    }
    for point, answer in zip(points, answers[len(asked) :], strict=True):
        for group in answer:
            at, sequence = group["values"][0]
            for name in set_members(group["tags"]["of"]):
                key = point._replace(parameter=name)
                if key in wanted:
                    found[key] = max(found.get(key, (at, sequence)), (at, sequence))
    return found


def _last_of(place: SeriesKey, field: str, condition: str) -> str:
    return (
        f"SELECT last({identifier(field)}) FROM arrival"  # noqa: S608 - quoted by us
        f" WHERE {is_at(place.county, place.works, place.point)} AND {condition.format(sequence=field)}"
    )
