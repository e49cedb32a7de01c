"""The CT tables: what is read, what is refused, what is looked up."""

import numpy as np
import pytest

from qingquan.domain.contact_time import CtAgent, CtRow, Organism
from qingquan.domain.works import Disinfectant
from qingquan.errors import ConfigurationError
from qingquan.standards.contact_time import (
    baffling_factors_from,
    ct_rows_from,
    load_baffling_factors,
    load_ct_rows,
)
from rules.ct_required import CtReason, CtTable, ct_required, ct_table, smith_clark_ct

ROWS = load_ct_rows()
HEADER = (
    "id,agent,organism,log_inactivation,temperature_c,ph_min,ph_max,residual_mg_l,ct_mg_min_l,confidence,source,note"
)
GIARDIA = ct_table(ROWS, CtAgent.FREE_CHLORINE, Organism.GIARDIA)
CELLS = [row for row in ROWS if row.agent is CtAgent.FREE_CHLORINE and row.organism is Organism.GIARDIA]


def table_of(agent: CtAgent, organism: Organism) -> CtTable:
    return ct_table(ROWS, agent, organism)


def one(table: CtTable, log: float, temperature: float, ph: float, residual: float) -> tuple[float, CtReason]:
    found = ct_required(table, log, [temperature], [ph], [residual])
    return float(found.ct[0]), CtReason(int(found.reason[0]))


def test_the_tables_hold_714_cells_588_of_them_free_chlorine_against_giardia() -> None:
    assert len(ROWS) == 714
    assert len(CELLS) == 588
    assert GIARDIA.ct.shape == (1, 6, 7, 14)


@pytest.mark.parametrize("cell", [row for row in ROWS if row.ph_max is not None], ids=lambda row: row.id)
def test_every_cell_is_found_at_its_own_conditions(cell: CtRow) -> None:
    table = table_of(cell.agent, cell.organism)
    residual = 1.0 if cell.residual_mg_l is None else cell.residual_mg_l
    found = ct_required(table, cell.log_inactivation, [cell.temperature_c], [cell.ph_max or 0], [residual])
    assert (found.ct[0], found.row[0]) == (cell.ct_mg_min_l, cell.id)


@pytest.mark.parametrize(
    ("agent", "organism", "log", "temperature", "ph", "residual", "expected"),
    [
        (CtAgent.FREE_CHLORINE, Organism.GIARDIA, 3, 15, 7.5, 1.2, 92),
        (CtAgent.FREE_CHLORINE, Organism.GIARDIA, 1.5, 0.5, 8.0, 1.0, 152),
        (CtAgent.FREE_CHLORINE, Organism.GIARDIA, 2, 15, 7.5, 1.0, 60),
        (CtAgent.CHLORINE_DIOXIDE, Organism.GIARDIA, 3, 15, 7.0, 0.3, 19),
    ],
)
def test_the_tables_agree_with_worked_examples_of_independent_texts(
    agent: CtAgent, organism: Organism, log: float, temperature: float, ph: float, residual: float, expected: float
) -> None:
    assert one(table_of(agent, organism), log, temperature, ph, residual) == (expected, CtReason.EVALUATED)


@pytest.mark.parametrize(
    ("between", "safe"),
    [
        ((14.9, 7.5, 1.2), (10.0, 7.5, 1.2)),
        ((15.0, 7.01, 1.2), (15.0, 7.5, 1.2)),
        ((15.0, 7.5, 1.01), (15.0, 7.5, 1.2)),
    ],
    ids=["temperature down", "pH up", "residual up"],
)
def test_between_cells_the_look_up_goes_to_the_safe_side(
    between: tuple[float, float, float], safe: tuple[float, float, float]
) -> None:
    assert one(GIARDIA, 3, *between) == one(GIARDIA, 3, *safe)


@pytest.mark.parametrize(
    ("beyond", "end"),
    [((-1.0, 7.5, 1.2), (0.5, 7.5, 1.2)), ((31.0, 7.5, 1.2), (25.0, 7.5, 1.2)), ((15.0, 7.5, 0.1), (15.0, 7.5, 0.4)), ((15.0, 7.5, 4.0), (15.0, 7.5, 3.0))],
    ids=["colder", "warmer", "weaker", "stronger"],
)  # fmt: skip
def test_beyond_the_ends_of_temperature_and_residual_the_end_counts(
    beyond: tuple[float, float, float], end: tuple[float, float, float]
) -> None:
    assert one(GIARDIA, 3, *beyond) == one(GIARDIA, 3, *end)


@pytest.mark.parametrize(
    ("ph", "reason"),
    [
        (5.999, CtReason.PH_TOO_LOW),
        (np.nextafter(9.0, 10.0), CtReason.PH_TOO_HIGH),
        (np.inf, CtReason.MISSING),
        (np.nan, CtReason.MISSING),
        (6.0, CtReason.EVALUATED),
        (9.0, CtReason.EVALUATED),
    ],
)
def test_outside_ph_6_to_9_nothing_is_extrapolated_and_a_reason_says_so(ph: float, reason: CtReason) -> None:
    ct, found = one(GIARDIA, 3, 15.0, ph, 1.0)
    assert found is reason
    assert np.isnan(ct) == (reason is not CtReason.EVALUATED)
    by_regression, why = smith_clark_ct(3, [15.0], [ph], [1.0])
    assert why[0] == reason
    assert np.isnan(by_regression[0]) == (reason is not CtReason.EVALUATED)


def test_viruses_by_free_chlorine_between_ph_9_and_10_get_the_column_of_ph_10() -> None:
    viruses = table_of(CtAgent.FREE_CHLORINE, Organism.VIRUS)
    assert one(viruses, 4, 10, 9.0, 1)[0] == 6
    assert one(viruses, 4, 10, 9.1, 1)[0] == 45
    assert one(viruses, 4, 10, 10.1, 1)[1] is CtReason.PH_TOO_HIGH


