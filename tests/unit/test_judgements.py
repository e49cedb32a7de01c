"""Judgements that one bound cannot make; numbers by hand."""

from datetime import date

import numpy as np
import pytest

from qingquan.domain.parameters import Limit
from qingquan.standards.loader import limit_for, load_standards
from rules.judgements import MixedState, gross_beta_without_k40, mixed_residuals, sum_of_ratios

NAN = np.nan


def row(code: str, point: str = "outlet") -> Limit:
    found = limit_for(load_standards().limits, code, point, date(2026, 1, 1), small_limited=False)
    assert found is not None
    return found


def test_trihalomethanes_each_below_its_own_limit_may_exceed_together() -> None:
    parts = ("trichloromethane", "dibromochloromethane", "bromodichloromethane", "tribromomethane")
    bounds = [row(code).max or 0.0 for code in parts]
    values = [np.array(one) for one in ([0.03, 0.015], [0.03, 0.025], [0.03, 0.015], [0.03, 0.025])]
    # 0.03/0.06 + 0.03/0.1 + 0.03/0.06 + 0.03/0.1 = 1.6; a quarter of each limit makes 1, which passes.
    total = sum_of_ratios(values, bounds)
    assert total == pytest.approx([1.6, 1.0])
    assert [row("trihalomethanes_ratio").is_met_by(one) for one in total] == [False, True]


def test_nitrate_with_nitrite_by_the_rule_of_the_who() -> None:
    assert sum_of_ratios([np.array([40.0]), np.array([1.0])], [50.0, 3.0]) == pytest.approx([40 / 50 + 1 / 3])


def test_a_sum_with_a_missing_part_is_unknown_and_inputs_stay_as_they_are() -> None:
    first, second = np.array([NAN, 0.2]), np.array([0.1, 0.2])
    assert np.isnan(sum_of_ratios([first, second], [1.0, 1.0])).tolist() == [True, False]
    assert second.tolist() == [0.1, 0.2]


@pytest.mark.parametrize(("values", "bounds"), [(0, []), (1, []), (1, [0.0]), (2, [1.0])])
def test_bounds_that_fit_no_values_are_refused(values: int, bounds: list[float]) -> None:
    with pytest.raises(ValueError):
        sum_of_ratios([np.array([1.0])] * values, bounds)


@pytest.mark.parametrize(
    ("gross", "k40", "expected"),
    [(1.3, 0.5, 0.8), (1.0, NAN, 1.0), (1.01, NAN, NAN), (0.4, 0.6, 0.0), (1.2, -0.1, 1.2), (NAN, 0.1, NAN)],
)
def test_gross_beta_is_judged_without_potassium_40(gross: float, k40: float, expected: float) -> None:
    found = gross_beta_without_k40(np.array([gross]), np.array([k40]))
    assert found == pytest.approx([expected], nan_ok=True)


@pytest.mark.parametrize(
    ("chlorine_dioxide", "free_chlorine", "expected"),
    [
        (0.10, 0.00, MixedState.OK),
        (0.00, 0.30, MixedState.OK),
        (0.80, 2.00, MixedState.OK),
        (0.09, 0.29, MixedState.LOW),
        (0.81, 0.50, MixedState.HIGH),
        (0.20, 2.01, MixedState.HIGH),
        (NAN, 2.01, MixedState.HIGH),
        (NAN, 0.50, MixedState.UNKNOWN),
        (0.20, NAN, MixedState.UNKNOWN),
        (NAN, 0.10, MixedState.UNKNOWN),
        (NAN, NAN, MixedState.UNKNOWN),
    ],
)
def test_two_disinfectants_need_both_upper_limits_and_one_residual(
    chlorine_dioxide: float, free_chlorine: float, expected: MixedState
) -> None:
    state = mixed_residuals(
        np.array([chlorine_dioxide]), np.array([free_chlorine]), row("chlorine_dioxide"), row("free_chlorine")
    )
    assert state.tolist() == [expected]


def test_the_network_end_has_its_own_minima() -> None:
    at_end = row("chlorine_dioxide", "network_end"), row("free_chlorine", "network_end")
    assert mixed_residuals(np.array([0.02, 0.01]), np.array([0.0, 0.04]), *at_end).tolist() == [
        MixedState.OK,
        MixedState.LOW,
    ]
