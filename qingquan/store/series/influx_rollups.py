"""Rollups in InfluxDB: each level in a bucket of its own, ``<bucket>_5min``, ``_1h``, ``_1d``, kept by the recorder.

Server-side tasks would leave out what comes late, so the recorder computes a bucket of time whenever a reading closes or changes it:
from what it remembers of the open bucket (`open_buckets`), or, where readings came late or from a recorder before, from what the
server then holds. Written again it is the same point, so an append cut short may be repeated. They are written before the progress
mark: a mark never covers readings whose rollups are missing.

Measurement ``rollup``; tags county, works, point; fields per parameter ``_count``, ``_good``, ``_sum``, ``_min``, ``_max``,
``_last``, ``_last_at`` (ms); time is the start of the bucket.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.store.series.identity import NEVER, stretches
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.influx_lines import LineNames, StoredColumns, identifier, is_at, rollup_lines
from qingquan.store.series.open_buckets import Met, OpenBuckets
from qingquan.store.series.rollup_rows import RollupRows, rows_of_readings, summed
from qingquan.store.series.rollups import LEVELS, Closed, Level, touched

__all__ = ["POINTS_AT_ONCE", "InfluxRollups", "any_of"]

Ints = npt.NDArray[np.int64]

POINTS_AT_ONCE = 50
"""Points in one statement: the server's time for a condition over more of them grows with their square."""
_FIELDS = ("count", "good", "sum", "min", "max", "last", "last_at")


class _Span(NamedTuple):
    """A stretch of time [ms] in which buckets of some points are computed; of each point its series by parameter."""

    start: int
    end: int
    points: dict[SeriesKey, dict[str, int]]


class InfluxRollups:
    """Keeps and reads the rollups beside the bucket ``bucket``."""

    def __init__(self, door: InfluxDoor, bucket: str) -> None:
        self._door = door
        self._bucket_of = {level: f"{bucket}{level.table.removeprefix('rollup')}" for level in LEVELS}

    def ensure(self, days: Sequence[int]) -> None:
        """Make the buckets that are missing, kept for so many days, fine to coarse; 0 = for ever."""
        for bucket, kept in zip(self._bucket_of.values(), days, strict=True):
            self._door.ensure_bucket(bucket, kept)

    def keep(
        self, keys: Sequence[SeriesKey], names: LineNames, readings: StoredColumns, newest_at: Sequence[Ints], frozen: int,
        opened: OpenBuckets,
    ) -> None:  # fmt: skip
        """Bring all levels up to date after new readings were written.

        ``newest_at``: the newest time held of each series before them, as far as it was covered and as it stands. ``opened`` has
        taken all that this writer has brought here before.
        """
        series, at = readings.series, readings.observed_at
        met = Met.by(series, at, newest_at[-1])
        is_late = at <= newest_at[-1][series]
        late = series[is_late], at[is_late]
        new = rows_of_readings(series, at, readings.value, readings.flag)
        new = new.where(new.bucket > newest_at[-1][new.series])
        for number, level in enumerate(LEVELS):
            closed, whole_from = opened.take(number, met, new, late)
            self._write(level, names, closed.where(closed.bucket >= frozen))
            asked = _pairs(level, series, at, newest_at, frozen)
            asked = asked[asked[:, 1] < met.of(whole_from, asked[:, 0])]
            parts = [closed]
            for rows in self._asked(number, keys, asked):
                self._write(level, names, rows)
                parts.append(rows.where(rows.bucket >= met.of(met.opened(met.before, level.step), rows.series)))
            new = RollupRows.joined(parts)
            is_late = asked[:, 1] < met.of(met.opened(met.before, level.step), asked[:, 0])
            late = asked[is_late, 0], asked[is_late, 1]

    def _asked(self, number: int, keys: Sequence[SeriesKey], pairs: Ints) -> Iterator[RollupRows]:
        """Buckets ``pairs`` of a level as the server's own finer rows have them."""
        step = LEVELS[number].step
        wanted = set(map(tuple, pairs.tolist()))
        for spans in _spans(keys, pairs.tolist(), step):
            rows = summed(self._finer(number, spans), step)
            found = [pair in wanted for pair in zip(rows.series.tolist(), rows.bucket.tolist(), strict=True)]
            yield rows.where(np.array(found, bool))

    def _write(self, level: Level, names: LineNames, rows: RollupRows) -> None:
        self._door.write(rollup_lines(names, rows), self._bucket_of[level])

    def closed(self, key: SeriesKey, levels: Iterable[Level]) -> Closed:
        """Until when each level has the series' buckets; `NEVER` where it has none."""
        until: dict[Level, int] = {}
        for level in levels:
            name = identifier(f"{key.parameter}_count")
            place = is_at(key.county, key.works, key.point)
            [answer] = self._door.query(
                [f"SELECT last({name}) FROM rollup WHERE {place}"],  # noqa: S608 - quoted by us
                self._bucket_of[level],
            )
            until[level] = int(answer[0]["values"][0][0]) + level.step if answer else NEVER
        return lambda level: until[level]

    def rows(self, level: Level, key: SeriesKey, start: int, end: int) -> RollupRows:
        """Buckets of one series (number 0) with start <= bucket < end."""
        point = key._replace(parameter="")
        return self._rollup_rows(level, [_Span(start, end, {point: {key.parameter: 0}})])

    def _finer(self, number: int, spans: Sequence[_Span]) -> RollupRows:
        return self._readings(spans) if number == 0 else self._rollup_rows(LEVELS[number - 1], spans)

    def _readings(self, spans: Sequence[_Span]) -> RollupRows:
        answers = self._door.query(
            [
                f"SELECT {', '.join(map(identifier, _parameters(span)))} FROM {measurement} WHERE {_during(span)}"  # noqa: S608
                " GROUP BY county, works, point"
                for span in spans
                for measurement in ("reading", "flag")
            ]
        )
        cells: list[tuple[int, int, float, int]] = []
        for span, values, flags in zip(spans, answers[::2], answers[1::2], strict=True):
            flag_of = {(number, at): flag for number, at, (flag,) in _cells(span, flags, 1)}
            cells += [
                (number, at, value, flag_of.get((number, at), int(Flag.PASS)))
                for number, at, (value,) in _cells(span, values, 1)
            ]
        series, at, value, flag = zip(*cells, strict=True) if cells else ((), (), (), ())
        return rows_of_readings(
            np.array(series, np.int64), np.array(at, np.int64), np.array(value, np.float64), np.array(flag, np.float64)
        )

    def _rollup_rows(self, level: Level, spans: Sequence[_Span]) -> RollupRows:
        fields = [
            ", ".join(identifier(f"{name}_{field}") for name in _parameters(span) for field in _FIELDS)
            for span in spans
        ]
        answers = self._door.query(
            [
                f"SELECT {chosen} FROM rollup WHERE {_during(span)} GROUP BY county, works, point"  # noqa: S608
                for span, chosen in zip(spans, fields, strict=True)
            ],
            self._bucket_of[level],
        )
        cells = [
            cell for span, answer in zip(spans, answers, strict=True) for cell in _cells(span, answer, len(_FIELDS))
        ]
        whole = np.array([(number, at, row[-1]) for number, at, row in cells], np.int64).reshape(-1, 3)
        parts = np.array([row[:-1] for _, _, row in cells], np.float64).reshape(-1, len(_FIELDS) - 1)
        count, good, total, least, most, last = parts.T
        return RollupRows(whole[:, 0], whole[:, 1], count, good, total, least, most, last, whole[:, 2])


