"""From log messages to columns of readings. Pure: the same messages always give the same result.

Two ways lead through here. The usual message (registered point, canonical parameters, numbers) is read by the dialect's
plain reader, and its values go to the columns as they are; this is the hot path of evaluator and recorder. Whatever the
plain reader or the checks behind it refuse takes the lenient way, which looks at each part and either takes it or sets
it aside with a reason. A message is judged by itself alone, so any split of the log into batches gives the same readings.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ingest.dialects import DIALECTS
from ingest.dialects.base import MAX_ITEMS, PLAIN_REFUSALS, Dialect, Item, Plain, RawValue
from ingest.times import SECONDS_BELOW, ZoneClock
from ingest.topics import BadTopic, parse_subject
from ingest.values import NO_VALUE_CODES, Refused, device_flag, is_no_value_code, value_of
from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import (
    CANARY_COUNTY,
    LogMessage,
    Quarantined,
    QuarantineReason,
    ReadingBatch,
    SeriesCatalog,
)
from qingquan.domain.works import Works
from qingquan.standards.loader import Unit, load_standards, unit_conversion

__all__ = ["MAX_PARTS_SET_ASIDE", "MAX_PAYLOAD", "Decoded", "Decoder", "PointDirectory", "PointEntry"]

MAX_PAYLOAD = 64 * 1024
"""Largest payload [bytes]; the broker's own limit, checked again since the log may be filled by other ways."""
MAX_PARTS_SET_ASIDE = 32
"""Most parts of one message that are set aside one by one; one more entry then counts the rest."""
LAYOUTS_PER_POINT = 16
LEAST_NO_VALUE_CODE = min(abs(code) for code in NO_VALUE_CODES)


class PointEntry(NamedTuple):
    """What the decoder must know of a registered sampling point."""

    county: str
    works: str
    point: str
    clock: ZoneClock

    @property
    def time_zone(self) -> str:
        """Time zone of the works (IANA), for device times without offset."""
        return self.clock.name


class _Site(NamedTuple):
    """What works with the same points in the same time zone have in common."""

    county: str
    points: tuple[str, ...]
    clock: ZoneClock


class PointDirectory:
    """Registered sampling points by (county, works, point). A changed register makes a new one.

    Keeps nothing of the register but the names, of which a province has few but those of its works.
    """

    __slots__ = ("_clocks", "_counties", "_sites")

    def __init__(self, works: Iterable[Works]) -> None:
        self._counties: dict[str, dict[str, _Site]] = {}
        self._sites: dict[tuple[str, str, tuple[str, ...]], _Site] = {}
        self._clocks: dict[str, ZoneClock] = {}
        for one in works:
            self.include(one)

    def include(self, works: Works) -> None:
        """Add an entry of the register, before the directory is handed to a decoder."""
        points = tuple(dict.fromkeys(point.id for point in works.points))
        alike = works.county, works.time_zone, points
        site = self._sites.get(alike)
        if site is None:
            clock = self._clocks.get(works.time_zone)
            if clock is None:
                clock = self._clocks[works.time_zone] = ZoneClock(works.time_zone)
            site = self._sites[alike] = _Site(works.county, points, clock)
        self._counties.setdefault(works.county, {})[works.id] = site

    def lookup(self, county: str, works: str, point: str) -> PointEntry | None:
        """The entry of a point, ``None`` if it is not registered."""
        site = self._counties.get(county, _NO_WORKS).get(works)
        if site is None or point not in site.points:
            return None
        # The register's own words where many share them, so that a province does not keep each of them once a works.
        return PointEntry(site.county, sys.intern(works), site.points[site.points.index(point)], site.clock)

    def has_works(self, county: str, works: str) -> bool:
        """Whether the works is registered, with whatever points."""
        return works in self._counties.get(county, _NO_WORKS)

    def __len__(self) -> int:
        return sum(len(site.points) for county in self._counties.values() for site in county.values())


