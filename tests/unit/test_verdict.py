"""Fault or loss, case by case."""

import doctest
import importlib
import itertools
import re

import numpy as np
import pytest

from rules.residual_shape import ResidualShape, residual_path
from rules.verdict import CASES, Cause, Leaning, LossFacts, Stock, judge_loss
from rules.verdict_words import verdict_sentence

STEP, FAST, SLOW, FLOOR = (
    ResidualShape.STEP_TO_FLOOR,
    ResidualShape.FAST_FALL,
    ResidualShape.SLOW_FALL,
    ResidualShape.AT_FLOOR,
)
ON = {"power": True, "flow": True, "doser": True, "sample_flow": True, "stock": Stock.ENOUGH}
MINUTES = np.arange(12 * 60)
AT = MINUTES * 60_000.0
WOBBLE = 0.01 * np.sin(MINUTES / 7.0)


@pytest.mark.parametrize("module", ["rules.residual_shape", "rules.verdict", "rules.verdict_words"])
def test_the_worked_examples_in_the_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("facts", "cause", "leaning"),
    [
        (LossFacts(**{**ON, "flow": False}), Cause.NO_FLOW, Leaning.IDLE),
        (LossFacts(power=False, flow=False, doser=False, shape=STEP), Cause.NO_FLOW, Leaning.IDLE),
        (LossFacts(power=False, flow=True, shape=STEP), Cause.POWER_CUT_WATER_FLOWS, Leaning.LOSS),
        (LossFacts(power=False), Cause.POWER_CUT, Leaning.UNDECIDED),
        (LossFacts(**{**ON, "doser": False}, shape=FAST), Cause.DOSER_STOPPED, Leaning.LOSS),
        (LossFacts(**{**ON, "doser": False, "sample_flow": False}, shape=STEP), Cause.DOSER_STOPPED, Leaning.LOSS),
        (LossFacts(**{**ON, "stock": Stock.EMPTY}, shape=SLOW), Cause.STOCK_EMPTY, Leaning.LOSS),
        (LossFacts(**ON, stock_falling=False, shape=FAST), Cause.NOT_DELIVERING, Leaning.LOSS),
        (LossFacts(**ON, stock_falling=False, shape=STEP), Cause.NOT_DELIVERING, Leaning.LOSS),
        (LossFacts(**{**ON, "sample_flow": False}, shape=FAST), Cause.NO_SAMPLE_FLOW, Leaning.SENSOR),
        (LossFacts(**ON, service=True, shape=STEP), Cause.SERVICE, Leaning.SENSOR),
        (LossFacts(**ON, shape=STEP), Cause.SENSOR_STEP, Leaning.SENSOR),
        (LossFacts(**ON, stock_falling=True, shape=STEP), Cause.SENSOR_STEP, Leaning.SENSOR),
        (LossFacts(**ON, shape=ResidualShape.FROZEN), Cause.SENSOR_FROZEN, Leaning.SENSOR),
        (LossFacts(**{**ON, "stock": Stock.LOW}, shape=SLOW), Cause.RUNNING_OUT, Leaning.LOSS),
        (LossFacts(**{**ON, "stock": Stock.LOW}, shape=FAST), Cause.RUNNING_OUT, Leaning.LOSS),
        (LossFacts(shape=SLOW), Cause.RUNNING_OUT, Leaning.LOSS),
        (LossFacts(**ON, shape=SLOW), Cause.SLOW_DECLINE, Leaning.LOSS),
        (LossFacts(**ON, shape=FAST), Cause.FAST_LOSS, Leaning.LOSS),
        (LossFacts(shape=STEP), Cause.UNEXPLAINED_STEP, Leaning.UNDECIDED),
        (LossFacts(flow=True, shape=STEP), Cause.UNEXPLAINED_STEP, Leaning.UNDECIDED),
        (LossFacts(**ON, shape=FLOOR), Cause.UNEXPLAINED, Leaning.UNDECIDED),
        (LossFacts(**ON, shape=FLOOR, days_without=3.0), Cause.SENSOR_STARVED, Leaning.SENSOR),
        (LossFacts(**ON, shape=FLOOR, days_without=1.9), Cause.UNEXPLAINED, Leaning.UNDECIDED),
        (LossFacts(shape=FLOOR, days_without=3.0), Cause.UNEXPLAINED, Leaning.UNDECIDED),
        (LossFacts(), Cause.UNEXPLAINED, Leaning.UNDECIDED),
    ],
)  # fmt: skip
def test_facts_lead_to_their_cause(facts: LossFacts, cause: Cause, leaning: Leaning) -> None:
    verdict = judge_loss(facts)
    assert (verdict.cause, verdict.leaning) == (cause, leaning)


def test_every_cause_can_be_reached_by_the_cases_above_or_is_no_cause() -> None:
    assert {case.cause for case in CASES} | {Cause.SENSOR_STARVED} == set(Cause)


def test_what_proves_a_loss_is_never_outvoted_by_signs_of_a_sensor_fault() -> None:
    for shape, sample, service, days in itertools.product(
        ResidualShape, (None, False, True), (None, True), (None, 9.0)
    ):
        for proof in ({"doser": False}, {"stock": Stock.EMPTY}, {"power": False, "flow": True}):
            facts = LossFacts(sample_flow=sample, service=service, shape=shape, days_without=days, **proof)
            assert judge_loss(facts).leaning is Leaning.LOSS


