"""`rules backtest`: what a ruleset would have said over the stored history of one works, beside the one in force.

The same engine over the readings of the series store: no other code judges. Readings the store flags as suspect or failed come
in with that flag; the state begins empty at the first day, so what began before it is not known.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch, SeriesKey
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable
from qingquan.services.ruleset_watch import RulesetInForce
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.ports import Readings, SeriesReader
from qingquan.store.series.opening import open_series_reader, open_series_store
from rules.engine import RULE_ERRORS, evaluate, open_findings
from rules.plan import Plan, compile_plan
from rules.ruleset import Ruleset
from rules.state import new_state

__all__ = ["DAY_MS", "Backtest", "Verdicts", "backtest", "backtest_json", "history_of"]

DAY_MS = 86_400_000
LONGEST_DAYS = 3660
# Rows judged in one go: keeps memory flat over years of history.
CHUNK_ROWS = 200_000
SILENCES = (FindingKind.STALE, FindingKind.NEVER_SEEN)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one ruleset says. ``alarms`` in order of time; silences of instruments are counted apart, they need no rule.

    ``without_instruments`` are rules of several signals for which the works has not the instruments.
    """

    version: str
    source: str
    alarms: tuple[Finding, ...]
    silences: int
    not_evaluated: int
    rule_errors: int
    without_instruments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backtest:
    """``new`` and ``gone`` compare ``tried`` with ``in_force``: alarms of the one that overlap none of the other's of the same
    rule, kind and series. Without another ruleset to try both are the same. Times [ms]; ``took_s`` of reading and judging."""

    county: str
    works: str
    start: int
    end: int
    readings: int
    series: int
    took_s: float
    in_force: Verdicts
    tried: Verdicts
    new: tuple[Finding, ...]
    gone: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Stored readings of a works in the order in which they are judged; ``series`` indexes ``keys``."""

    keys: tuple[SeriesKey, ...]
    series: npt.NDArray[np.int32]
    observed_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]


def backtest(
    config: Config, works: Works, start: int, end: int, in_force: RulesetInForce, tried: RulesetInForce | None = None,
    *, reader: SeriesReader | None = None,
) -> Backtest:  # fmt: skip
    """Judge a works' stored history from ``start`` to ``end`` [ms].

    Raises
    ------
    StoreUnavailable
        If the series store does not answer.
    """
    began = time.perf_counter()
    history = _read(config, works, start, end, reader)
    base = _verdicts(works, history, in_force, config.language)
    other = base if tried is None else _verdicts(works, history, tried, config.language)
    return Backtest(
        works.county, works.id, start, end, len(history.series), len(history.keys), time.perf_counter() - began, base, other,
        new=tuple(one for one in other.alarms if not _is_among(one, base.alarms)),
        gone=tuple(one for one in base.alarms if not _is_among(one, other.alarms)),
    )  # fmt: skip


def _read(config: Config, works: Works, start: int, end: int, reader: SeriesReader | None) -> History:
    if reader is not None:
        return history_of(reader, works, start, end)
    try:
        opened = open_series_reader(config)
        try:
            return history_of(opened, works, start, end)
        finally:
            opened.close()
    except StoreUnavailable:
        if config.series_store != "duckdb":
            raise
    # No recorder answers for the embedded store: then nobody holds its file.
    store = open_series_store(config)
    try:
        return history_of(store, works, start, end)
    finally:
        store.close()


def history_of(reader: SeriesReader, works: Works, start: int, end: int) -> History:
    """All stored readings of a works within start <= observed_at < end: of the series expected, and of those it sends unasked."""
    expected = {
        SeriesKey(works.county, works.id, point.id, parameter)
        for point in works.points
        for parameter in point.parameters
    }
    held = {one.key for one in reader.latest(works.county, works.id)}
    keys = tuple(sorted(expected | held))
    found: Readings = reader.readings(keys, start, end)
    series = np.repeat(np.arange(len(keys), dtype=np.int32), np.diff(found.first))
    order = np.lexsort((series, found.observed_at))
    return History(keys, series[order], found.observed_at[order], found.value[order], found.flag[order])


def _verdicts(works: Works, history: History, rules: RulesetInForce, language: str) -> Verdicts:
    tables = load_standards()
    extra = sorted(set(history.keys))
    plan = compile_plan([works], tables.parameters, load_profiles().binding, rules.ruleset, extra)
    slots = np.array([plan.slot_of.get(key, -1) for key in history.keys], np.int32)
    found: dict[str, Finding] = {}
    errors = 0
    state = new_state(plan)
    for first in range(0, len(history.series), CHUNK_ROWS):
        part = slice(first, first + CHUNK_ROWS)
        at = history.observed_at[part]
        batch = ReadingBatch(
            history.series[part], at, history.value[part], history.flag[part],
            np.arange(first, first + len(at), dtype=np.int64), at,
        )  # fmt: skip
        now = int(at[-1])
        evaluation, state = evaluate(batch, slots[history.series[part]], state, plan, tables.parameters, now, language)
        errors += evaluation.counts.get(RULE_ERRORS, 0)
        _keep(found, evaluation.findings)
        _keep(found, open_findings(state, plan, tables.parameters, now, language))
    ordered = sorted(found.values(), key=lambda one: (one.start, one.kind, one.point, one.parameter, one.id))
    alarms = tuple(replace(one, late=False) for one in ordered if one.kind not in SILENCES)
    return Verdicts(
        rules.ruleset.version, rules.source, alarms, len(ordered) - len(alarms),
        sum(one.kind is FindingKind.NOT_EVALUATED for one in alarms), errors, _without_instruments(rules.ruleset, plan),
    )  # fmt: skip


def _without_instruments(ruleset: Ruleset, plan: Plan) -> tuple[str, ...]:
    judged = {meaning.rule for meaning in plan.meanings.distinct}
    return tuple(dict.fromkeys(rule.id for rule in ruleset.compounds if rule.id not in judged))


def _keep(found: dict[str, Finding], findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.withdrawn:
            found.pop(finding.id, None)
        else:
            found[finding.id] = finding


def _is_among(one: Finding, others: Sequence[Finding]) -> bool:
    what = (one.kind, one.rule, one.point, one.parameter)
    for other in others:
        if (other.kind, other.rule, other.point, other.parameter) != what:
            continue
        if (other.end is None or other.end >= one.start) and (one.end is None or one.end >= other.start):
            return True
    return False


def backtest_json(done: Backtest) -> dict[str, object]:
    """The outcome as plain values; times ISO 8601, UTC."""
    return {
        "county": done.county, "works": done.works, "from": _time(done.start), "to": _time(done.end),
        "readings": done.readings, "series": done.series, "took_s": round(done.took_s, 3),
        "in_force": _verdicts_json(done.in_force), "tried": _verdicts_json(done.tried),
        "new": [_finding_json(one) for one in done.new], "gone": [_finding_json(one) for one in done.gone],
    }  # fmt: skip


def _verdicts_json(verdicts: Verdicts) -> dict[str, object]:
    by_rule: dict[str, int] = {}
    for one in verdicts.alarms:
        by_rule[one.rule] = by_rule.get(one.rule, 0) + 1
    return {
        "version": verdicts.version, "source": verdicts.source, "alarms": len(verdicts.alarms), "by_rule": by_rule,
        "silences": verdicts.silences, "not_evaluated": verdicts.not_evaluated, "rule_errors": verdicts.rule_errors,
        "without_instruments": list(verdicts.without_instruments), "findings": [_finding_json(one) for one in verdicts.alarms],
    }  # fmt: skip


def _finding_json(one: Finding) -> dict[str, object]:
    return {
        "rule": one.rule, "rule_version": one.rule_version, "kind": one.kind.value, "severity": one.severity.word,
        "point": one.point, "parameter": one.parameter, "from": _time(one.start),
        "to": None if one.end is None else _time(one.end), "extreme": one.extreme, "limit": one.limit, "reason": one.reason,
    }  # fmt: skip


def _time(ms: int) -> str:
    return from_ms(ms).isoformat()