_NO_WORKS: dict[str, _Site] = {}


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of ``messages`` log messages: readings in log order, and what was set aside.

    ``canaries`` of them were self-tests of the reading log, which leave no other trace.
    """

    batch: ReadingBatch
    quarantined: list[Quarantined]
    messages: int
    canaries: int = 0


class Decoder:
    """Decodes messages of the reading log against the register.

    Parameters
    ----------
    directory
        Registered points.
    catalog
        Numbering of series of this process; new series are added as they first appear.
    parameters
        Online parameters by code.
    earliest_ms, future_tolerance_ms
        A reading before the one [ms since epoch], or further ahead of its message's storage time than the other [ms],
        goes to quarantine. Both bounds are still accepted.
    units
        Units by alias, for payloads that name units; those of `qingquan.standards` where not given.
    """

    def __init__(
        self, directory: PointDirectory, catalog: SeriesCatalog, parameters: Mapping[str, Parameter], *,
        earliest_ms: int, future_tolerance_ms: int, units: Mapping[str, Unit] | None = None,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._catalog = catalog
        self._parameters = dict(parameters)
        self._units = dict(load_standards().units if units is None else units)
        self._earliest = earliest_ms
        self._tolerance = future_tolerance_ms
        self._routes: dict[str, _Route] = {}
        self._layouts_seen: dict[tuple[str, ...], tuple[str, ...]] = {}

    def replace_directory(self, directory: PointDirectory) -> None:
        """Take a changed register from the next message on."""
        self._directory = directory
        self._routes = {}
        self._layouts_seen = {}

    def decode(self, messages: Sequence[LogMessage]) -> Decoded:
        """Readings and refusals of these messages, in their order. Never raises, whatever the payloads hold."""
        columns = _Columns()
        take = columns.take
        route_of = self._routes.get
        for message in messages:
            sequence, received_at, subject, payload = message
            route = route_of(subject)
            if route is not None and len(payload) <= MAX_PAYLOAD:
                try:
                    plain = route.plain(payload)
                except PLAIN_REFUSALS:
                    self._decode_leniently(message, columns)
                    continue
                latest = received_at + self._tolerance
                if plain.__class__ is Plain:
                    row = self._plain_row(route, plain, latest)
                    if row is not None:
                        take(row, sequence, received_at)
                        continue
                elif self._take_plain_list(route, plain, message, latest, columns):  # type: ignore[arg-type]
                    continue
            self._decode_leniently(message, columns)
        return Decoded(
            columns.batch(self._catalog, self._parameters), columns.quarantined, len(messages), columns.canaries
        )

    def _plain_row(self, route: "_Route", plain: Plain, latest: int) -> "_Row | None":
        """Columns of one usual object; ``None`` if anything about it is unusual."""
        at = plain.t
        if at.__class__ is not int:
            at = route.clock.ms(at)
            if at.__class__ is not int:
                return None
        elif at < SECONDS_BELOW:
            at *= 1000
        if not self._earliest <= at <= latest or plain.u is not None:
            return None
        values = plain.v
        layout = tuple(values)
        series = route.series if layout == route.names else route.layouts.get(layout)
        if series is None:
            series = self._layout(route, layout)
        codes = plain.q
        if codes is not None and (codes.__class__ is not dict or not codes.keys() <= values.keys()):
            return None
        return (at, series, values, codes) if series else None

    def _take_plain_list(
        self, route: "_Route", plain: list[Plain], message: LogMessage, latest: int, columns: "_Columns"
    ) -> bool:
        if not 0 < len(plain) <= MAX_ITEMS:
            return False
        rows = []
        for item in plain:
            row = self._plain_row(route, item, latest)
            if row is None:
                return False
            rows.append(row)
        for row in rows:
            columns.take(row, message.sequence, message.received_at)
        return True

    def _layout(self, route: "_Route", names: tuple[str, ...]) -> Sequence[int]:
        """Series of these parameter names; empty where the lenient way must look at them."""
        codes = [name.lower() for name in names]
        usual = len(set(codes)) == len(codes) and all(code in self._parameters for code in codes)
        series = _short(tuple(self._catalog.index_at(route.spot, code) for code in codes) if usual else ())
        if route.series is None:
            route.names, route.series = self._layouts_seen.setdefault(names, names), series
        elif len(route.layouts) < LAYOUTS_PER_POINT:
            if not route.layouts:
                route.layouts = {}
            route.layouts[names] = series
        return series

    def _decode_leniently(self, message: LogMessage, columns: "_Columns") -> None:
        refuse = _Refusals(message, columns.quarantined)
        found = self._route(message.subject)
        if isinstance(found, Refused):
            refuse("", *found)
        elif found is None:
            columns.canaries += 1
        elif len(message.payload) > MAX_PAYLOAD:
            detail = f"{len(message.payload)} bytes; at most {MAX_PAYLOAD}"
            refuse("", QuarantineReason.PAYLOAD_TOO_LARGE, detail)
        else:
            unfolded = found.dialect.decode(message.payload, found.clock)
            for position, reason, detail in unfolded.rejects:
                refuse(position, reason, detail)
            for item in unfolded.items:
                self._take_item(found, item, message, columns, refuse)
        refuse.close()

    def _route(self, subject: str) -> "_Route | Refused | None":
        """Where a subject leads; ``None`` for the canary. Only subjects of registered points are remembered."""
        parsed = parse_subject(subject)
        if isinstance(parsed, BadTopic):
            return Refused(QuarantineReason.BAD_TOPIC, parsed.detail)
        county, works, point, name = parsed[1]
        if county == CANARY_COUNTY:
            return None
        dialect = DIALECTS.get(name)
        if dialect is None:
            return Refused(QuarantineReason.UNKNOWN_DIALECT, f"{name!r}; known are {', '.join(sorted(DIALECTS))}")
        entry = self._directory.lookup(county, works, point)
        if entry is not None:
            route = self._routes[subject] = _Route(entry, dialect)
            return route
        if self._directory.has_works(county, works):
            return Refused(QuarantineReason.UNKNOWN_POINT, f"works {works} of county {county} has no point {point!r}")
        return Refused(QuarantineReason.UNKNOWN_WORKS, f"county {county} has no works {works!r} in the register")

    def _take_item(
        self, route: "_Route", item: Item, message: LogMessage, columns: "_Columns", refuse: "_Refusals"
    ) -> None:
        at = item.observed_at
        if at > message.received_at + self._tolerance:
            ahead = (at - message.received_at) / 1000
            refuse(item.position, QuarantineReason.TIME_IN_FUTURE, f"{ahead:.0f} s ahead of its receipt")
            return
        if at < self._earliest:
            refuse(item.position, QuarantineReason.TIME_TOO_OLD, f"{at} ms since 1970 is before {self._earliest}")
            return
        taken: dict[str, float] = {}
        flags: list[Flag] = []
        for raw in item.values:
            outcome = self._value(raw, taken)
            if isinstance(outcome, Refused):
                refuse(raw.position, *outcome)
            else:
                taken[raw.parameter.lower()] = outcome
                flags.append(raw.flag)
        if taken:
            series = tuple(self._catalog.index_at(route.spot, code) for code in taken)
            columns.take((at, series, taken, None), message.sequence, message.received_at)
            columns.flag_last(flags)

    def _value(self, raw: RawValue, taken: Mapping[str, float]) -> float | Refused:
        code = raw.parameter.lower()
        parameter = self._parameters.get(code)
        if parameter is None:
            return Refused(QuarantineReason.UNKNOWN_PARAMETER, f"{raw.parameter[:64]!r} is no online parameter")
        if code in taken:
            return Refused(QuarantineReason.BAD_VALUE, f"{code} is given twice, in different letter case")
        if raw.unit is None:
            return value_of(raw.value, parameter)
        unit = unit_conversion(self._units, raw.unit, parameter) if isinstance(raw.unit, str) else None
        if unit is None:
            return Refused(QuarantineReason.BAD_VALUE, f"unit {raw.unit!r:.40} cannot be brought to {parameter.unit}")
        return value_of(raw.value, parameter, unit)


def _short(numbers: tuple[int, ...]) -> Sequence[int]:
    """The same numbers; of series first seen together, which follow one another, in half the memory."""
    count = len(numbers)
    span = range(numbers[0], numbers[0] + count) if count else range(0)
    return span if tuple(span) == numbers else numbers


_Row = tuple[int, Sequence[int], Mapping[str, float | None], Mapping[str, object] | None]
"""Time, series, values by name, and the device's quality codes by the same names."""


