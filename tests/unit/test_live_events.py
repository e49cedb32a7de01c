"""Live event detection: rows put together from readings, events out of rows."""

import numpy as np
import pytest

from rules.events.detector import SeriesFloor
from rules.events.live import (
    HOLD_MS,
    LEARNING_MS,
    LONGEST_HOLD_MS,
    MERGE_MS,
    EventChange,
    LivePlan,
    LiveReadings,
    LiveState,
    WatchedPoint,
    fold_readings,
)
from rules.events.live_plan import OPERATIONS_PER_WORKS

MINUTE = 60_000
KEY = ("520425", "W0001", "outlet")
COLUMNS = ("turbidity", "ph")
FLOORS = (SeriesFloor(0.02), SeriesFloor(0.02))


def plan(*operations: str) -> LivePlan:
    return LivePlan([WatchedPoint(KEY, 0, COLUMNS, FLOORS, operations)])


def day(event: slice = slice(0, 0), *, minutes: int = 1440, cadence: int = MINUTE) -> LiveReadings:
    """Quiet water with noise; pH and turbidity jump within ``event`` (rows)."""
    rng = np.random.default_rng(5)
    n = minutes * MINUTE // cadence
    values = np.c_[0.3 + 0.01 * rng.standard_normal(n), 7.2 + 0.01 * rng.standard_normal(n)]
    values[event] += (1.0, 0.6)
    at = np.repeat(np.arange(n) * cadence, 2)
    return LiveReadings(np.zeros(2 * n, np.int64), np.tile([0, 1], n), at, values.ravel(), at)


def folded(readings: LiveReadings, size: int = 10**9, **more: object) -> tuple[dict[int, EventChange], LiveState]:
    """Newest word about every event, by its start."""
    one, state = plan(), LiveState(plan())
    events: dict[int, EventChange] = {}
    for k in range(0, len(readings.at), size):
        part = readings.of(np.arange(k, min(k + size, len(readings.at))))
        for change in fold_readings(part, state, one, int(part.at.max()), **more):  # type: ignore[arg-type]
            events[change.start] = change
    return events, state


def test_an_event_has_start_end_score_and_contributors():
    events, _ = folded(day(slice(700, 715)))
    (event,) = events.values()
    assert abs(event.start - 700 * MINUTE) <= 2 * MINUTE
    assert event.end is not None
    assert abs(event.end - 714 * MINUTE) <= 2 * MINUTE
    assert event.peak >= 1
    assert {name for name, _ in event.contributors} == set(COLUMNS)


def test_quiet_water_has_no_events():
    assert folded(day())[0] == {}


def test_any_split_gives_the_same_events():
    whole, _ = folded(day(slice(700, 715)))
    for size in (1, 7, 500):
        assert folded(day(slice(700, 715)), size)[0] == whole


def test_order_within_the_hold_and_repetition_change_nothing():
    readings = day(slice(700, 715))
    rng = np.random.default_rng(1)
    jitter = np.argsort(readings.at + rng.integers(0, HOLD_MS, len(readings.at)), kind="stable")
    twice = np.sort(np.r_[jitter, jitter[::5]])
    assert folded(readings.of(jitter), 40)[0] == folded(readings)[0]
    assert folded(readings.of(twice), 40)[0] == folded(readings)[0]


def test_what_was_overtaken_is_counted_and_changes_nothing():
    readings = day(slice(700, 715))
    behind = readings.of(np.arange(200, 220))
    events, state = folded(readings.with_more(behind), 400)
    assert state.overtaken == 20
    assert events == folded(readings)[0]


def test_a_buffered_upload_is_judged_at_its_own_time_and_marked_late():
    readings, one = day(slice(700, 715)), plan()
    state = LiveState(one)
    stored = LiveReadings(readings.point, readings.column, readings.at, readings.value, readings.at + 86_400_000)
    changes = fold_readings(stored, state, one, 3 * 86_400_000, lateness=np.array([600_000]))
    assert changes
    assert all(change.late for change in changes)
    assert abs(changes[0].start - 700 * MINUTE) <= 2 * MINUTE


def test_lasting_loss_is_never_taken_for_normal_while_disinfection_is_not_ok():
    lasting = day(slice(700, 1440))
    # Learnt before, held from the change on.
    one, state = plan(), LiveState(plan())
    early, late = lasting.of(np.arange(0, 1396)), lasting.of(np.arange(1396, len(lasting.at)))
    fold_readings(early, state, one, 0)
    changes = fold_readings(late, state, one, 0, held=np.array([True]))
    assert [change.end for change in changes] == [None]
    assert changes[0].held
    assert changes[0].evidence_at >= 1435 * MINUTE
    free, _ = folded(lasting)
    assert max(event.evidence_at for event in free.values()) < 1435 * MINUTE


