"""Everything computed about one works' disinfection, against values worked by hand."""

import doctest
import importlib
import json

import numpy as np
import pytest

from qingquan.domain.contact_time import CtAgent, Organism
from qingquan.domain.disinfection import Delivery, DisinfectionFacts, Segment
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.works import Disinfectant
from qingquan.services.advice_document import document_of
from qingquan.standards.contact_time import load_ct_rows
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import make_works
from rules.advice import DAY_MS, HOUR_MS, History, Outlook, Surroundings, Unknown, advise
from rules.advice_words import short_verdict, state_sentence
from rules.ct_required import ct_table
from rules.decay import FitReason
from rules.decay_pairs import fit_decay_pairs, paired
from rules.residual_shape import ResidualShape
from rules.verdict import Cause, Leaning, LossFacts, judge_loss

NOW = 1_780_000_000_000
TABLES = {
    (agent, organism): ct_table(load_ct_rows(), agent, organism)
    for agent, organism in {(row.agent, row.organism) for row in load_ct_rows()}
}
ON = {"flow": 8.0, "doser_running": 1.0, "power": 1.0, "temperature": 15.0, "ph": 7.5}


def minutes(values: np.ndarray) -> History:
    """One reading a minute, the newest now."""
    return History(NOW - 60_000.0 * np.arange(len(values))[::-1], np.asarray(values, float))


def known(residual: History, state: DisinfectionState = DisinfectionState.OK, **fields: object) -> Surroundings:
    given = {"signals": ON, "facts": DisinfectionFacts(), "disinfectant": Disinfectant.FREE_CHLORINE} | fields
    return Surroundings(
        now=NOW, state=state, residual=residual, floor=0.05, low=0.3, precision=0.02, fresh_ms=900_000, **given
    )  # type: ignore[arg-type]


def steady(level: float = 0.6) -> np.ndarray:
    return level + 0.01 * np.sin(np.arange(720) / 7.0)


def document(outlook: Outlook, given: Surroundings) -> dict[str, object]:
    works = make_works("free_chlorine")
    found = document_of(works, given, outlook, load_standards().parameters["free_chlorine"])
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