class _Route:
    """A subject of a registered point, and the series behind each set of parameter names seen from it: the first one seen,
    which most points keep to for ever, and the others."""

    __slots__ = ("clock", "dialect", "layouts", "names", "plain", "series", "spot")

    def __init__(self, entry: PointEntry, dialect: Dialect) -> None:
        self.spot = (entry.county, entry.works, entry.point)
        self.clock = entry.clock
        self.dialect = dialect
        self.plain = dialect.plain or _never_plain
        self.names: tuple[str, ...] = ()
        self.series: Sequence[int] | None = None
        self.layouts: dict[tuple[str, ...], Sequence[int]] = _NO_LAYOUTS


_NO_LAYOUTS: dict[tuple[str, ...], Sequence[int]] = {}


def _never_plain(payload: bytes) -> Plain:  # noqa: ARG001
    raise PLAIN_REFUSALS[0]


class _Columns:
    """Columns under construction. A row is one time of one point; it holds several readings."""

    __slots__ = ("_flags", "_rows", "_series", "_values", "canaries", "quarantined")

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, int]] = []
        self._series: list[int] = []
        self._values: list[float | None] = []
        self._flags: list[tuple[int, int]] = []
        self.quarantined: list[Quarantined] = []
        self.canaries = 0

    def take(self, row: _Row, sequence: int, received_at: int) -> None:
        at, series, values, codes = row
        self._series.extend(series)
        self._values.extend(values.values())
        self._rows.append((at, sequence, received_at, len(series)))
        if codes:
            self.flag_last([device_flag(codes.get(name)) for name in values])

    def flag_last(self, flags: list[Flag]) -> None:
        """Device flags of the readings of the last row."""
        first = len(self._series) - len(flags)
        self._flags += [(first + n, flag) for n, flag in enumerate(flags) if flag is not Flag.NOT_EVALUATED]

    def batch(self, catalog: SeriesCatalog, parameters: Mapping[str, Parameter]) -> ReadingBatch:
        """The columns. A value and flag 9 go together or not at all: what one says missing, both say."""
        if not self._rows:
            return ReadingBatch.empty()
        rows = np.array(self._rows, dtype=np.int64)
        series = np.array(self._series, dtype=np.int32)
        value = np.array(self._values, dtype=np.float64)
        flag = np.full(len(series), Flag.NOT_EVALUATED, np.uint8)
        for index, code in self._flags:
            flag[index] = code
        value[flag == Flag.MISSING] = np.nan
        _blank_no_value_codes(series, value, catalog, parameters)
        flag[np.isnan(value)] = Flag.MISSING
        at, sequence, received_at = (np.repeat(rows[:, n], rows[:, 3]) for n in range(3))
        return ReadingBatch(series, at, value, flag, sequence, received_at)


