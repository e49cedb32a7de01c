"""What must hold of CT whatever the numbers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qingquan.domain.contact_time import CtAgent, Organism
from qingquan.standards.contact_time import load_ct_rows
from rules.contact_time import Inactivation, inactivation, segment_by_regression, segment_by_table
from rules.ct_required import CtTable, ct_required, ct_table, smith_clark_ct

PAIRS = sorted({(row.agent, row.organism) for row in load_ct_rows()})
TABLES = {pair: ct_table(load_ct_rows(), *pair) for pair in PAIRS}
GIARDIA = TABLES[CtAgent.FREE_CHLORINE, Organism.GIARDIA]
tables = st.sampled_from([TABLES[pair] for pair in PAIRS])
residuals = st.floats(-0.1, 6.0)
times = st.floats(0.0, 5000.0)
temperatures = st.floats(-2.0, 35.0)
acidities = st.floats(6.0, 9.0)
more = st.floats(0.0, 2.0)
anything = st.floats(allow_nan=True, allow_infinity=True)


def judged(table: CtTable, c: float, t: float, temperature: float, ph: float) -> Inactivation:
    level = float(table.levels[-1])
    return inactivation(level, [segment_by_table(table, [c], [t], [temperature], [ph])])


@given(tables, residuals, times, temperatures, acidities, more, more)
def test_more_residual_or_time_never_lowers_ratio_or_log(
    table: CtTable, c: float, t: float, temperature: float, ph: float, dc: float, dt: float
) -> None:
    before, after = judged(table, c, t, temperature, ph), judged(table, c + dc, t + 100 * dt, temperature, ph)
    assert after.ratio[0] >= before.ratio[0] * (1 - 1e-12)
    assert after.log[0] >= before.log[0] * (1 - 1e-12)


@given(residuals, times, temperatures, acidities, more, more)
def test_more_residual_or_time_never_lowers_the_ratio_of_the_regression(
    c: float, t: float, temperature: float, ph: float, dc: float, dt: float
) -> None:
    before = inactivation(3.0, [segment_by_regression([c], [t], [temperature], [ph])])
    after = inactivation(3.0, [segment_by_regression([c + dc], [t + 100 * dt], [temperature], [ph])])
    assert after.ratio[0] >= before.ratio[0] * (1 - 1e-12)


@given(tables, residuals, times, temperatures, acidities, more, st.floats(0.0, 1.0))
def test_colder_water_or_higher_ph_never_raises_the_ratio(
    table: CtTable, c: float, t: float, temperature: float, ph: float, colder: float, up: float
) -> None:
    worse = judged(table, c, t, temperature - 5 * colder, ph + up * (9.0 - ph))
    assert worse.ratio[0] <= judged(table, c, t, temperature, ph).ratio[0] * (1 + 1e-12)


@given(st.floats(0.5, 25.0), acidities, st.floats(0.4, 3.0))
def test_the_look_up_is_never_below_linear_interpolation_of_the_table(temperature: float, ph: float, c: float) -> None:
    axes = (GIARDIA.temperatures, GIARDIA.ph_tops, GIARDIA.residuals)
    low = [min(int(np.searchsorted(a, x, side="right")) - 1, len(a) - 2) for a, x in zip(axes, (temperature, ph, c), strict=True)]  # fmt: skip
    value = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = 1.0
        for a, x, i, up in zip(axes, (temperature, ph, c), low, corner, strict=True):
            share = (x - a[i]) / (a[i + 1] - a[i])
            weight *= share if up else 1.0 - share
        value += weight * GIARDIA.ct[(0, *(i + up for i, up in zip(low, corner, strict=True)))]
    assert ct_required(GIARDIA, 3.0, [temperature], [ph], [c]).ct[0] >= value - 1e-9


@given(tables, st.lists(st.tuples(anything, anything, anything, anything), max_size=20))
def test_whatever_comes_in_columns_give_what_single_rows_give(
    table: CtTable, rows: list[tuple[float, float, float, float]]
) -> None:
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    with np.errstate(over="ignore"):
        whole = inactivation(2.0, [segment_by_table(table, *columns)])
        single = [inactivation(2.0, [segment_by_table(table, *([x] for x in row))]) for row in rows]
    np.testing.assert_array_equal(whole.ratio, [one.ratio[0] for one in single])
    np.testing.assert_array_equal(whole.reason, [one.reason[0] for one in single])
    assert (np.isnan(whole.ratio) == (whole.reason != 0)).all()


@given(anything, anything, anything)
def test_the_regression_answers_with_a_positive_number_or_a_reason(t: float, ph: float, c: float) -> None:
    ct, reason = smith_clark_ct(3.0, [t], [ph], [c])
    assert (ct[0] > 0) if reason[0] == 0 else np.isnan(ct[0])
