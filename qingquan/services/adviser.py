"""The adviser: works out for every works what lies behind its disinfection state, beside the judging and never in its way.

It reads the register, the states and the series store, and writes advice (read by pages and API) and the verdict on open incidents.
Alarms do not wait for it: the evaluator has raised them before. While the series store does not answer there is no new advice;
nothing else changes.
"""

import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from types import FrameType
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from sqlalchemy import Engine

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.contact_time import CtAgent, Organism
from qingquan.domain.disinfection import Advice, DisinfectionFacts, Verdict
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksDisinfection
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.services.advice_document import document_of
from qingquan.services.advice_turns import CONCERNED, Turns
from qingquan.services.alive import beat
from qingquan.services.forecasts import Forecasts
from qingquan.services.hand_checks import HandChecks
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.contact_time import load_ct_rows
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.ports import LatestReading, SeriesReader
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.disinfection import load_facts, note_on_incidents, save_advice
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.register import register_version, scan_works
from qingquan.store.sql.state import scan_disinfection
from rules.advice import DAY_MS, SHAPE_MS, History, Surroundings, advise
from rules.ct_required import CtTable, ct_table
from rules.ruleset import Ruleset

__all__ = ["Adviser", "run"]

LOOK_S = 2.0
# Of the time between two looks, what advice on works that stand well may take.
BUSY_S = 1.0
LONG_MS = 14 * DAY_MS
HOUR_MS = 3_600_000
CAUSE = "disinfection"

Key = tuple[str, str]
_log = structlog.get_logger("adviser")


@dataclass(frozen=True, slots=True)
class _Tables:
    """What advice rests on beside register and readings."""

    ruleset: Ruleset
    contact: Mapping[tuple[CtAgent, Organism], CtTable]


class Adviser:
    """Draws advice, works by works. One thread."""

    def __init__(self, config: Config, engine: Engine, series: SeriesReader) -> None:
        self._config = config
        self._engine = engine
        self._series = series
        standards = load_standards()
        self._parameters = standards.parameters
        self._tables = _Tables(load_ruleset(config), _ct_tables())
        self._forecasts = Forecasts(config, self._parameters)
        self._hand_checks = HandChecks(config, engine, series, self._tables.ruleset.disinfection)
        self._works: dict[Key, Works] = {}
        self._version = -1
        self._turns = Turns()

    def step(self, monotonic_s: float, busy_s: float = BUSY_S) -> int:
        """Advise on the works whose turn it is, those in trouble first; how many. Raises `StoreUnavailable`."""
        self._load_register()
        with reading(self._engine) as connection:
            due = self._turns.due(scan_disinfection(connection), monotonic_s)
        # Before anything else: people wait for what comes of what they have measured.
        for key in self._hand_checks.measured() & self._works.keys():
            self._hand_checks.look(self._works[key])
        until = time.monotonic() + busy_s
        count = 0
        for state in due:
            if state.disinfection not in CONCERNED and time.monotonic() > until:
                break
            works = self._works[state.county, state.works]
            self.advise_on(works, state)
            self._hand_checks.look(works)
            self._turns.advised(state, monotonic_s)
            count += 1
        return count

    def advise_on(self, works: Works, state: WorksDisinfection) -> Advice | None:
        """Draw advice on a works now, store it, and put the verdict on its open incident; ``None`` without a residual."""
        residual = works.disinfectant.residual
        outlet = _point(works, PointKind.OUTLET, residual)
        if residual is None or outlet is None or residual not in self._tables.ruleset.disinfection.floor:
            return None
        with reading(self._engine) as connection:
            facts = load_facts(connection, works.county, works.id)
        now = self._config.clock.now_ms()
        known = self._surroundings(works, outlet, residual, state.disinfection, facts, now)
        outlook = advise(known, self._tables.contact)
        document = document_of(works, known, outlook, self._parameters[residual])
        advice = Advice(works.county, works.id, now, document)
        notes = _notes(document, self._config.language)
        with writing(self._engine) as connection:
            save_advice(connection, [advice])
            if notes:
                note_on_incidents(connection, works.county, works.id, CAUSE, notes)
            self._forecasts.tell(connection, works, outlet.id, residual, outlook.forecast, known.residual, now)
        return advice

    def _load_register(self) -> None:
        with reading(self._engine) as connection:
            version = register_version(connection)
            if version != self._version:
                self._works = {(one.county, one.id): one for one in scan_works(connection, for_judging=True)}
                self._turns.register(self._works)
                self._version = version

    def _surroundings(
        self, works: Works, outlet: SamplingPoint, residual: str, state: DisinfectionState, facts: DisinfectionFacts, now: int
    ) -> Surroundings:  # fmt: skip
        fresh = works.stale_after_s * 1000
        latest = self._series.latest(works.county, works.id)
        signals = _signals(latest, outlet.id, now - fresh)
        shape_ms = max(SHAPE_MS, 20 * fresh if works.is_hand_logged else SHAPE_MS)
        rules = self._tables.ruleset.disinfection
        end = _point(works, PointKind.NETWORK_END, residual)
        key = SeriesKey(works.county, works.id, outlet.id, residual)
        levels = [one.key for one in latest if one.key.parameter == "disinfectant_level"]
        return Surroundings(
            now=now, state=state, disinfectant=works.disinfectant, facts=facts,
            residual=self._raw(key, now - shape_ms, now + 1),
            floor=rules.floor[residual], low=self._low(works, residual, now),
            precision=self._parameters[residual].precision_floor, fresh_ms=fresh,
            hourly_residual=self._hourly(key, now) if facts.network_end_hours else History(),
            hourly_end=History() if end is None or not facts.network_end_hours else self._hourly(key._replace(point=end.id), now),
            stock=self._hourly(levels[0], now) if levels else History(),
            signals=signals, flow_min=rules.flow_min, stock_empty=rules.stock_empty,
        )  # fmt: skip

    def _raw(self, key: SeriesKey, start: int, end: int) -> History:
        trend = self._series.range(key, start, end)
        values, flags = trend.columns["value"], trend.columns["flag"]
        good = ~np.isin(flags, (Flag.FAIL, Flag.MISSING))
        return History(trend.observed_at[good].astype(np.float64), values[good])

    def _hourly(self, key: SeriesKey, now: int) -> History:
        trend = self._series.range(key, now - LONG_MS, now + 1, HOUR_MS, ("mean",))
        # A bucket bears the time it begins; its mean stands for the middle.
        return History(trend.observed_at.astype(np.float64) + HOUR_MS / 2, trend.columns["mean"])

    def _low(self, works: Works, residual: str, now: int) -> float | None:
        day: date = from_ms(now).astimezone(ZoneInfo(works.time_zone)).date()
        row = load_profiles().binding(works.county).limit_on(works, PointKind.OUTLET, residual, day)
        return None if row is None else row.min


