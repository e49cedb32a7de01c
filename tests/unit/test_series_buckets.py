"""Aggregates over steps: vectors by hand."""

from math import nan

import numpy as np
import pytest

from qingquan.store.series.buckets import aggregated, check_aggregation


def test_buckets_start_at_multiples_of_the_step_even_before_the_first_reading() -> None:
    at, columns = aggregated(np.array([7, 9, 10]), np.array([1.0, 3.0, 5.0]), np.array([1, 1, 1]), 5, ("mean", "count"))
    assert at.tolist() == [5, 10]
    assert columns["mean"].tolist() == [2.0, 5.0]
    assert columns["count"].tolist() == [2.0, 1.0]


def test_missing_and_failed_readings_do_not_count_and_suspect_ones_do() -> None:
    values = np.array([1.0, 100.0, nan, 3.0, 50.0])
    flags = np.array([1, 4, 9, 3, 9])
    at, columns = aggregated(np.arange(5), values, flags, 10, ("min", "max", "count"))
    assert at.tolist() == [0]
    assert [columns[name].tolist() for name in ("min", "max", "count")] == [[1.0], [3.0], [2.0]]


def test_nothing_usable_gives_no_bucket() -> None:
    at, columns = aggregated(np.array([1]), np.array([nan]), np.array([9]), 10, ("mean",))
    assert len(at) == len(columns["mean"]) == 0


@pytest.mark.parametrize(("step", "aggregates"), [(0, ("mean",)), (5, ("p95",)), (5, ())])
def test_senseless_aggregations_are_refused(step: int, aggregates: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be positive|allowed"):
        check_aggregation(step, aggregates)
