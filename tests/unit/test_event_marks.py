"""What users' marks change, and what they must not."""

from rules.events.marks import Mark, MarkVerdict, calibrated_threshold, is_silenced, real_share

REAL, FALSE = MarkVerdict.REAL, MarkVerdict.FALSE


def marks(real: list[float], false: list[float]) -> list[Mark]:
    verdicts = [(peak, REAL) for peak in real] + [(peak, FALSE) for peak in false]
    return [Mark(n, peak, verdict) for n, (peak, verdict) in enumerate(verdicts)]


def test_twenty_nine_verdicts_change_nothing() -> None:
    assert calibrated_threshold(marks([3.0] * 9, [1.1] * 20)) == 1.0
    assert not is_silenced(marks([], [1.1] * 29))
    assert real_share(marks([3.0] * 29, [])) is None


def test_thirty_verdicts_raise_the_threshold_above_false_events_and_below_real_ones() -> None:
    assert calibrated_threshold(marks([1.8] * 10, [1.1] * 20)) == 1.8


def test_at_least_95_percent_of_the_real_events_stay_shown() -> None:
    real = [1.0 + 0.01 * n for n in range(40)]
    threshold = calibrated_threshold(marks(real, [1.01] * 20))
    assert sum(peak >= threshold for peak in real) == 38


def test_the_threshold_never_more_than_doubles_and_never_falls() -> None:
    assert calibrated_threshold(marks([9.0] * 10, [5.0] * 10 + [1.2] * 10)) == 2.0
    assert calibrated_threshold(marks([1.0] * 10, [1.2] * 20)) == 1.0
    assert calibrated_threshold(marks([2.0] * 10, [1.1] * 20), threshold=1.5) == 1.5


def test_without_a_false_event_there_is_nothing_to_raise_for() -> None:
    assert calibrated_threshold(marks([2.0] * 40, [])) == 1.0


def test_a_detector_is_silenced_below_a_fifth_of_its_last_thirty_verdicts() -> None:
    assert is_silenced(marks([2.0] * 5, [1.1] * 25))
    assert not is_silenced(marks([2.0] * 6, [1.1] * 24))


def test_only_the_newest_thirty_verdicts_count_whatever_their_order() -> None:
    old = [Mark(n, 1.1, FALSE) for n in range(100)]
    new = [Mark(1000 + n, 2.0, REAL) for n in range(30)]
    assert not is_silenced([*new, *old])
    assert real_share([*new, *old]) == 1.0