def _pairs(level: Level, series: Ints, observed_at: Ints, newest_at: Sequence[Ints], frozen: int) -> Ints:
    """Series and start of every closed bucket that is touched, seen from any of the newest times."""
    changed = [touched(level, series, observed_at, newest, frozen) for newest in newest_at]
    return np.unique(np.concatenate([np.stack([one.series, one.bucket], axis=1) for one in changed]), axis=0)


def any_of(points: Iterable[SeriesKey]) -> str:
    """Condition on the place: one of these points."""
    return "(" + " OR ".join(f"({is_at(one.county, one.works, one.point)})" for one in points) + ")"


def _spans(keys: Sequence[SeriesKey], pairs: Iterable[Sequence[int]], step: int) -> Iterator[list[_Span]]:
    """Where the buckets ``pairs`` lie; points with the same stretch of time are asked for together. A few spans at once, so
    that an answer stays small."""
    at_of: dict[SeriesKey, list[int]] = defaultdict(list)
    series_of: dict[SeriesKey, dict[str, int]] = defaultdict(dict)
    for number, bucket in pairs:
        key = keys[number]
        point = key._replace(parameter="")
        at_of[point].append(bucket)
        series_of[point][key.parameter] = number
    together: dict[tuple[int, int], list[SeriesKey]] = defaultdict(list)
    for point, buckets in at_of.items():
        times = np.array(buckets, np.int64)
        for part in stretches(times):
            together[int(times[part].min()), int(times[part].max()) + step].append(point)
    spans: list[_Span] = []
    for (start, end), points in sorted(together.items()):
        for first in range(0, len(points), POINTS_AT_ONCE):
            spans.append(_Span(start, end, {one: series_of[one] for one in points[first : first + POINTS_AT_ONCE]}))
    for first in range(0, len(spans), 10):
        yield spans[first : first + 10]


def _parameters(span: _Span) -> list[str]:
    return list(dict.fromkeys(name for series in span.points.values() for name in series))


def _during(span: _Span) -> str:
    return f"time >= {span.start}ms AND time < {span.end}ms AND {any_of(span.points)}"


def _cells(span: _Span, answer: list[dict[str, Any]], width: int) -> Iterator[tuple[int, int, list[Any]]]:
    """Series, time and ``width`` fields of every parameter in every row of an answer grouped by point."""
    names = _parameters(span)
    for group in answer:
        tags = group["tags"]
        series = span.points.get(SeriesKey(tags["county"], tags["works"], tags["point"], ""), {})
        places = [(1 + width * place, series[name]) for place, name in enumerate(names) if name in series]
        for row in group["values"]:
            for place, number in places:
                cells = row[place : place + width]
                if cells[0] is not None:
                    yield number, row[0], cells
