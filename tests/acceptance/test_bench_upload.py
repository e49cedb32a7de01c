"""A buffered upload in miniature, through real log, evaluator, recorder, compliance worker and alerter. Nothing is asserted of its speed."""

from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.upload import run_upload


@pytest.mark.proof
def test_late_uploads_are_stored_once_reckoned_again_and_raise_no_alarm_of_the_past(tmp_path: Path) -> None:
    result = run_upload(
        Config(), gateways=12, hours=4.0, works=20, live_per_s=200, seconds=6.0, alarms=2, folder=tmp_path
    )
    assert result["uploaded"] == result["stored"] == 12 * 240 * 5
    assert (result["duplicated"], result["conflicts"], result["messages_for_the_past"]) == (0, 0, 0)
    assert result["duplicates_refused"] == result["repeated"] > 0
    assert result["compliance_recomputed"] == 12
    assert result["live_alarms_told"] == 2
    assert result["late_findings"] >= 2
    assert result["restarts"] == 0
