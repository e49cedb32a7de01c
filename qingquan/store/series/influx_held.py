"""What InfluxDB already holds of some identities: asked by point and stretch of time, in few statements."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey
from qingquan.store.series.identity import Held, stretches
from qingquan.store.series.influx_answers import arrivals_of, arrived_by
from qingquan.store.series.influx_lines import StoredRow, identifier, is_at

__all__ = ["HeldRows", "Identity", "conflicts_held", "rows_held"]

Identity = tuple[SeriesKey, int]
Query = Callable[[Iterable[str]], list[list[dict[str, Any]]]]


class _HeldValue(NamedTuple):
    value: float
    sequence: int
    nth: int = 0


@dataclass(slots=True)
class HeldRows:
    """Values that the store holds, by identity; several where they are conflicts."""

    rows: dict[Identity, list[_HeldValue]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, asked: Sequence[Identity], sequences: Sequence[int], covered: int) -> Held:
        """Whether each identity is held. What an unfinished append of the same message left does not count."""
        found = np.zeros(len(asked), bool)
        value = np.full(len(asked), nan)
        for row, (identity, sequence) in enumerate(zip(asked, sequences, strict=True)):
            for held in self.rows.get(identity, ()):
                found[row] = not _is_own(held, sequence, covered)
                value[row] = held.value
        return Held(found, value)

    def knows(
        self, asked: Sequence[Identity], values: Sequence[float], sequences: Sequence[int], covered: int
    ) -> npt.NDArray[np.bool_]:
        """Whether each value is held as a conflict of its identity, by another message than its own unfinished one."""
        return np.array(
            [
                any(
                    _is_same(held.value, value) and not _is_own(held, sequence, covered) for held in self.rows[identity]
                )
                for identity, value, sequence in zip(asked, values, sequences, strict=True)
            ],
            dtype=bool,
        )

    def numbered(self, rows: Iterable[StoredRow]) -> list[StoredRow]:
        """Conflicts with their number: the old one if this value was half written before, else the next free one."""
        numbered: list[StoredRow] = []
        for row in rows:
            held = self.rows[row.key, row.observed_at]
            same = [other.nth for other in held if _is_same(other.value, row.value)]
            nth = same[0] if same else 1 + max((other.nth for other in held), default=0)
            held.append(_HeldValue(row.value, row.sequence, nth))
            numbered.append(row._replace(nth=nth))
        return numbered


def rows_held(query: Query, asked: Sequence[Identity], into: HeldRows) -> None:
    """Look up readings. Held means that the arrival is there; a missing value has no field in ``reading``."""
    places = _places(asked)
    arrivals = query(
        f"SELECT {arrived_by(place.parameters)} FROM arrival WHERE {place.condition} GROUP BY of"  # noqa: S608 - quoted by us
        for place in places
    )
    values = query(
        f"SELECT {', '.join(map(identifier, place.parameters))} FROM reading WHERE {place.condition}"  # noqa: S608
        for place in places
    )
    wanted = set(asked)
    for place, arrived, held in zip(places, arrivals, values, strict=True):
        value_of = dict(_cells(place, held))
        for group in arrived:
            for name, at, sequence in arrivals_of(group, place.parameters):
                identity = place.key(name), at
                if identity in wanted:
                    into.rows[identity] = [_HeldValue(value_of.get(identity, nan), sequence)]


def conflicts_held(query: Query, asked: Sequence[Identity], into: HeldRows) -> None:
    """Look up conflicts."""
    places = _places(asked)
    chosen_of = [
        ", ".join(f"{identifier(name)}, {identifier(name + '_sequence')}" for name in place.parameters)
        for place in places
    ]
    answers = query(
        f"SELECT {chosen}, nth FROM conflict WHERE {place.condition}"  # noqa: S608 - quoted by us
        for place, chosen in zip(places, chosen_of, strict=True)
    )
    for place, answer in zip(places, answers, strict=True):
        for series in answer:
            for at, *cells, nth in series["values"]:
                for name, value, sequence in zip(place.parameters, cells[::2], cells[1::2], strict=True):
                    if sequence is not None:
                        held = _HeldValue(nan if value is None else value, sequence, int(nth))
                        into.rows[place.key(name), at].append(held)


class _Place(NamedTuple):
    """One point over one stretch of time [ms], with the parameters asked for."""

    point: SeriesKey
    parameters: tuple[str, ...]
    start: int
    end: int

    @property
    def condition(self) -> str:
        where = is_at(self.point.county, self.point.works, self.point.point)
        return f"{where} AND time >= {self.start}ms AND time <= {self.end}ms"

    def key(self, parameter: str) -> SeriesKey:
        return self.point._replace(parameter=parameter)


def _places(asked: Sequence[Identity]) -> list[_Place]:
    points: dict[SeriesKey, list[Identity]] = defaultdict(list)
    for identity in asked:
        points[identity[0]._replace(parameter="")].append(identity)
    places: list[_Place] = []
    for point, identities in points.items():
        parameters = tuple(dict.fromkeys(key.parameter for key, _ in identities))
        times = np.array([at for _, at in identities], np.int64)
        places += [
            _Place(point, parameters, int(times[part].min()), int(times[part].max())) for part in stretches(times)
        ]
    return places


def _cells(place: _Place, answer: list[dict[str, Any]]) -> Iterable[tuple[Identity, Any]]:
    for series in answer:
        for at, *cells in series["values"]:
            for name, cell in zip(place.parameters, cells, strict=True):
                if cell is not None:
                    yield (place.key(name), at), cell


def _is_own(held: _HeldValue, sequence: int, covered: int) -> bool:
    return held.sequence == sequence > covered


def _is_same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))