def _signals(latest: Sequence[LatestReading], outlet: str, not_before: int) -> dict[str, float]:
    """Newest good value of each parameter: at the outlet itself, else anywhere in the works (the cell's own flow: only there)."""
    signals: dict[str, float] = {}
    for one in sorted(latest, key=lambda one: one.key.point == outlet):
        is_elsewhere = one.key.point != outlet
        is_good = one.flag not in (Flag.FAIL, Flag.MISSING) and np.isfinite(one.value) and one.observed_at >= not_before
        if is_good and not (is_elsewhere and one.key.parameter in ("sample_flow", "ph", "temperature")):
            signals[one.key.parameter] = one.value
    return signals


def _notes(document: Mapping[str, object], language: str) -> dict[str, str]:
    verdict = document["verdict"]
    if not isinstance(verdict, dict):
        return {}
    is_loss = document["state"] in (DisinfectionState.MISSING, DisinfectionState.LOW)
    words = {name: str(verdict[f"{name}_{language}"]) if is_loss else "" for name in ("short", "action")}
    return Verdict(
        verdict["cause"],
        verdict["leaning"],
        verdict["sentence_zh"],
        verdict["sentence_en"],
        words["short"],
        words["action"],
    ).notes()


def _point(works: Works, kind: PointKind, parameter: str | None) -> SamplingPoint | None:
    return next((one for one in works.points if one.kind is kind and parameter in one.parameters), None)


def _ct_tables() -> dict[tuple[CtAgent, Organism], CtTable]:
    rows = load_ct_rows()
    return {
        (agent, organism): ct_table(rows, agent, organism)
        for agent, organism in sorted({(row.agent, row.organism) for row in rows})
    }


def run(config: Config) -> int:
    """Advise until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's, or the ruleset is faulty.
    """
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    engine = open_database(config.sql_url)
    check_schema(engine)
    series = open_series_reader(config)
    adviser = Adviser(config, engine, series)
    # Now instead of at the first trend a quarter of an hour later, when 60 MB more would look like a leak.
    for part in ("optimize", "stats"):
        import_module(f"scipy.{part}")
    _log.info("adviser_started")
    is_up = True
    while not stop.is_set():
        beat(config, "adviser")
        try:
            adviser.step(time.monotonic())
            is_up = True
        except StoreUnavailable as error:
            if is_up:
                _log.warning("store_does_not_answer", why=str(error))
            is_up = False
        stop.wait(LOOK_S)
    series.close()
    engine.dispose()
    return 0
