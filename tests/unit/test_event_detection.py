"""Event detection on series made by hand: what starts an event, what ends it, what is no event."""

import numpy as np
import pytest

from rules.events.detector import DetectorPlan, DetectorRows, DetectorState, RowVerdicts, SeriesFloor, new_state, step
from rules.events.settings import VOTE, EventSetting

MINUTE = 60_000
START = 1_700_000_000_000
DAY = 1440


def plan_of(width: int = 2, settings: tuple[EventSetting, ...] = VOTE) -> DetectorPlan:
    return DetectorPlan(("ph", "orp", "turbidity")[:width], (SeriesFloor(0.01),) * width, settings)


def calm(rows: int, width: int = 2) -> np.ndarray:
    """Noise of one floor around levels that differ; the seed is fixed."""
    return 7.0 + np.arange(width) + np.random.default_rng(5).normal(0.0, 0.01, (rows, width))


def judged(
    values: np.ndarray,
    spacing_ms: int = MINUTE,
    excused: np.ndarray | None = None,
    held: np.ndarray | None = None,
    state: DetectorState | None = None,
) -> RowVerdicts:
    plan = plan_of(values.shape[1])
    times = START + spacing_ms * np.arange(len(values), dtype=np.int64)
    return step(DetectorRows.of_one_works(times, values, excused, held), state or new_state(plan), plan)


def test_calm_water_is_no_event() -> None:
    verdicts = judged(calm(10 * DAY))
    assert not verdicts.event.any()
    assert verdicts.score.max() < 1


def test_a_step_of_one_series_is_an_event_from_the_third_minute_on_until_it_returns() -> None:
    values = calm(2 * DAY)
    values[2000:2020, 0] += 0.3
    event = judged(values).event
    assert np.flatnonzero(event).tolist() == list(range(2002, 2020))


def test_a_second_series_that_moves_too_corroborates_a_minute_earlier() -> None:
    values = calm(2 * DAY)
    values[2000:2020] += 0.3
    assert np.flatnonzero(judged(values).event)[0] == 2001


@pytest.mark.parametrize("length", [1, 2])
def test_a_spike_of_one_series_is_no_event(length: int) -> None:
    values = calm(2 * DAY)
    values[2000 : 2000 + length, 1] += 1.0
    assert not judged(values).event.any()


def test_the_series_that_moved_is_named_and_no_other() -> None:
    values = calm(2 * DAY)
    values[2000:2020, 1] += 0.4
    verdicts = judged(values)
    assert verdicts.contributors(2010, ("ph", "orp")) == ["orp"]
    assert verdicts.contributors(1000, ("ph", "orp")) == []


def test_rows_without_values_never_alarm_even_inside_an_event() -> None:
    values = calm(2 * DAY)
    values[2000:2020, 0] += 0.5
    values[2010:2012] = np.nan
    verdicts = judged(values)
    assert verdicts.event[2009]
    assert verdicts.event[2012]
    assert not verdicts.event[2010:2012].any()
    assert verdicts.score[2010:2012].tolist() == [0, 0]


def test_a_lasting_shift_is_taken_for_the_new_level_and_then_left_alone() -> None:
    values = calm(3 * DAY)
    values[2000:, 0] += 0.25
    event = judged(values).event
    assert event[2003]
    assert not event[2000 + 360 :].any()


def test_a_strong_shift_is_held_for_hours() -> None:
    values = calm(3 * DAY)
    values[2000:, 0] += 5.0
    event = judged(values).event
    assert event[2002 : 2000 + 235].all()
    assert not event[2000 + 480 :].any()


def test_slow_recovery_after_a_time_out_is_no_second_event() -> None:
    values = calm(3 * DAY)
    tail = np.arange(len(values) - 2000)
    values[2000:, 0] += 3.0 * np.exp(-tail / 200.0)
    event = judged(values).event
    runs = np.flatnonzero(np.diff(event.astype(int)) == 1)
    assert len(runs) == 1