def test_a_pump_start_excuses_the_changes_it_makes():
    one = plan("flow")
    readings = day(slice(700, 715))
    n = 1440
    flow = np.where((np.arange(n) >= 680) & (np.arange(n) < 699), 0.0, 50.0)
    at = np.arange(n) * MINUTE
    pump = LiveReadings(np.zeros(n, np.int64), np.full(n, one.width), at, flow, at)
    assert fold_readings(readings.with_more(pump), LiveState(one), one, 0) == []


def test_quarter_hourly_readings_show_an_event_of_hours_and_no_more():
    events, _ = folded(day(slice(700, 712), minutes=10 * 1440, cadence=15 * MINUTE))
    assert len(events) == 1
    (event,) = events.values()
    assert event.start - 700 * 15 * MINUTE in (0, 15 * MINUTE)


def test_a_changed_register_keeps_the_state_of_points_that_stay():
    readings, one = day(slice(700, 715)), plan()
    state = LiveState(one)
    half = len(readings.at) // 2 - 30
    seen = fold_readings(readings.of(np.arange(half)), state, one, 0)
    other = WatchedPoint(("520425", "W0000", "outlet"), 0, ("ph",), FLOORS[:1])
    after = LivePlan([other, WatchedPoint(KEY, 1, COLUMNS, FLOORS)])
    state = state.carried(one, after)
    rest = readings.of(np.arange(half, len(readings.at)))
    moved = LiveReadings(rest.point + 1, rest.column, rest.at, rest.value, rest.received)
    seen += fold_readings(moved, state, after, 0)
    assert {e.start: e for e in seen} == folded(readings)[0]


def test_events_closer_than_the_merging_time_are_one():
    readings = day(slice(700, 715))
    again = readings.value.reshape(-1, 2)
    again[740:755] += (1.0, 0.6)
    events, _ = folded(readings)
    assert len(events) == 1
    assert MERGE_MS > 25 * MINUTE


def test_the_last_rows_of_a_works_that_falls_silent_are_judged_and_its_event_ends():
    readings, one = day(slice(700, 715)), plan()
    state, cut, window = LiveState(one), 2 * 706, np.array([600_000])
    (lasting,) = fold_readings(readings.of(np.arange(cut)), state, one, 706 * MINUTE, lateness=window)
    assert lasting.end is None
    assert lasting.evidence_at == 703 * MINUTE
    (last,) = fold_readings(LiveReadings.none(), state, one, 706 * MINUTE + LONGEST_HOLD_MS, lateness=window)
    assert (last.end, last.evidence_at) == (None, 705 * MINUTE)
    (ended,) = fold_readings(LiveReadings.none(), state, one, 706 * MINUTE + MERGE_MS + 700_000, lateness=window)
    assert ended.end == 705 * MINUTE
    assert fold_readings(LiveReadings.none(), state, one, 9_000 * MINUTE, lateness=window) == []


def test_an_event_that_goes_on_after_a_silence_is_the_same_event():
    readings, one = day(slice(700, 715)), plan()
    state, cut = LiveState(one), 2 * 706
    fold_readings(readings.of(np.arange(cut)), state, one, 706 * MINUTE)
    fold_readings(LiveReadings.none(), state, one, 2_000 * MINUTE)
    rest = fold_readings(readings.of(np.arange(cut, len(readings.at))), state, one, 2_001 * MINUTE)
    assert {change.start: change for change in rest} == folded(readings)[0]


def test_a_point_that_falls_silent_at_a_works_that_goes_on_has_its_event_ended():
    other = WatchedPoint((*KEY[:2], "source"), 0, COLUMNS, FLOORS)
    one = LivePlan([WatchedPoint(KEY, 0, COLUMNS, FLOORS), other])
    state, readings = LiveState(one), day(slice(700, 715))
    quiet = day()
    beside = LiveReadings(quiet.point + 1, quiet.column, quiet.at, quiet.value, quiet.received)
    changes = fold_readings(readings.of(np.arange(2 * 706)).with_more(beside), state, one, 1_440 * MINUTE)
    assert changes[-1].key == KEY
    assert changes[-1].end == 705 * MINUTE