def _blank_no_value_codes(
    series: npt.NDArray[np.int32], value: npt.NDArray[np.float64], catalog: SeriesCatalog, parameters: Mapping[str, Parameter]
) -> None:  # fmt: skip
    """Make the plain way read codes such as -9999 as the lenient one does. Large values are few, so a loop will do."""
    for index in np.flatnonzero(np.abs(value) >= LEAST_NO_VALUE_CODE):
        number = float(value[index])
        if number in NO_VALUE_CODES and is_no_value_code(
            number, number, parameters[catalog.key(int(series[index])).parameter]
        ):
            value[index] = np.nan


class _Refusals:
    """Sets parts of one message aside, a bounded number of them one by one."""

    __slots__ = ("_count", "_digest", "_message", "_out")

    def __init__(self, message: LogMessage, out: list[Quarantined]) -> None:
        self._message = message
        self._out = out
        self._count = 0
        self._digest = ""

    def __call__(self, position: str, reason: QuarantineReason, detail: str) -> None:
        self._count += 1
        if self._count <= MAX_PARTS_SET_ASIDE:
            self._put(position, reason, detail)

    def close(self) -> None:
        """Account for what was not set aside one by one."""
        beyond = self._count - MAX_PARTS_SET_ASIDE
        if beyond > 0:
            self._put("rest", QuarantineReason.BAD_SHAPE, f"{beyond} more parts of this message were refused")

    def _put(self, position: str, reason: QuarantineReason, detail: str) -> None:
        sequence, received_at, subject, payload = self._message
        self._digest = self._digest or sha256(payload).hexdigest()
        self._out.append(
            Quarantined(reason, detail, sequence, received_at, subject, position, payload, self._digest)
        )  # fmt: skip