def test_nothing_alarms_before_the_warm_up_has_passed() -> None:
    values = calm(200)
    values[30:50] += 2.0
    assert not judged(values).event[:60].any()


def test_while_disinfection_is_not_ok_a_lasting_loss_never_becomes_normal() -> None:
    values = calm(5 * DAY)
    values[2000:, 0] -= 0.5
    held = np.zeros(len(values), bool)
    held[2005:] = True
    event = judged(values, held=held).event
    assert event[2002:].all()
    assert not judged(values).event[2000 + 480 :].any()


def test_while_disinfection_is_not_ok_nothing_is_learnt() -> None:
    values = calm(2 * DAY)
    plan = plan_of()
    state = new_state(plan)
    judged(values, state=state)
    before = state.copy()
    late = START + MINUTE * (2 * DAY + np.arange(500, dtype=np.int64))
    drift = 7.0 + np.arange(2) + np.linspace(0, 0.05, 500)[:, None]
    step(DetectorRows.of_one_works(late, drift, held=np.ones(500, bool)), state, plan)
    assert state.tracks["base"].tolist() == before.tracks["base"].tolist()
    assert state.tracks["scale"].tolist() == before.tracks["scale"].tolist()


def test_what_a_pump_start_changes_starts_no_event_and_its_level_is_taken_as_it_is() -> None:
    values = calm(2 * DAY)
    values[2000:, 0] += 0.4
    excused = np.zeros(len(values), bool)
    excused[2000:2030] = True
    assert not judged(values, excused=excused).event.any()
    assert judged(values).event.any()


def test_a_pump_start_does_not_hide_an_event_that_is_already_there() -> None:
    values = calm(2 * DAY)
    values[2000:2020, 0] += 0.5
    excused = np.zeros(len(values), bool)
    excused[2010:2040] = True
    assert judged(values, excused=excused).event[2002:2020].all()


def test_an_event_during_disinfection_loss_is_not_taken_as_the_level_of_a_pump() -> None:
    values = calm(2 * DAY)
    values[2000:, 0] -= 0.5
    excused, held = np.zeros(len(values), bool), np.zeros(len(values), bool)
    excused[2000:2030] = True
    held[2000:] = True
    assert judged(values, excused=excused, held=held).event[2035:].all()


@pytest.mark.parametrize("minutes", [15, 20])
def test_slow_data_show_a_step_at_its_second_reading_and_stay_calm_otherwise(minutes: int) -> None:
    values = calm(2000)
    values[1000:1012, 0] += 0.4
    event = judged(values, minutes * MINUTE).event
    assert np.flatnonzero(event)[0] == 1001
    assert event[1001:1010].all()
    assert not event[1015:].any()
    assert not event[:1000].any()


def test_after_a_gap_of_hours_the_level_found_is_taken_as_it_is() -> None:
    plan = plan_of()
    values = calm(2 * DAY)
    values[2000:] += 0.5
    times = START + MINUTE * np.arange(len(values), dtype=np.int64)
    times[2000:] += 6 * 3600_000
    assert not step(DetectorRows.of_one_works(times, values), new_state(plan), plan).event.any()


def test_times_that_go_back_or_stand_still_are_judged_like_the_newest() -> None:
    plan = plan_of()
    values = calm(2 * DAY)
    times = START + MINUTE * np.arange(len(values), dtype=np.int64)
    times[1500:1600] -= 3600_000
    times[1700:1720] = times[1700]
    assert not step(DetectorRows.of_one_works(times, values), new_state(plan), plan).event.any()