def test_a_works_whose_readings_come_out_of_order_is_waited_for():
    readings = day(slice(700, 715))
    rng = np.random.default_rng(1)
    jitter = np.argsort(readings.at + np.repeat(rng.integers(0, LONGEST_HOLD_MS, 1440), 2), kind="stable")
    events, state = folded(readings.of(jitter), 6)
    assert state.overtaken < 20
    assert events == folded(readings)[0]


def test_a_buffered_upload_is_not_taken_for_disorder():
    readings = day()
    hours_late = readings.of(np.r_[0:200, 1000:1200, 200:1000])
    _, state = folded(hours_late, 50)
    assert (state.disorder < 0).all()


def test_a_young_series_learns_even_while_disinfection_is_not_ok_and_alarms_for_hours_at_most():
    readings = day()
    # The first readings are those of a probe that settles.
    readings.value.reshape(-1, 2)[:10] += (2.0, 1.5)
    events, _ = folded(readings, held=np.array([True]))
    assert all(event.end is not None and event.end < 6 * 60 * MINUTE for event in events.values())


def test_an_event_is_not_late_because_it_was_read_late_from_the_log():
    readings, one = day(slice(700, 715)), plan()
    changes = fold_readings(readings, LiveState(one), one, 3 * 86_400_000, lateness=np.array([600_000]))
    assert changes
    assert not any(change.late for change in changes)


def test_nothing_is_told_of_a_point_whose_usual_variation_is_not_known_yet():
    assert folded(day(slice(200, 215)))[0] == {}
    assert len(folded(day(slice(LEARNING_MS // MINUTE, LEARNING_MS // MINUTE + 15)))[0]) == 1


def test_places_of_points_and_works_are_found_by_name() -> None:
    keys = [("520425", "A", "outlet"), ("520425", "A", "source"), ("520425", "B", "outlet"), ("520499", "A", "outlet")]
    works = [0, 0, 1, 2]
    live = LivePlan(
        [WatchedPoint(key, number, COLUMNS, FLOORS, ("flow", "power")) for key, number in zip(keys, works, strict=True)]
    )
    assert [live.index(key) for key in keys] == [0, 1, 2, 3]
    assert [live.works_number(county, name) for county, name, _ in keys] == works
    assert live.place(keys[1], COLUMNS[1]) == (1, 1)
    # Flows of a works' points lie one behind the other.
    assert [live.place(key, "power") for key in keys[:3]] == [
        (0, live.width + 1), (1, live.width + 3), (2, live.width + 1)
    ]  # fmt: skip
    assert live.flows == 4
    for unknown in (("520425", "A", "network"), ("520425", "C", "outlet"), ("530000", "A", "outlet")):
        assert live.index(unknown) == -1
        assert live.place(unknown, COLUMNS[0]) == (-1, -1)
    assert live.place(keys[0], "conductivity") == (-1, -1)
    assert live.works_number("520425", "C") == live.works_number("530000", "A") == -1


def test_flows_beyond_those_followed_are_left_out() -> None:
    names = tuple(f"flow{n}" for n in range(8))
    live = LivePlan([WatchedPoint(KEY, 0, COLUMNS, FLOORS, names)])
    assert live.flows == OPERATIONS_PER_WORKS
    found = [live.place(KEY, name) for name in names]
    assert found == [(0, live.width + n) for n in range(OPERATIONS_PER_WORKS)] + [(-1, -1), (-1, -1)]


def test_points_of_a_works_must_lie_side_by_side() -> None:
    points = [
        WatchedPoint(("520425", name, point), number, COLUMNS, FLOORS)
        for name, point, number in (("A", "outlet", 0), ("B", "outlet", 1), ("A", "source", 0))
    ]
    with pytest.raises(ValueError, match="works A of county 520425 do not lie side by side"):
        LivePlan(points)


def test_flows_keep_what_is_known_when_another_works_follows_more() -> None:
    before = plan("flow")
    state = LiveState(before)
    state.operations.flows.view(np.uint8)[:] = 7
    more = WatchedPoint(("520425", "W9", "outlet"), 1, COLUMNS, FLOORS, ("flow", "power", "doser_running"))
    after = LivePlan([WatchedPoint(KEY, 0, COLUMNS, FLOORS, ("flow",)), more])
    carried = state.carried(before, after)
    flows = carried.operations.flows.reshape(2, after.flows)
    assert flows[0, 0] == state.operations.flows[0]
    assert not flows[0, 1:].view(np.uint8).any()
    assert not flows[1].view(np.uint8).any()