def test_an_unknown_fact_never_speaks_for_the_sensor_alone() -> None:
    """Taking away what is known of pump or flow never turns a loss into a sensor fault."""
    options = [(True, False), (True, False), (True, False), (STEP, FAST, SLOW, FLOOR)]
    for power, flow, doser, shape in itertools.product(*options):
        full = judge_loss(LossFacts(power=power, flow=flow, doser=doser, shape=shape))
        for name in ("power", "flow", "doser"):
            kept = {"power": power, "flow": flow, "doser": doser, "shape": shape, name: None}
            less = judge_loss(LossFacts(**kept))
            if full.leaning is Leaning.LOSS and name != "doser" and doser is not False:
                assert less.leaning is not Leaning.SENSOR or (name == "power" and shape is STEP and flow and doser)
            if name == "doser":
                assert less.leaning is not Leaning.SENSOR


def test_loss_is_acted_on_sooner_than_a_fault_of_the_sensor() -> None:
    loss = [case.act_within_h for case in CASES if case.leaning is Leaning.LOSS]
    sensor = [case.act_within_h for case in CASES if case.leaning is Leaning.SENSOR]
    assert max(loss) <= min(sensor) == 2


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("residual", ["free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone", "something"])
def test_every_cause_has_a_whole_sentence_in_both_languages(cause: Cause, residual: str) -> None:
    verdict = judge_loss(LossFacts())
    verdict = type(verdict)(cause, verdict.leaning, 2, ("flow",))
    chinese, english = verdict_sentence(verdict, residual), verdict_sentence(verdict, residual, "en")
    assert not re.search(r"[{}]|None", chinese + english)
    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert "靛蓝法" not in chinese if residual != "ozone" else "DPD" not in chinese


def test_the_sentence_says_what_to_do_by_when_and_what_is_not_known() -> None:
    step = judge_loss(LossFacts(**ON, shape=STEP))
    assert verdict_sentence(step) == (
        "投加泵在运行、有水流，余氯一步降到零：多半是探头问题，请2小时内用DPD法手工复测；复测结果出来前按消毒中断处置"
    )
    stopped = judge_loss(LossFacts(flow=True, doser=False))
    assert "30分钟内" in verdict_sentence(stopped)
    assert "within 30 min" in verdict_sentence(stopped, language="en")
    assert verdict_sentence(judge_loss(LossFacts(flow=True, doser=True, power=True))).endswith(
        "（缺：取样水流、药剂余量、近几小时余量变化）"
    )


@pytest.mark.parametrize(
    ("series", "shape"),
    [
        (np.where(MINUTES < 600, 0.5 + WOBBLE, 0.0), STEP),
        (np.where(MINUTES < 600, 0.5 + WOBBLE, 0.5 * np.exp(-np.maximum(MINUTES - 600, 0) / 15.0)), FAST),
        (0.6 - 0.04 * MINUTES / 60 + WOBBLE / 5, SLOW),
        (np.full(len(MINUTES), 0.0), FLOOR),
        (np.abs(WOBBLE), FLOOR),
        (np.where(MINUTES < 400, 0.5 + WOBBLE, 0.47), ResidualShape.FROZEN),
        (np.where(MINUTES < 600, 0.5 + WOBBLE, 0.47), ResidualShape.STEADY),
        (0.5 + WOBBLE, ResidualShape.STEADY),
        (np.where(MINUTES < 600, 0.5 + WOBBLE, 0.2 + WOBBLE), FAST),
        (np.full(len(MINUTES), np.nan), ResidualShape.UNKNOWN),
    ],
    ids=["step", "fast", "slow", "zero", "near zero", "frozen", "not long frozen", "steady", "step to a lower level", "nothing"],
)  # fmt: skip
def test_the_shape_of_the_last_hours_is_told(series: np.ndarray, shape: ResidualShape) -> None:
    order = np.random.default_rng(1).permutation(len(series))
    assert residual_path(AT, series).shape is shape
    assert residual_path(AT[order], series[order]).shape is shape


def test_a_fall_inside_a_gap_is_no_step() -> None:
    kept = (MINUTES < 500) | (MINUTES >= 560)
    assert residual_path(AT[kept], np.where(MINUTES < 530, 0.5 + WOBBLE, 0.0)[kept]).shape is FAST


def test_a_step_is_seen_at_fifteen_minute_cadence_as_well() -> None:
    sparse = slice(None, None, 15)
    assert residual_path(AT[sparse], np.where(MINUTES < 600, 0.5 + WOBBLE, 0.0)[sparse]).shape is STEP


def test_few_readings_have_no_shape_but_the_newest_is_told() -> None:
    path = residual_path(AT[:7], np.full(7, 0.4))
    assert (path.shape, path.now) == (ResidualShape.UNKNOWN, 0.4)
    assert residual_path([], []).now is None
    with pytest.raises(ValueError, match="shapes differ"):
        residual_path([1, 2], [1, 2, 3])