def test_a_missing_ph_or_residual_does_not_matter_where_the_table_ignores_it() -> None:
    assert one(table_of(CtAgent.CHLORAMINE, Organism.VIRUS), 4, 10, np.nan, np.nan) == (1491, CtReason.EVALUATED)
    assert one(table_of(CtAgent.FREE_CHLORINE, Organism.VIRUS), 4, 10, 7, np.nan) == (6, CtReason.EVALUATED)
    assert one(table_of(CtAgent.CHLORAMINE, Organism.VIRUS), 4, np.nan, 7, 1)[1] is CtReason.MISSING


def test_levels_between_the_tabulated_ones_use_the_next_and_above_the_last_there_is_none() -> None:
    viruses = table_of(CtAgent.FREE_CHLORINE, Organism.VIRUS)
    assert one(viruses, 2.5, 10, 7, 1)[0] == one(viruses, 3, 10, 7, 1)[0] == 4
    assert one(viruses, 0.5, 10, 7, 1)[0] == one(viruses, 2, 10, 7, 1)[0] == 3
    ct, reason = one(viruses, 4.1, 10, 7, 1)
    assert np.isnan(ct)
    assert reason is CtReason.NOT_TABULATED


def test_the_regression_is_never_below_the_table_and_at_most_18_percent_above() -> None:
    t, p, c, ct = np.array([[r.temperature_c, r.ph_max, r.residual_mg_l, r.ct_mg_min_l] for r in CELLS], dtype=float).T
    found, reason = smith_clark_ct(3.0, t, p, c)
    above = found / ct - 1.0
    assert (reason == CtReason.EVALUATED).all()
    assert 0.0 <= above.min() < 0.001
    assert 0.17 < above.max() < 0.175
    assert abs(above.mean() - 0.071) < 0.001


def test_inputs_of_different_lengths_are_an_error_that_names_them() -> None:
    with pytest.raises(ValueError, match=r"temperature \(2,\), ph \(3,\)"):
        ct_required(GIARDIA, 3, [1.0, 2.0], [7.0, 7.0, 7.0], 1.0)


@pytest.mark.parametrize("log", [0.0, -1.0, np.nan, np.inf])
def test_a_log_inactivation_that_is_no_positive_number_is_an_error(log: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        ct_required(GIARDIA, log, [10.0], [7.0], [1.0])
    with pytest.raises(ValueError, match="positive"):
        smith_clark_ct(log, [10.0], [7.0], [1.0])


def test_empty_columns_give_empty_results() -> None:
    assert ct_required(GIARDIA, 3, [], [], []).ct.shape == (0,)


def test_each_disinfectant_is_credited_with_the_agent_whose_residual_is_measured() -> None:
    agents = {disinfectant: CtAgent.of(disinfectant) for disinfectant in Disinfectant}
    assert agents[Disinfectant.MIXED_CLO2_CL2] is CtAgent.CHLORINE_DIOXIDE
    assert agents[Disinfectant.UV] is agents[Disinfectant.NONE] is None
    assert {a for a in agents.values() if a is not None} == set(CtAgent)


def test_a_table_with_faults_is_refused_with_all_of_them_at_once() -> None:
    lines = [
        HEADER,
        "a,free_chlorine,giardia,3,5,6,6,0.4,100,high,text,",
        "b,free_chlorine,giardia,3,10,6,6,0.4,120,high,text,",
        "c,free_chlorine,giardia,3,15,6,6,0.6,50,high,text,",
        "d,bromine,giardia,3,15,6,6,0.6,50,high,text,",
        "e,ozone,giardia,3,15,6,,,0.5,high,text,",
        "f,ozone,giardia,3,15,6,9,,-1,high,text,",
        "g,ozone,giardia,3,15,6,9,,1,sure,text,",
        "h,ozone,giardia,3,15,6,9,,1,high,,",
        "i,ozone,giardia,3,15,6,9,,1,high,text,",
        "i,ozone,giardia,3,15,6,9,,1,high,text,",
        "short",
    ]
    with pytest.raises(ConfigurationError) as refused:
        ct_rows_from("\n".join(lines))
    text = str(refused.value)
    for part in (":5: 'bromine'", ":6: pH from", ":7: log_ina", ":8: confidence 'sure'", ":9: id and source", ":11: 'i' has a row", ":12:", "stand twice", "3 of 6 cells are missing", "b and a: CT changes to the unsafe side"):  # fmt: skip
        assert part in text, (part, text)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no rows"):
        ct_rows_from(HEADER)
    with pytest.raises(ConfigurationError, match="no rows"):
        baffling_factors_from("id,factor")


def test_a_table_of_an_agent_without_rows_is_an_error() -> None:
    with pytest.raises(ValueError, match="no CT rows"):
        ct_table([], CtAgent.OZONE, Organism.VIRUS)
    with pytest.raises(ValueError, match="1 cells are missing"):
        ct_table(CELLS[1:], CtAgent.FREE_CHLORINE, Organism.GIARDIA)


def test_baffling_factors_go_from_unbaffled_to_plug_flow() -> None:
    factors = {key: row.factor for key, row in load_baffling_factors().items()}
    assert factors == {"unbaffled": 0.1, "poor": 0.3, "average": 0.5, "superior": 0.7, "plug_flow": 1.0}
    with pytest.raises(ConfigurationError, match=r"baffling_factors.csv:2: factor 1.1 is not"):
        baffling_factors_from("id,factor,name_zh,name_en,description_zh,description_en,source\nx,1.1,,,,,text")
