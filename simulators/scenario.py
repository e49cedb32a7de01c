"""Scenarios: TOML that says which faults strike which works, when and for how long. Strict: every fault in it is named.

A file has ``name``, optional ``description``, ``rain`` (factor, 1 = as usual), ``repeat_h`` (the faults come again,
elsewhere, every so many hours; 0 = once) and tables ``[[fault]]``. A fault has ``kind``, ``start_min`` after the start of the
run, ``duration_min``, optional ``spread_min`` (starts are spread over so many minutes), the numbers of its kind, and either
``works = ["W0001"]`` or ``select = {count = 5, …}``. Sensor faults may name ``point`` and ``parameter``; without them they
strike the residual at the outlet.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from qingquan.domain.works import Disinfectant
from qingquan.errors import ConfigurationError
from simulators.faults import KINDS, FaultKind
from simulators.instruments import INSTRUMENTS

__all__ = ["BUILT_IN", "FaultPlan", "Scenario", "Selection", "load_scenario", "parse_scenario"]

BUILT_IN = ("calm", "demo", "all-faults-24h", "load")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which works: so many of those that match, or the works of so many townships (at most ``count`` of each)."""

    count: int = 0
    townships: int = 0
    township: str = ""
    disinfectant: str = ""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    upload: str = ""  # "live" or "buffered"


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One ``[[fault]]`` table. ``parameter`` ``""`` means the residual of the works."""

    kind: FaultKind
    start_min: float
    duration_min: float
    spread_min: float = 0.0
    works: tuple[str, ...] = ()
    select: Selection | None = None
    point: str = "outlet"
    parameter: str = ""
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens to a county. Times in the plans count from the start of the run."""

    name: str
    description: str = ""
    rain: float = 1.0
    repeat_h: float = 0.0
    faults: tuple[FaultPlan, ...] = ()


def load_scenario(name_or_file: str | Path) -> Scenario:
    """A built-in scenario by name, or one from a TOML file.

    Raises
    ------
    ConfigurationError
        One line per fault: file, table, key, value found, what is allowed.
    """
    name = str(name_or_file)
    if name in BUILT_IN:
        source = files("simulators") / "scenarios" / f"{name}.toml"
        return parse_scenario(source.read_text(encoding="utf-8"), f"{name}.toml")
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        raise ConfigurationError(
            [f"scenario = {name!r}: allowed: one of {', '.join(BUILT_IN)}, or the path of a TOML file"]
        )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{path}: not UTF-8 at byte {error.start}"]) from error
    return parse_scenario(text, str(path))


def parse_scenario(text: str, where: str) -> Scenario:
    """A scenario from TOML text; ``where`` names it in messages. Raises like `load_scenario`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{where}: not valid TOML: {error}"]) from error
    reader = _Reader(where, table, [])
    plans = reader.tables("fault")
    scenario = Scenario(
        name=reader.text("name", required=True),
        description=reader.text("description"),
        rain=reader.number("rain", 1.0, 0.0, 10.0),
        repeat_h=reader.number("repeat_h", 0.0, 0.0, 8784.0),
        faults=tuple(_plan(plan) for plan in plans),
    )
    reader.finish()
    if scenario.repeat_h and any(p.start_min > scenario.repeat_h * 60 for p in scenario.faults):
        reader.faults.append(f"{where}: repeat_h = {scenario.repeat_h:g}: allowed: not before the last fault starts")
    if reader.faults:
        raise ConfigurationError(reader.faults)
    return scenario


def _plan(reader: "_Reader") -> FaultPlan:
    word = reader.choice("kind", tuple(FaultKind), required=True)
    kind = FaultKind(word) if word else None
    shape = KINDS[kind] if kind else None
    options = shape.options if shape else {}
    plan = FaultPlan(
        kind=kind or FaultKind.DOSING_STOP,
        start_min=reader.number("start_min", None, 0.0, 525_600.0),
        duration_min=reader.number("duration_min", None, 1.0, 525_600.0),
        spread_min=reader.number("spread_min", 0.0, 0.0, 525_600.0),
        works=reader.words("works"),
        select=_selection(reader),
        point=(reader.text("point") or "outlet") if shape and shape.strikes_series else "outlet",
        parameter=reader.choice("parameter", tuple(INSTRUMENTS)) if shape and shape.strikes_series else "",
        options={name: reader.number(name, o.default, o.low, o.high) for name, o in options.items()},
    )
    if kind is not None:
        reader.finish()
    if bool(plan.works) == (plan.select is not None):
        reader.faults.append(f"{reader.where}: works, select: allowed: exactly one of the two")
    return plan


def _selection(reader: "_Reader") -> Selection | None:
    inner = reader.table("select")
    if inner is None:
        return None
    chosen = Selection(
        count=inner.whole("count", 1, 100_000),
        townships=inner.whole("townships", 1, 1000),
        township=inner.text("township"),
        disinfectant=inner.choice("disinfectant", tuple(Disinfectant)),
        has=inner.words("has", tuple(INSTRUMENTS)),
        lacks=inner.words("lacks", tuple(INSTRUMENTS)),
        upload=inner.choice("upload", ("live", "buffered")),
    )
    inner.finish()
    if not chosen.count and not chosen.townships:
        inner.faults.append(f"{inner.where}: count, townships: allowed: at least one of the two")
    return chosen


class _Reader:
    """Takes keys out of a table, notes what is wrong with them, and at the end what was left over."""

    def __init__(self, where: str, table: Mapping[str, Any], faults: list[str]) -> None:
        self.where = where
        self.faults = faults
        self._rest = dict(table)
        self._known: list[str] = []

    def text(self, key: str, *, required: bool = False) -> str:
        value = self._take(key, required=required)
        if value is None:
            return ""
        if not isinstance(value, str) or not value:
            self._fault(key, value, "text")
            return ""
        return value

    def choice(self, key: str, allowed: tuple[str, ...], *, required: bool = False) -> str:
        value = self._take(key, required=required)
        if value is None:
            return ""
        if value not in allowed:
            self._fault(key, value, f"one of {', '.join(allowed)}")
            return ""
        return str(value)

    def number(self, key: str, default: float | None, low: float, high: float) -> float:
        value = self._take(key, required=default is None)
        if value is None:
            return default or 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self._fault(key, value, f"a number from {low:g} to {high:g}")
            return default or 0.0
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int:
        value = self._take(key)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._fault(key, value, f"a whole number from {low} to {high}")
            return low
        return value

    def words(self, key: str, allowed: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            self._fault(key, value, "a list of text")
            return ("?",)
        for word in value:
            if allowed and word not in allowed:
                self._fault(key, word, f"one of {', '.join(allowed)}")
        return tuple(value)

    def table(self, key: str) -> "_Reader | None":
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._fault(key, value, "a table")
            value = {"count": 1}
        return _Reader(f"{self.where}: {key}", value, self.faults)

    def tables(self, key: str) -> "list[_Reader]":
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            self._fault(key, value, f"tables [[{key}]]")
            return []
        return [_Reader(f"{self.where}: {key} {n}", row, self.faults) for n, row in enumerate(value, 1)]

    def finish(self) -> None:
        for key in self._rest:
            self.faults.append(f"{self.where}: unknown key {key!r}; known keys: {', '.join(self._known)}")

    def _take(self, key: str, *, required: bool = False) -> Any:
        self._known.append(key)
        value = self._rest.pop(key, None)
        if value is None and required:
            self.faults.append(f"{self.where}: {key} is missing")
        return value

    def _fault(self, key: str, value: object, allowed: str) -> None:
        self.faults.append(f"{self.where}: {key} = {value!r}: allowed: {allowed}")
