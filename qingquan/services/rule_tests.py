"""Unit tests of rules, written beside them in TOML: series on a time axis, and what is to be said when.

A series is ``"0.4x10 4x40 _x5 0.4"``: ten steps of 0.4, forty of 4, five without a reading, then 0.4 to the end of the test;
``1+0.1x20`` rises by 0.1 a step. The same engine judges it as judges the log.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import ReadingBatch, SeriesKey
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import ConfigurationError
from qingquan.services.rulesets import SHIPPED, ruleset_of_text, ruleset_table, ruleset_text
from qingquan.services.toml_lines import lines_of
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import UNIT_STATES, evaluate, open_findings
from rules.plan import Plan, compile_plan
from rules.ruleset import Ruleset
from rules.state import new_state
from rules.table_reader import TableReader

__all__ = ["RuleTest", "TestResult", "beside", "read_tests", "run_test", "run_tests", "tests_of"]

MINUTE = 60_000
DEFAULT_START = "2026-06-01T00:00:00+08:00"
TEST_KEYS = ("name", "start", "step_min", "minutes", "works", "points", "input", "expect", "findings")
WORKS_KEYS = (
    "disinfectant",
    "source_limited",
    "capacity_m3_d",
    "population",
    "cadence_s",
    "upload_interval_s",
    "time_zone",
)
EXPECT_KEYS = ("at_min", "rule", "state", "since_min", "severity", "limit", "worst", "disinfection", "point")
FINDING_KEYS = ("rule", "from_min", "to_min", "kind", "severity", "limit", "worst", "point", "rule_version")
STATES = ("quiet", "firing", "not evaluated")
PIECE = re.compile(r"(?P<value>_|-?\d+(?:\.\d+)?)(?P<rise>[+-]\d+(?:\.\d+)?)?(?:x(?P<times>\d+))?$")
LONGEST_STEPS = 200_000
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class RuleTest:
    """A test as read. ``series`` holds a value or NaN per step by (point, parameter)."""

    name: str
    path: str
    works: Works
    start: int
    step_ms: int
    steps: int
    series: Mapping[tuple[str, str], Sequence[float]]
    expect: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, slots=True)
class TestResult:
    """``failures`` say what was expected and what was found; empty = passed."""

    __test__ = False  # not for pytest to collect

    name: str
    failures: tuple[str, ...] = field(default=())


def beside(ruleset: Path) -> Path:
    """The file of tests beside a ruleset: ``default.toml`` -> ``default.tests.toml``."""
    return ruleset.with_suffix(".tests.toml")


def tests_of(config: Config, named: Sequence[Path]) -> tuple[str, str, list[tuple[str, str]]]:
    """Text and name of the ruleset in use, and those of the files of tests: the ones named, else the one beside it.

    Raises
    ------
    ConfigurationError
        If a file named cannot be read.
    """
    text, where = ruleset_text(config), config.rules_file or SHIPPED
    if not named and not config.rules_file:
        shipped = files("rules").joinpath("default.tests.toml")
        return text, where, [(shipped.read_text(encoding="utf-8"), "rules/default.tests.toml")]
    paths = list(named) or [path for path in (beside(Path(config.rules_file)),) if path.exists()]
    try:
        return text, where, [(path.read_text(encoding="utf-8"), str(path)) for path in paths]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{', '.join(map(str, paths))}: cannot be read: {error}"]) from error


def run_tests(ruleset_text: str, where: str, tests: Iterable[tuple[str, str]]) -> list[TestResult]:
    """Run the tests in a ruleset's own text and in further (text, name) files.

    Raises
    ------
    ConfigurationError
        Faults of the ruleset or of a test's own tables, all at once.
    """
    ruleset = ruleset_of_text(ruleset_text, where)
    faults: list[str] = []
    found: list[RuleTest] = []
    for text, name in ((ruleset_text, where), *tests):
        try:
            found += read_tests(text, name, ruleset)
        except ConfigurationError as error:
            faults += error.faults
    if faults:
        raise ConfigurationError(faults)
    return [run_test(test, ruleset) for test in found]


def read_tests(text: str, where: str, ruleset: Ruleset) -> list[RuleTest]:
    """The ``[[test]]`` tables of a file. Raises `ConfigurationError`, all faults at once."""
    table = ruleset_table(text, where)
    read = TableReader(where, lines_of(text))
    rows = table.get("test", [])
    parameters = load_standards().parameters
    ids = {rule.id for rule in (*ruleset.rules, *ruleset.compounds)}
    if not isinstance(rows, list):
        read.fault("test", rows, "[[test]] tables")
        rows = []
    tests = [_test(row, f"test[{n}]", parameters, ids, read) for n, row in enumerate(rows) if isinstance(row, Mapping)]
    if read.faults:
        raise ConfigurationError(read.faults)
    return [test for test in tests if test is not None]


def run_test(test: RuleTest, ruleset: Ruleset) -> TestResult:
    """Judge the series step by step and compare."""
    tables = load_standards()
    plan = compile_plan([test.works], tables.parameters, load_profiles().binding, ruleset)
    run = _Run(test, plan, tables.parameters)
    failures: list[str] = []
    for wanted in sorted(test.expect, key=lambda one: float(one["at_min"])):
        run.up_to(round(float(wanted["at_min"]) * MINUTE))
        failures += run.differences(wanted)
    run.up_to(test.steps * test.step_ms)
    if test.findings is not None:
        failures += run.final_differences(test.findings)
    return TestResult(test.name, tuple(failures))


class _Run:
    """The engine part of the way through a test."""

    def __init__(self, test: RuleTest, plan: Plan, parameters: Mapping[str, Parameter]) -> None:
        self.test, self.plan, self.parameters = test, plan, parameters
        self.state = new_state(plan)
        self.done = 0
        self.said: dict[str, Finding] = {}

    def up_to(self, after_ms: int) -> None:
        """Judge all steps up to and including this long after the start."""
        test = self.test
        last = min(test.steps, after_ms // test.step_ms + 1)
        rows = [
            (test.start + step * test.step_ms, self.plan.slot_of[SeriesKey(test.works.county, test.works.id, *place)], values[step])
            for step in range(self.done, last)
            for place, values in test.series.items()
            if step < len(values) and not np.isnan(values[step])
        ]  # fmt: skip
        self.done = max(self.done, last)
        if not rows:
            return
        at, slots, values = (np.array(column) for column in zip(*sorted(rows), strict=True))
        slots = slots.astype(np.int32)
        batch = ReadingBatch(
            slots, at.astype(np.int64), values.astype(np.float64), np.full(len(rows), 2, np.uint8),
            np.arange(len(rows), dtype=np.int64), at.astype(np.int64),
        )  # fmt: skip
        now = int(at[-1])
        evaluation, self.state = evaluate(batch, slots, self.state, self.plan, self.parameters, now, "en")
        for one in (*evaluation.findings, *open_findings(self.state, self.plan, self.parameters, now, "en")):
            if one.withdrawn:
                self.said.pop(one.id, None)
            else:
                self.said[one.id] = one

    def differences(self, wanted: Mapping[str, Any]) -> list[str]:
        """What one expectation finds otherwise."""
        when = f"{self.test.name}: at {wanted['at_min']:g} min: "
        differing = []
        if "disinfection" in wanted:
            state = self._disinfection(str(wanted.get("point", "outlet")))
            if state != wanted["disinfection"]:
                differing.append(f"{when}disinfection expected {wanted['disinfection']}, found {state}")
        if "rule" not in wanted:
            return differing
        mine = [
            one for one in self.said.values()
            if one.rule == wanted["rule"] and one.end is None and wanted.get("point") in (None, one.point)
        ]  # fmt: skip
        unknown = [one for one in mine if one.kind is FindingKind.NOT_EVALUATED]
        firing = [one for one in mine if one.kind is not FindingKind.NOT_EVALUATED]
        state = "not evaluated" if unknown and not firing else "firing" if firing else "quiet"
        if state != wanted["state"]:
            return [*differing, f"{when}{wanted['rule']} expected {wanted['state']}, found {state}"]
        shown = (firing or unknown)[:1]
        return differing + [f"{when}{wanted['rule']} {text}" for one in shown for text in self._unlike(one, wanted)]

    def final_differences(self, wanted: Sequence[Mapping[str, Any]]) -> list[str]:
        """The findings of the rules named, from first to last, must be exactly these."""
        rules = {str(one["rule"]) for one in wanted} | {str(one["rule"]) for one in self.test.expect if "rule" in one}
        found = sorted(
            (one for one in self.said.values() if one.rule in rules), key=lambda one: (one.start, one.rule, one.point)
        )
        ordered = sorted(wanted, key=lambda one: (float(one["from_min"]), str(one["rule"]), str(one.get("point", ""))))
        told = "; ".join(self._told(one) for one in found) or "none"
        if len(found) != len(ordered):
            return [f"{self.test.name}: expected {len(ordered)} findings, found {len(found)}: {told}"]
        return [
            f"{self.test.name}: finding {n + 1} {text}"
            for n, (one, want) in enumerate(zip(found, ordered, strict=True))
            for text in self._unlike(one, want)
        ]

    def _unlike(self, one: Finding, wanted: Mapping[str, Any]) -> list[str]:
        facts = {
            "rule": one.rule, "from_min": self._minute(one.start), "since_min": self._minute(one.start),
            "to_min": None if one.end is None else self._minute(one.end), "kind": one.kind.value, "point": one.point,
            "severity": one.severity.word, "limit": one.limit, "worst": one.extreme, "rule_version": one.rule_version,
        }  # fmt: skip
        wants = dict(wanted) if "from_min" not in wanted else {"to_min": None, **wanted}
        return [
            f"{key} expected {want}, found {facts[key]}"
            for key, want in wants.items()
            if key in facts and not _equal(facts[key], want)
        ]

    def _told(self, one: Finding) -> str:
        end = "open" if one.end is None else f"{self._minute(one.end):g}"
        return f"{one.rule} {self._minute(one.start):g}..{end} min"

    def _minute(self, ms: int) -> float:
        return (ms - self.test.start) / MINUTE

    def _disinfection(self, point: str) -> str:
        for unit, key in enumerate(self.plan.unit_points):
            if key.point == point:
                return UNIT_STATES[int(self.state.units[0][unit]["state"])].value
        return "none"


def _equal(found: object, wanted: object) -> bool:
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return abs(found - wanted) <= TOLERANCE
    return found == wanted


def _test(
    row: Mapping[str, Any], path: str, parameters: Mapping[str, Parameter], ids: set[str], read: TableReader
) -> RuleTest | None:
    before = len(read.faults)
    read.only(row, f"{path}.", TEST_KEYS)
    step = read.number(row, path, "step_min", 1.0)
    if step <= 0:
        read.fault(f"{path}.step_min", step, "above 0")
        step = 1.0
    inputs = read.table(row, f"{path}.", "input")
    pieces = {name: _pieces(text, f"{path}.input.{name}", read) for name, text in inputs.items()}
    least = max((sum(times or 1 for _, _, times in found) for found in pieces.values()), default=0)
    steps = round(read.number(row, path, "minutes", least * step) / step)
    if not 0 < steps <= LONGEST_STEPS:
        read.fault(f"{path}.minutes", steps * step, f"a test of 1 to {LONGEST_STEPS} steps")
        return None
    works = _works(row, path, list(inputs), parameters, read)
    start = row.get("start", datetime.fromisoformat(DEFAULT_START))
    if not isinstance(start, datetime) or start.tzinfo is None:
        read.fault(
            f"{path}.start", str(start), "a time with offset, as 2026-06-01T00:00:00+08:00 without quotation marks"
        )
        return None
    expect = _tables(row, path, "expect", EXPECT_KEYS, ("at_min",), ids, read)
    findings = _tables(row, path, "findings", FINDING_KEYS, ("rule", "from_min"), ids, read)
    for n, one in enumerate(expect):
        if ("rule" in one) != ("state" in one) or not {"rule", "disinfection"} & set(one):
            read.fault(f"{path}.expect[{n}]", sorted(one), "rule with state, or disinfection")
        elif one.get("state", STATES[0]) not in STATES:
            read.fault(f"{path}.expect[{n}].state", one["state"], ", ".join(STATES))
    if not expect and "findings" not in row:
        read.fault(path, sorted(row), "expect or findings: a test that expects nothing cannot fail")
    if len(read.faults) > before or works is None:
        return None
    series = {_place(name): _values(found, steps) for name, found in pieces.items()}
    name = read.word(row, path, "name")
    wanted = findings if "findings" in row else None
    return RuleTest(name, path, works, to_ms(start), round(step * MINUTE), steps, series, expect, wanted)


_Piece = tuple[float, float, int | None]


def _pieces(text: object, path: str, read: TableReader) -> list[_Piece]:
    """(value or NaN, rise per step, number of steps or ``None``) of every piece."""
    found: list[_Piece] = []
    if not isinstance(text, str) or not text.split():
        read.fault(path, text, 'pieces as "0.4x10 4x40 _x5 0.4"')
        return []
    for word in text.split():
        match = PIECE.match(word)
        if match is None or int(match["times"] or 1) > LONGEST_STEPS:
            read.fault(path, word, "VALUExSTEPS, VALUE+RISExSTEPS, _xSTEPS; VALUE or _ alone: to the end")
            continue
        value = float("nan") if match["value"] == "_" else float(match["value"])
        found.append((value, float(match["rise"] or 0), int(match["times"]) if match["times"] else None))
    return found


def _values(pieces: list[_Piece], steps: int) -> list[float]:
    values: list[float] = []
    for n, (value, rise, times) in enumerate(pieces):
        count = times if times is not None else (steps - len(values) if n == len(pieces) - 1 else 1)
        values += [value + rise * step for step in range(max(0, count))]
    return values[:steps]


def _place(name: str) -> tuple[str, str]:
    point, _, parameter = name.rpartition("/")
    return point or "outlet", parameter


def _works(
    row: Mapping[str, Any], path: str, names: Sequence[str], parameters: Mapping[str, Parameter], read: TableReader
) -> Works | None:
    facts = read.table(row, f"{path}.", "works") if "works" in row else {}
    kinds = read.table(row, f"{path}.", "points") if "points" in row else {}
    read.only(facts, f"{path}.works.", WORKS_KEYS)
    known = [kind.value for kind in PointKind]
    points: dict[str, list[str]] = {}
    for name in names:
        point, parameter = _place(name)
        if parameter not in parameters:
            read.fault(f"{path}.input.{name}", parameter, f"POINT/PARAMETER with one of {', '.join(parameters)}")
        kind = kinds.get(point, point)
        if kind not in known:
            read.fault(f"{path}.points.{point}", kind, ", ".join(known))
        points.setdefault(point, []).append(parameter)
    disinfectants = [one.value for one in Disinfectant]
    disinfectant = facts.get("disinfectant", "free_chlorine")
    if disinfectant not in disinfectants:
        read.fault(f"{path}.works.disinfectant", disinfectant, ", ".join(disinfectants))
    if read.faults:
        return None
    return Works(
        county="520425", id="TEST", name="测试水厂", township="", disinfectant=Disinfectant(disinfectant),
        equipment=Equipment.EQUIPPED, capacity_m3_d=float(facts.get("capacity_m3_d", 500)),
        population=int(facts.get("population", 2000)),
        points=tuple(
            SamplingPoint(point, PointKind(kinds.get(point, point)), point, tuple(codes)) for point, codes in points.items()
        ),
        source_limited=bool(facts.get("source_limited", False)), cadence_s=int(facts.get("cadence_s", 60)),
        upload_interval_s=int(facts.get("upload_interval_s", 60)), time_zone=str(facts.get("time_zone", "Asia/Shanghai")),
    )  # fmt: skip


def _tables(
    row: Mapping[str, Any],
    path: str,
    key: str,
    known: tuple[str, ...],
    needed: tuple[str, ...],
    ids: set[str],
    read: TableReader,
) -> tuple[Mapping[str, Any], ...]:
    rows = row.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(one, Mapping) for one in rows):
        read.fault(f"{path}.{key}", rows, "a list of tables")
        return ()
    for n, one in enumerate(rows):
        read.only(one, f"{path}.{key}[{n}].", known)
        for name in needed:
            if name not in one:
                read.fault(f"{path}.{key}[{n}].{name}", None, "a value")
        for name in ("at_min", "from_min", "to_min", "since_min"):
            if name in one and (isinstance(one[name], bool) or not isinstance(one[name], int | float)):
                read.fault(f"{path}.{key}[{n}].{name}", one[name], "minutes from the start")
        rule = one.get("rule")
        if (
            rule is not None
            and rule not in ids
            and not str(rule).startswith(("disinfection-", "instrument-", "flat-line", "quality-"))
        ):
            read.fault(f"{path}.{key}[{n}].rule", rule, f"a rule of the ruleset: {', '.join(sorted(ids))}")
    return tuple(rows)