def test_works_do_not_touch_each_other() -> None:
    plan = plan_of()
    quiet, loud = calm(2 * DAY), calm(2 * DAY)
    loud[2000:2020] += 0.5
    rows = 2 * len(quiet)
    both = np.empty((rows, 2))
    both[0::2], both[1::2] = quiet, loud
    times = np.repeat(START + MINUTE * np.arange(len(quiet), dtype=np.int64), 2)
    none = np.zeros(rows, bool)
    verdicts = step(
        DetectorRows(np.arange(rows, dtype=np.int64) % 2, times, both, none, none), new_state(plan, 2), plan
    )
    assert not verdicts.event[0::2].any()
    assert verdicts.score[1::2].tolist() == judged(loud).score.tolist()


def test_a_row_is_an_event_only_where_a_majority_of_the_settings_alarms() -> None:
    values = calm(2 * DAY, 1)
    values[2000:2020, 0] += np.linspace(0.1, 0.2, 20)
    verdicts = judged(values)
    majority = verdicts.votes[:, 0] > len(VOTE) // 2
    assert majority[verdicts.event].all()
    # A series alone counts from its third reading on, one after the majority for it has formed.
    assert verdicts.event[2001:2020].tolist() == (majority[2001:2020] & majority[2000:2019]).tolist()
    assert 0 < verdicts.event[2000:2020].sum() < 18
    assert 0 < verdicts.votes[2000:2020, 0].min() + 1 < verdicts.votes[2000:2020, 0].max()


def test_no_columns_and_no_rows_are_no_events() -> None:
    assert judged(np.empty((0, 2))).score.shape == (0,)
    assert judged(np.full((5, 2), np.nan)).score.tolist() == [0] * 5


def test_a_plan_with_wrong_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="odd number"):
        plan_of(2, VOTE[:2])
    with pytest.raises(ValueError, match="2 columns, 1 floors"):
        DetectorPlan(("ph", "orp"), (SeriesFloor(0.01),))
    with pytest.raises(ValueError, match="must be above 0"):
        SeriesFloor(0.0)
    with pytest.raises(ValueError, match="3 columns of values"):
        step(DetectorRows.of_one_works(np.zeros(1, np.int64), np.zeros((1, 3))), new_state(plan_of()), plan_of())


def folded(rows: list[tuple[int, float]]) -> DetectorState:
    """State of one series after readings at so many seconds, under the first setting alone."""
    plan = plan_of(1, VOTE[:1])
    state = new_state(plan)
    times = START + 1000 * np.array([at for at, _ in rows], np.int64)
    step(DetectorRows.of_one_works(times, np.array([[value] for _, value in rows])), state, plan)
    return state


def test_the_usual_level_does_not_follow_an_event_nor_the_reading_that_ends_it() -> None:
    values = calm(2 * DAY, 1)[:, 0]
    values[2000:2020] += 0.5
    rows = [(60 * n, value) for n, value in enumerate(values.tolist())]
    modes, bases = {}, {}
    for until in range(1999, 2032):
        track = folded(rows[:until]).tracks.reshape(-1)[0]
        modes[until], bases[until] = int(track["mode"]), float(track["base"])
    began = next(n for n in range(2000, 2032) if modes[n])
    ended = next(n for n in range(began, 2032) if not modes[n])
    assert 2001 <= began < 2020 < ended
    assert {bases[n] for n in range(began - 1, ended + 1)} == {bases[began - 1]}
    assert bases[ended + 1] != bases[ended]


def test_readings_of_the_same_second_are_no_cadence() -> None:
    rows = [(60 * n, 7.0) for n in range(100)]
    once, twice = (state.series.reshape(-1)[0]["spacing"] for state in (folded(rows), folded([*rows, rows[-1]])))
    assert once == twice == 60


def test_after_a_long_silence_the_level_is_the_mean_of_the_first_two_readings() -> None:
    rows = [(60 * n, 7.0) for n in range(3000)]
    later = rows[-1][0] + 86_400
    track = folded([*rows, (later, 7.4), (later + 60, 7.2)]).tracks.reshape(-1)[0]
    assert track["base"] == pytest.approx(7.3)
