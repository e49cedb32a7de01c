"""The comparison with ioos_qc and pecos is made of equal results."""

import pytest

from qingquan.services.bench.quality import missing_packages, run_quality


@pytest.mark.skipif(bool(missing_packages()), reason=f"not installed: {', '.join(missing_packages())}")
def test_the_same_flags_in_a_fiftieth_of_the_time() -> None:
    result = run_quality(6_000)
    assert result["equal"] is True
    assert result["equal_pecos"] is True
    assert all(count > 0 for name, count in result["flagged"].items() if name != "attenuated_signal")
    assert result["readings_per_s"] > 0
    assert result["ratio"] > 1
