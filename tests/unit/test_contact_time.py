"""T10, CT, inactivation: worked by hand from the published tables."""

import doctest
import importlib

import numpy as np
import pytest

from qingquan.domain.contact_time import CtAgent, Organism
from qingquan.standards.contact_time import load_ct_rows
from rules.chlorine import HoclModel, hocl_fraction, hocl_pka
from rules.contact_time import SegmentCt, ct_achieved, inactivation, segment_by_regression, segment_by_table, t10
from rules.ct_required import CtReason, CtTable, ct_table

GIARDIA = ct_table(load_ct_rows(), CtAgent.FREE_CHLORINE, Organism.GIARDIA)
VIRUSES = ct_table(load_ct_rows(), CtAgent.FREE_CHLORINE, Organism.VIRUS)
DIOXIDE = ct_table(load_ct_rows(), CtAgent.CHLORINE_DIOXIDE, Organism.GIARDIA)


def segment(table: CtTable, c: float, t: float, temperature: float = 15.0, ph: float = 7.5) -> SegmentCt:
    return segment_by_table(table, [c], [t], [temperature], [ph])


@pytest.mark.parametrize("module", ["rules.chlorine", "rules.ct_required", "rules.contact_time"])
def test_the_worked_examples_in_the_docstrings_hold(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_t10_is_volume_over_peak_flow_times_the_baffling_factor() -> None:
    assert t10([100.0], [25.0], 0.3).tolist() == [72.0]


@pytest.mark.parametrize(("volume", "flow"), [(np.nan, 1.0), (1.0, np.nan), (-1.0, 1.0), (1.0, 0.0), (1.0, -2.0), (np.inf, 1.0), (1e308, 1e-308)])  # fmt: skip
def test_t10_is_unknown_without_volume_or_flow(volume: float, flow: float) -> None:
    assert np.isnan(t10([volume], [flow], 1.0)[0])


@pytest.mark.parametrize("factor", [0.0, -0.1, np.nextafter(1.0, 2.0)])
def test_a_baffling_factor_outside_its_range_is_an_error(factor: float) -> None:
    with pytest.raises(ValueError, match="baffling"):
        t10([1.0], [1.0], factor)


def test_ct_is_missing_where_either_input_is() -> None:
    found = ct_achieved([0.8, np.nan, 0.8, np.inf], [30.0, 30.0, np.nan, 1.0])
    assert found[0] == 24.0
    assert np.isnan(found[1:]).all()
    with pytest.raises(ValueError, match="shapes differ"):
        ct_achieved([1.0, 2.0], [1.0, 2.0, 3.0])


def test_exactly_the_required_ct_is_a_ratio_of_one_and_three_log() -> None:
    result = inactivation(3.0, [segment(GIARDIA, 1.0, 90.0)])
    assert (result.achieved[0], result.ratio[0], result.log[0]) == (90.0, 1.0, 3.0)
    assert inactivation(1.5, [segment(GIARDIA, 1.0, 90.0)]).ratio[0] == 2.0


def test_segments_add_up_as_ratios_each_under_its_own_conditions() -> None:
    cold = segment(GIARDIA, 1.0, 63.25, temperature=0.5)  # a quarter of 253
    warm = segment(GIARDIA, 1.0, 45.0)  # half of 90
    assert inactivation(3.0, [cold, warm]).ratio[0] == 0.75


def test_one_segment_that_cannot_be_evaluated_leaves_the_sum_unevaluated() -> None:
    result = inactivation(3.0, [segment(GIARDIA, 1.0, 900.0), segment(GIARDIA, 1.0, 10.0, ph=9.5)])
    assert np.isnan([result.ratio[0], result.log[0], result.achieved[0]]).all()
    assert result.reason[0] == CtReason.PH_TOO_HIGH


def test_a_missing_contact_time_is_a_reason() -> None:
    assert segment(GIARDIA, 1.0, np.nan).reason[0] == CtReason.MISSING


def test_viruses_count_by_tabulated_level_only() -> None:
    """15 degC, pH 6-9: 2 log at 2, 3 log at 3, 4 log at 4 mg·min/L."""
    logs = [inactivation(4.0, [segment(VIRUSES, 1.0, t)]).log[0] for t in (1.9, 2.0, 3.9, 4.0, 400.0)]
    assert logs == [0.0, 2.0, 3.0, 4.0, 4.0]
    assert inactivation(4.0, [segment(VIRUSES, 1.0, 3.0)]).ratio[0] == 0.75
    assert inactivation(2.5, [segment(VIRUSES, 1.0, 3.0)]).ratio[0] == 1.0


def test_segments_of_viruses_reach_a_level_together() -> None:
    parts = [segment(VIRUSES, 1.0, 2.0), segment(VIRUSES, 0.5, 4.0)]
    assert inactivation(4.0, parts).log[0] == 4.0


def test_a_level_above_the_table_is_not_evaluated_but_the_log_reached_is_told() -> None:
    result = inactivation(5.0, [segment(VIRUSES, 1.0, 40.0)])
    assert np.isnan(result.ratio[0])
    assert result.log[0] == 4.0
    assert result.reason[0] == CtReason.NOT_TABULATED


def test_chlorine_dioxide_counts_half_logs() -> None:
    """15 degC: 0.5 log at 3.2, 1 at 6.3, ... 3 at 19."""
    assert [inactivation(3.0, [segment(DIOXIDE, 0.2, t)]).log[0] for t in (15.0, 16.0, 32.0, 95.0)] == [
        0.0,
        0.5,
        1.0,
        3.0,
    ]


def test_zero_drift_below_zero_counts_as_no_chlorine() -> None:
    result = inactivation(3.0, [segment(GIARDIA, -0.02, 60.0)])
    assert result.ratio[0] == 0.0
    assert result.log[0] == 0.0


def test_right_above_a_column_the_column_below_is_credited() -> None:
    """15 degC, pH 7.5: 0.4 -> 83, 0.6 -> 86. At 0.41 the column above gives 0.41/86 < 0.40/83."""
    one = segment(GIARDIA, 0.41, 100.0)
    assert (one.credited[0], one.required[0, 0]) == (0.4, 83.0)
    more = segment(GIARDIA, 0.5, 100.0)
    assert (more.credited[0], more.required[0, 0]) == (0.5, 86.0)


def test_no_more_than_3_mg_per_litre_is_credited_against_giardia() -> None:
    for make in (lambda c: segment(GIARDIA, c, 30.0), lambda c: segment_by_regression([c], [30.0], [15.0], [7.5])):
        assert inactivation(3.0, [make(5.0)]).ratio[0] == inactivation(3.0, [make(3.0)]).ratio[0]


def test_the_regression_demands_more_than_the_table() -> None:
    table = inactivation(3.0, [segment(GIARDIA, 1.2, 60.0)])
    smooth = inactivation(3.0, [segment_by_regression([1.2], [60.0], [15.0], [7.5])])
    assert 0.85 < smooth.ratio[0] / table.ratio[0] <= 1.0


def test_segments_that_do_not_belong_together_are_an_error() -> None:
    with pytest.raises(ValueError, match="no segment"):
        inactivation(3.0, [])
    with pytest.raises(ValueError, match="different tables"):
        inactivation(3.0, [segment(GIARDIA, 1, 1), segment(VIRUSES, 1, 1)])
    with pytest.raises(ValueError, match="shapes differ"):
        inactivation(3.0, [segment(GIARDIA, 1, 1), segment_by_table(GIARDIA, [1, 1], [1, 1], [15, 15], [7, 7])])
    with pytest.raises(ValueError, match="positive"):
        inactivation(0.0, [segment(GIARDIA, 1, 1)])


@pytest.mark.parametrize(
    ("temperature", "morris", "vant_hoff", "percent"),
    [
        (0, 7.825, 7.751, (95.5, 87.0, 67.9, 40.1, 17.4)),
        (5, 7.754, 7.704, (94.7, 85.0, 64.2, 36.2, 15.2)),
        (10, 7.690, 7.658, (93.9, 83.1, 60.8, 32.9, 13.4)),
        (15, 7.633, 7.614, (93.1, 81.1, 57.6, 30.0, 12.0)),
        (20, 7.582, 7.571, (92.3, 79.2, 54.7, 27.6, 10.8)),
        (25, 7.537, 7.530, (91.6, 77.5, 52.1, 25.6, 9.8)),
    ],
)
def test_hypochlorous_acid_agrees_with_the_published_constants(
    temperature: float, morris: float, vant_hoff: float, percent: tuple[float, ...]
) -> None:
    assert hocl_pka([temperature])[0] == pytest.approx(morris, abs=0.0006)
    assert hocl_pka([temperature], HoclModel.VANT_HOFF)[0] == pytest.approx(vant_hoff, abs=0.0006)
    found = 100 * hocl_fraction([6.5, 7.0, 7.5, 8.0, 8.5], np.full(5, temperature))
    assert found == pytest.approx(percent, abs=0.06)


def test_hypochlorous_acid_is_missing_where_an_input_is() -> None:
    assert np.isnan(hocl_fraction([np.nan, 7.0], [15.0, np.nan])).all()
    assert hocl_fraction([-1e9, 1e9], [15.0, 15.0]).tolist() == pytest.approx([1.0, 0.0])