@pytest.mark.parametrize("module", ["rules.advice_words", "rules.decay_pairs"])
def test_the_worked_examples_in_the_docstrings_hold(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_one_step_to_zero_with_pump_and_flow_on_is_the_sensor() -> None:
    values = np.concatenate([steady()[:690], np.zeros(30)])
    outlook = advise(known(minutes(values), DisinfectionState.MISSING), TABLES)
    assert outlook.path.shape is ResidualShape.STEP_TO_FLOOR
    assert outlook.verdict is not None
    assert (outlook.verdict.cause, outlook.verdict.leaning) == (Cause.SENSOR_STEP, Leaning.SENSOR)
    told = document(outlook, known(minutes(values), DisinfectionState.MISSING))["verdict"]
    assert "多半是探头问题，请2小时内用DPD法手工复测" in told["sentence_zh"]  # type: ignore[index]


def test_the_same_step_with_the_pump_stopped_is_a_loss() -> None:
    values = np.concatenate([steady()[:690], np.zeros(30)])
    outlook = advise(known(minutes(values), DisinfectionState.MISSING, signals=ON | {"doser_running": 0.0}), TABLES)
    assert outlook.verdict is not None
    assert outlook.verdict.cause is Cause.DOSER_STOPPED


def test_a_works_that_stands_well_gets_no_verdict() -> None:
    assert advise(known(minutes(steady())), TABLES).verdict is None


def test_nothing_known_is_told_as_unknown_and_never_raises() -> None:
    outlook = advise(known(History(), DisinfectionState.UNKNOWN, signals={}), TABLES)
    assert outlook.verdict is not None
    assert outlook.verdict.cause is Cause.UNEXPLAINED
    assert outlook.unknown == {
        "strength": Unknown.NO_DELIVERY, "contact": Unknown.NO_SEGMENTS, "decay": Unknown.NO_TRAVEL_TIME,
    }  # fmt: skip
    sentence = state_sentence(DisinfectionState.UNKNOWN, outlook.verdict, outlook.known, "free_chlorine")
    assert sentence.startswith("没有可信的余量读数")


def test_contact_is_what_the_epa_example_has() -> None:
    # 46 m3 at 30 m3/h with factor 0.5 = 46 min; 1.2 mg/L at 15 degC and pH 7.5 wants 92 for 3 log: CT 55.2, ratio 0.6.
    facts = DisinfectionFacts(segments=(Segment("清水池", 46.0, 0.5, 30.0),))
    given = known(minutes(np.full(720, 1.2)), facts=facts)
    outlook = advise(given, TABLES)
    assert outlook.contact is not None
    giardia = outlook.contact.by_table[Organism.GIARDIA]
    assert giardia.achieved[0] == pytest.approx(55.2)
    assert giardia.ratio[0] == pytest.approx(0.6)
    assert giardia.log[0] == pytest.approx(1.8)
    section = document(outlook, given)["contact"]
    assert section["segments"] == [{"name": "清水池", "t10_min": 46.0, "ct": 55.2}]  # type: ignore[index]
    assert section["giardia"]["ct_required"] == pytest.approx(92.0)  # type: ignore[index]
    # The regression is never below the table: the ratio is no larger.
    assert section["giardia_regression"]["ratio"] <= 0.6  # type: ignore[index]


def test_contact_without_ph_says_that_it_is_missing() -> None:
    facts = DisinfectionFacts(segments=(Segment("清水池", 46.0, 0.5, 30.0),))
    given = known(minutes(steady()), facts=facts, signals={"flow": 8.0})
    section = document(advise(given, TABLES), given)["contact"]
    assert section["giardia"] | {"wanted_log": 3.0} == {  # type: ignore[index]
        "wanted_log": 3.0, "ratio": None, "log": None, "ct_achieved": None, "ct_required": None, "reason": "missing",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("disinfectant", "agent"),
    [
        (Disinfectant.CHLORAMINE, CtAgent.CHLORAMINE), (Disinfectant.CHLORINE_DIOXIDE, CtAgent.CHLORINE_DIOXIDE),
        (Disinfectant.OZONE, CtAgent.OZONE),
    ],
)  # fmt: skip
def test_each_disinfectant_is_held_against_its_own_table(disinfectant: Disinfectant, agent: CtAgent) -> None:
    facts = DisinfectionFacts(segments=(Segment("接触池", 100.0, 0.5, 20.0),))
    outlook = advise(known(minutes(np.full(720, 0.5)), facts=facts, disinfectant=disinfectant), TABLES)
    assert outlook.contact is not None
    table = TABLES[agent, Organism.VIRUS]
    wanted = table.ct[table.levels.tolist().index(4.0)].max() if 4.0 in table.levels else None
    ratio = outlook.contact.by_table[Organism.VIRUS].ratio[0]
    # 0.5 mg/L x 150 min = 75 mg·min/L, against at most the coldest cell.
    assert outlook.contact.by_table[Organism.VIRUS].achieved[0] == pytest.approx(75.0)
    assert np.isnan(ratio) if wanted is None else ratio >= 75.0 / wanted - 1e-9
    assert outlook.contact.by_regression is None


def test_strength_falls_from_the_last_delivery() -> None:
    # 120 g/L for 30 days at 30 degC: 93 g/L (Adam and Gordon, worked example of rules.stock).
    facts = DisinfectionFacts(
        store_temperature_c=30.0,
        deliveries=(Delivery(NOW - 90 * DAY_MS, 100.0), Delivery(NOW - 30 * DAY_MS, 120.0), Delivery(NOW + DAY_MS, 130.0)),
    )  # fmt: skip
    outlook = advise(known(minutes(steady()), facts=facts), TABLES)
    assert outlook.strength is not None
    assert outlook.strength.now_g_l is not None
    assert round(outlook.strength.now_g_l) == 93
    assert outlook.strength.age_days == pytest.approx(30.0)


def test_a_significant_fall_is_forecast_and_a_steady_residual_is_not() -> None:
    falling = 0.90 - 0.05 * np.arange(720) / 60 + 0.004 * np.cos(np.arange(720)) + 0.25
    given = known(minutes(falling))
    section = document(advise(given, TABLES), given)["forecast"]
    # 0.55 mg/L now, 0.05 an hour: the limit of 0.3 in 5 h.
    assert section["hours"] == pytest.approx(5.0, abs=0.2)  # type: ignore[index]
    assert "约5小时后将低于0.3 mg/L" in section["sentence_zh"]  # type: ignore[index]
    assert advise(known(minutes(steady())), TABLES).forecast is None


def test_a_works_that_is_low_already_gets_no_forecast() -> None:
    falling = 0.9 - 0.05 * np.arange(720) / 60
    assert advise(known(minutes(falling), DisinfectionState.LOW), TABLES).forecast is None


def test_decay_is_fitted_from_pairs_and_the_newest_end_reading_held_against_it() -> None:
    rng = np.random.default_rng(3)
    hours = np.arange(14 * 24)
    outlet = History(NOW - HOUR_MS * hours[::-1].astype(float), 0.6 + 0.05 * np.sin(hours / 4.0))
    left = np.roll(outlet.values, 12)[12:]
    arrived = left * np.exp(-0.8 * 12 / 24) + rng.normal(0, 0.01, len(left))
    end = History(outlet.observed_at[12:], arrived)
    given = known(
        minutes(steady()), hourly_residual=outlet, hourly_end=end, facts=DisinfectionFacts(network_end_hours=12.0)
    )
    outlook = advise(given, TABLES)
    assert outlook.decay is not None
    assert outlook.decay.fit.reason is FitReason.FITTED
    assert outlook.decay.fit.rate == pytest.approx(0.8, abs=0.03)
    assert outlook.decay.fit.rate_low < 0.8 < outlook.decay.fit.rate_high
    assert outlook.decay.is_within
    short = History(end.observed_at, np.where(np.arange(len(left)) == len(left) - 1, 0.02, arrived))
    given = known(
        minutes(steady()), hourly_residual=outlet, hourly_end=short, facts=DisinfectionFacts(network_end_hours=12.0)
    )
    worse = advise(given, TABLES).decay
    assert worse is not None
    assert worse.is_within is False


def test_pairs_that_cannot_be_fitted_say_why() -> None:
    assert fit_decay_pairs([0.5, 0.5], [0.4, 0.4], 12.0).reason is FitReason.TOO_FEW_SAMPLES
    assert fit_decay_pairs([0.5] * 5, [0.0] * 5, 12.0).reason is FitReason.NO_CHLORINE
    dropped = fit_decay_pairs([0.5, np.nan, 0.5, 0.5, 0.0, 0.5], [0.4, 0.4, -1, 0.4, 0.4, 0.4], 12.0)
    assert (dropped.reason, dropped.dropped) == (FitReason.TOO_FEW_SAMPLES, 3)


def test_water_that_gains_chlorine_on_its_way_shows_no_decay() -> None:
    fit = fit_decay_pairs([0.4, 0.41, 0.39, 0.4, 0.42], [0.5, 0.49, 0.5, 0.51, 0.5], 12.0)
    assert fit.reason is FitReason.FITTED
    assert not fit.is_decaying


def test_pairs_need_an_outlet_reading_near_the_time_the_water_left() -> None:
    at, left, arrived = paired([0.0], [0.5], [10 * HOUR_MS, 30 * HOUR_MS], [0.4, 0.3], 10.0)
    assert (at.tolist(), left.tolist(), arrived.tolist()) == ([10 * HOUR_MS], [0.5], [0.4])


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_short_words_that_fit_a_message(cause: Cause, language: str) -> None:
    words = short_verdict(judge_loss(LossFacts()).__class__(cause, Leaning.LOSS, 1, ()), language)
    assert 0 < len(words) <= (20 if language == "zh" else 25)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (LossFacts(), "调低投加量"),
        (LossFacts(flow=False), "停泵"),
        (LossFacts(sample_flow=False, flow=False), "取样水断流"),
        (LossFacts(flow=True, shape=ResidualShape.FROZEN), "仪表卡死"),
    ],
)
def test_a_high_residual_has_cases_of_its_own(facts: LossFacts, words: str) -> None:
    assert words in state_sentence(DisinfectionState.HIGH, judge_loss(facts), facts, "free_chlorine")


def test_a_hand_logged_works_without_a_log_is_told_to_measure() -> None:
    facts = LossFacts()
    sentence = state_sentence(DisinfectionState.UNKNOWN, judge_loss(facts), facts, "free_chlorine", is_hand_logged=True)
    assert sentence.startswith("已连续2天没有余量检测记录")
