"""The two measurements of alerting, small: what they count is what happened."""

import json

from typer.testing import CliRunner

from qingquan.cli.application import app
from qingquan.config import Config
from qingquan.services.bench.storm import _duplicates, run_storm


def test_a_small_storm_reaches_everybody_within_the_providers_limits() -> None:
    result = run_storm(Config(), works=6, within_s=2.0, afterwards_s=60.0)
    assert (result["critical"], result["delivered"], result["not_sent"], result["waiting"]) == (6, 6, 0, 0)
    assert (result["quota_exceeded"], result["duplicates"], result["not_in_group"]) == (0, 0, 0)
    assert 10 <= result["digest_s"] <= 60
    assert result["accepted_at_the_double"]["aliyun_sms"] >= 6


def test_what_a_phone_got_twice_is_counted() -> None:
    one = {"channel": "aliyun_sms", "to": "1", "out_id": "a", "text": "x"}
    post = {"channel": "wecom_robot", "to": "g", "out_id": "", "text": "x"}
    assert _duplicates([one, {**one, "text": "y"}, {**one, "out_id": "b"}, post, post, {**post, "text": "z"}]) == 2


def test_a_small_province_has_its_figures() -> None:
    done = CliRunner().invoke(app, ["bench", "province", "--works", "120", "--hours", "3"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["works"], result["simulated_share"], result["false_criticals"]) == (120, 1.0, 0)
    assert result["faults"] >= 1
    assert result["messages_per_person_day"]["on_file"] > 120
    assert result["readings"] > 120 * 3 * 60
