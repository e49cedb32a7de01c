"""Corners of the engine that no test looked into until a mutant survived there; see docs/quality.md."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy.stats import t as student_t

from qingquan.domain.disinfection import Delivery, DisinfectionFacts
from qingquan.domain.findings import DisinfectionState, FindingKind
from qingquan.domain.lab import LabOperator, LabResult, LabVerdict
from qingquan.domain.works import Disinfectant, PointKind
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of, ruleset_with
from rules.advice import History, Surroundings, advise, known_facts
from rules.compliance import MIN_COVERAGE, Tasks, statistics
from rules.compound_plan import _offsets
from rules.compound_words import title_of
from rules.decay import fit_decay
from rules.decay_pairs import fit_decay_pairs
from rules.events.marks import Mark, MarkVerdict, calibrated_threshold
from rules.events.patterns import Pattern, Trajectory, best_match
from rules.lab import LabPlace, Why, judge
from rules.lab_words import reason
from rules.quality.qartod import flat_line, rate_of_change, stretch_starts
from rules.residual_shape import residual_path
from rules.state import resume
from rules.stock import StockReason, days_left


def test_the_interval_of_a_rate_is_the_scatter_over_the_slope_of_the_model() -> None:
    """Worked from the definition with a derivative by differences: rate -+ t * scatter / |d model / d rate|."""
    rng = np.random.default_rng(5)
    outlet = np.linspace(0.4, 0.9, 24)
    end = outlet * np.exp(-0.9 * 18 / 24) + rng.normal(0, 0.01, 24)
    fit = fit_decay_pairs(outlet, end, 18.0)

    def model(rate: float) -> np.ndarray:
        return np.asarray(outlet * np.exp(-rate * 18 / 24))

    slope = (model(fit.rate + 1e-6) - model(fit.rate - 1e-6)) / 2e-6
    rest = model(fit.rate) - end
    scatter = np.sqrt(rest @ rest / 23)
    half = student_t.ppf(0.5 + fit.confidence / 2, 23) * scatter / np.sqrt(slope @ slope)
    assert (fit.rate_high - fit.rate, fit.rate - fit.rate_low) == pytest.approx((half, half), rel=1e-3)


def test_resuming_one_finding_leaves_the_others_that_are_open() -> None:
    works = make_works("W1")
    plan = plan_of(works)
    account = Account(plan)
    slots = {key.parameter: slot for slot, key in enumerate(plan.series)}
    usual = {"free_chlorine": 0.2, "turbidity": 4.0, "flow": 8.0, "doser_running": 1.0}
    account.feed(
        Row(slots[name], START + minute * MINUTE, value + 0.002 * (minute % 5))
        for minute in range(31)
        for name, value in sorted(usual.items(), key=lambda one: slots[one[0]])
    )
    before = set(account.state.said[0])
    low = next(n for n, one in enumerate(plan.meanings) if one.kind is FindingKind.DISINFECTION_LOW)
    resume(account.state, plan, low, START - 600 * MINUTE, START, 0.11)
    others = {key for key in before if key[0] != low}
    assert len(others) == 2  # turbidity above its limit and above 3
    assert set(account.state.said[0]) == {*others, (low, START - 600 * MINUTE)}


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_clock_hours_follow_the_zone_through_every_change_of_the_clock(zone: str) -> None:
    table = _offsets(zone)
    begins = [since for since, _ in table]
    assert begins == sorted(begins)

    def by_table(at: datetime) -> int:
        return next(offset for since, offset in reversed(table) if since <= at.timestamp() * 1000)

    changes = [datetime.fromtimestamp(since / 1000, UTC).timestamp() for since in begins[1:]]
    days = [datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp() + 86_400 * day for day in range(366)]
    assert (len(changes) > 0) == (zone != "Asia/Shanghai")
    for moment in [*days, *(change + aside for change in changes for aside in (-60, 0, 60))]:
        at = datetime.fromtimestamp(moment, UTC)
        offset = at.astimezone(ZoneInfo(zone)).utcoffset()
        assert offset is not None
        assert by_table(at) == offset.total_seconds() * 1000


@pytest.mark.parametrize(
    ("result", "verdict", "why", "said_zh", "said_en"),
    [
        (
            LabResult("turbidity", LabOperator.EQUAL, 0.5, None, "mg/L", 0.5, value_text="0.5"),
            LabVerdict.NOT_JUDGED, Why.UNIT_MISMATCH, "单位“mg/L”不能换算为限值的单位，未判定", "unit mg/L cannot be converted",
        ),
        (
            LabResult("turbidity", LabOperator.EQUAL, float("nan"), None, "NTU", None, value_text="x"),
            LabVerdict.UNDECIDED, Why.NO_NUMBER, "结果不是有效数值，不能判定", "the result is no number that can be judged",
        ),
    ],
)  # fmt: skip
def test_what_has_a_row_but_no_number_is_put_into_words(
    result: LabResult, verdict: LabVerdict, why: Why, said_zh: str, said_en: str
) -> None:
    outlet = LabPlace(PointKind.OUTLET, False, Disinfectant.FREE_CHLORINE, date(2026, 5, 1))

    def convert(_: str, written: str, wanted: str) -> tuple[float, float] | None:
        return (1.0, 0.0) if written == wanted else None

    found = judge(result, outlet, load_standards().limits, convert)
    assert (found.verdict, found.why, found.bound) == (verdict, why, None)
    assert found.limit is not None
    assert reason(result, found).startswith(said_zh)
    assert reason(result, found, "en").startswith(said_en)


def test_the_interval_of_decay_is_that_of_two_fitted_numbers() -> None:
    """Few samples, so that one degree of freedom more or less shows: t(n - 2) times the standard error by differences."""
    hours = np.array([0.0, 12.0, 24.0, 48.0, 72.0])
    residual = 0.8 * np.exp(-0.5 * hours / 24) + np.array([0.01, -0.012, 0.008, -0.006, 0.01])
    fit = fit_decay(hours, residual)

    def model(initial: float, rate: float) -> np.ndarray:
        return initial * np.exp(-rate * hours / 24)

    step = 1e-6
    jacobian = np.column_stack([
        (model(fit.initial + step, fit.rate) - model(fit.initial - step, fit.rate)) / (2 * step),
        (model(fit.initial, fit.rate + step) - model(fit.initial, fit.rate - step)) / (2 * step),
    ])  # fmt: skip
    rest = model(fit.initial, fit.rate) - residual
    covariance = np.linalg.inv(jacobian.T @ jacobian) * (rest @ rest) / (len(hours) - 2)
    half = student_t.ppf(0.975, len(hours) - 2) * np.sqrt(np.diag(covariance))
    assert (fit.initial_high - fit.initial, fit.rate_high - fit.rate) == pytest.approx(tuple(half), rel=1e-3)


@pytest.mark.parametrize("start", [0, 120])
def test_means_by_the_hour_are_those_of_a_naive_loop_wherever_the_period_begins(start: int) -> None:
    rng = np.random.default_rng(1)
    length, window, hold = 240, 60, 10
    at = np.sort(rng.choice(np.arange(start - 5, start + length), 60, replace=False)).astype(np.int64)
    value = rng.choice([0.1, 0.4, 1.0, 2.6], 60)
    begins, ends, holds, windows = (np.array([n], np.int64) for n in (start, start + length, hold, window))
    tasks = Tasks(begins, ends, holds, windows, np.array([0.3]), np.array([1.2]))
    row = statistics(tasks, np.array([0, 60]), at, value, np.ones(60, bool))[0]
    exceeding = compliant = 0
    for begin in range(start, start + length, window):
        known = []
        for now in range(begin, begin + window):
            last = np.searchsorted(at, now, side="right") - 1
            if last >= 0 and now - at[last] < hold:
                known.append(value[last])
        if len(known) >= MIN_COVERAGE * window:
            is_met = 0.3 <= np.mean(known) <= 1.2
            compliant, exceeding = compliant + window * is_met, exceeding + window * (not is_met)
    assert compliant + exceeding > 0
    assert (row["compliant_ms"], row["exceeding_ms"]) == (compliant, exceeding)


def test_the_highest_threshold_is_twice_the_usual_one_whatever_that_is() -> None:
    verdicts = [(9.0, MarkVerdict.REAL)] * 10 + [(2.9, MarkVerdict.FALSE)] * 20
    marks = [Mark(n, peak, verdict) for n, (peak, verdict) in enumerate(verdicts)]
    assert calibrated_threshold(marks, threshold=1.5) == 3.0


@pytest.mark.parametrize(("times", "is_known"), [(1.0, True), (1.99, True), (2.01, False), (0.51, True), (0.49, False)])
def test_an_event_twice_as_long_is_another_one(times: float, is_known: bool) -> None:
    shape = {"turbidity": tuple(np.sin(np.pi * np.arange(24) / 23) * 50)}
    pattern = Pattern(1, "反冲洗", Trajectory(shape, 100_000))
    assert (best_match(Trajectory(shape, round(100_000 * times)), [pattern]) is pattern) == is_known


def test_a_tank_at_the_level_at_which_the_pump_draws_air_is_empty() -> None:
    times = np.arange(0, 240, 2.0) * 3_600_000
    assert days_left(times, np.full(120, 8.0), empty=8.0).reason is StockReason.EMPTY
    assert days_left(times, np.full(120, 8.1), empty=8.0).reason is StockReason.NOT_FALLING


def test_a_rule_without_a_title_is_named_by_its_conditions_in_both_languages() -> None:
    parameters = load_standards().parameters
    rules = ruleset_with(
        """
[[rule]]
id = "mine"
points = ["outlet"]
severity = "minor"
basis = "house"
when = { all = [ { signal = "turbidity", above = "limit.max" }, { ratio = ["turbidity", "flow"], above = 0.5 } ] }
"""
    )
    (rule,) = (one for one in rules.compounds if one.id == "mine")
    turbidity, flow = parameters["turbidity"], parameters["flow"]
    english, chinese = title_of(rule, parameters, "en"), title_of(rule, parameters, "zh")
    assert f"{turbidity.name_en} above its limit" in english
    assert f"{turbidity.name_en} / {flow.name_en} above 0.5" in english
    assert f"{turbidity.name_zh}高于限值" in chinese
    assert f"{turbidity.name_zh}与{flow.name_zh}之比高于0.5" in chinese


@pytest.mark.parametrize(("level", "stock"), [(0.9, "EMPTY"), (9.9, "LOW"), (90.0, "ENOUGH"), (None, None)])
def test_a_stock_is_empty_low_or_enough_by_its_level(level: float | None, stock: str | None) -> None:
    path = residual_path(START + MINUTE * np.arange(60.0), np.full(60, 0.5), 0.05)
    signals = {} if level is None else {"disinfectant_level": level}
    facts = known_facts(signals, path, None, 0.05)
    assert (None if facts.stock is None else facts.stock.name) == stock


@pytest.mark.parametrize(("flow", "is_flowing"), [(0.05, False), (0.051, True)])
def test_water_flows_above_the_least_flow_and_not_at_it(flow: float, is_flowing: bool) -> None:
    path = residual_path(START + MINUTE * np.arange(60.0), np.full(60, 0.5), 0.05)
    assert known_facts({"flow": flow}, path, None, 0.05).flow is is_flowing


@pytest.mark.parametrize(("given", "celsius", "is_assumed"), [(None, 25.0, True), (12.0, 12.0, False)])
def test_a_store_temperature_nobody_gave_is_said_to_be_assumed(
    given: float | None, celsius: float, is_assumed: bool
) -> None:
    facts = DisinfectionFacts(deliveries=(Delivery(START - 10 * 86_400_000, 100.0),), store_temperature_c=given)
    known = Surroundings(
        now=START, state=DisinfectionState.OK, residual=History(np.array([float(START)]), np.array([0.5])), floor=0.05, low=0.3,
        precision=0.02, fresh_ms=900_000, signals={}, facts=facts, disinfectant=Disinfectant.FREE_CHLORINE,
    )  # fmt: skip
    strength = advise(known, {}).strength
    assert strength is not None
    assert (strength.temperature_c, strength.is_assumed) == (celsius, is_assumed)


def test_a_finding_that_ends_now_is_not_late_although_its_evidence_is_older_than_the_window() -> None:
    plan = plan_of(make_works("W1", ("free_chlorine",)))
    account = Account(plan)
    for minute in range(60):
        value = 0.2 if minute < 35 else 0.6
        account.feed([Row(0, START + minute * MINUTE, value + 0.002 * (minute % 5))])
    (low,) = (one for one in account.told if one.kind is FindingKind.DISINFECTION_LOW and one.end is not None)
    assert low.end == START + 35 * MINUTE
    assert not low.late
    assert not any(one.late for one in account.told)


def test_a_change_fails_only_where_it_is_as_many_times_the_share_of_the_level_as_of_the_rate() -> None:
    """Suspect from half the level, so failed from twice it: 10 to 25 is more than the rate that fails and not enough of a share."""
    times = np.array([0, 300_000, 600_000], np.int64)
    values = np.array([10.0, 25.0, 80.0])
    spikes = np.zeros(3, np.bool_)
    flags = rate_of_change(times, values, spikes, 2 / 300, 8 / 300, 300_000, 0.5, 3_600_000)
    assert flags.tolist() == [2, 3, 4]


def test_a_line_whose_range_is_just_the_tolerance_is_flat() -> None:
    times = np.arange(13, dtype=np.int64) * 300_000
    values = np.where(np.arange(13) % 2, 1.25, 1.0)
    starts = stretch_starts(times, values, np.zeros(13, np.bool_), 3_600_000)
    flags = flat_line(times, values, starts, 0.25, 1_800_000, 3_600_000, 0.05)
    assert flags.tolist() == [1] * 6 + [3] * 6 + [4]
    assert set(flat_line(times, values, starts, 0.2499, 1_800_000, 3_600_000, 0.05).tolist()) == {1}


def told_of(
    rows_by_minute: Mapping[int, Mapping[str, float]], parameters: tuple[str, ...], **fields: object
) -> Account:
    """A works that says all values of a minute at once."""
    plan = plan_of(make_works("W1", parameters, **fields))
    slot = {key.parameter: n for n, key in enumerate(plan.series)}
    account = Account(plan)
    for minute, values in rows_by_minute.items():
        account.feed([Row(slot[name], START + minute * MINUTE, value) for name, value in values.items()])
    return account


def test_clear_water_of_the_same_temperature_is_not_taken_for_standing() -> None:
    sound = {"free_chlorine": 0.6, "turbidity": 0.4, "temperature": 15.0}
    lost = sound | {"free_chlorine": 0.0, "turbidity": 0.1}
    account = told_of({m: sound if m < 60 else lost for m in range(180)}, tuple(sound))
    kinds = {one.kind for one in account.said.values() if one.end is None}
    assert FindingKind.DISINFECTION_MISSING in kinds
    assert FindingKind.DISINFECTION_UNKNOWN not in kinds


def test_a_works_that_begins_without_flow_is_not_blind_before_water_flows() -> None:
    flows = {m: {"flow": 0.0 if m < 60 else 8.0 + 0.1 * (m % 2)} for m in range(180)}
    account = told_of(flows, ("free_chlorine", "flow"))
    (found,) = (one for one in account.said.values() if one.kind is FindingKind.DISINFECTION_UNKNOWN)
    assert (found.start, found.end) == (START + 60 * MINUTE, None)


def test_a_residual_is_evidence_until_its_last_millisecond() -> None:
    stale = int(plan_of(make_works("W1", ("free_chlorine", "flow"))).works_forms["stale_ms"][0]) // MINUTE
    minutes = {m: {"flow": 8.0 + 0.1 * (m % 2)} | ({"free_chlorine": 0.6} if m == 0 else {}) for m in range(180)}
    account = told_of(minutes, ("free_chlorine", "flow"))
    (found,) = (one for one in account.said.values() if one.kind is FindingKind.DISINFECTION_UNKNOWN)
    assert found.start == START + (stale + 1) * MINUTE


def test_a_works_whose_signals_come_before_its_residual_stirs_no_timer_when_it_begins() -> None:
    good = {"flow": 8.0, "total_chlorine": 1.0}
    account = told_of({0: good}, tuple(good), disinfectant=Disinfectant.CHLORAMINE)
    assert [key.parameter for key in account.plan.series] == sorted(good)
    assert account.state.works["stirred"].tolist() == [0]


def test_what_is_proven_over_does_not_begin_again_from_a_signal_that_has_fallen_silent() -> None:
    good = {"free_chlorine": 0.6, "flow": 8.0}
    minutes = {m: good | {"doser_running": 1.0} for m in range(30)}
    minutes |= {m: good | {"free_chlorine": 0.0, "doser_running": 0.0} for m in range(30, 90)}
    minutes |= {m: good | {"free_chlorine": 0.6 + 0.01 * (m % 3)} for m in range(90, 300)}
    account = told_of(minutes, (*good, "doser_running"))
    missing = [one for one in account.said.values() if one.kind is FindingKind.DISINFECTION_MISSING]
    assert [(one.start, one.end is None) for one in missing] == [(START + 30 * MINUTE, False)]
