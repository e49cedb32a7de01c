"""The watchdog's judging on a time axis, and its table."""

from pathlib import Path

import pytest

from alerts.operations import load_operations
from alerts.operations_words import PHRASES, operations_message
from alerts.templates import load_templates
from alerts.watch import Judge
from alerts.wording import sms_safe
from qingquan.domain.findings import Severity
from qingquan.domain.operations import Change, Condition, Measure, Side, Watch
from qingquan.errors import ConfigurationError

NOW = 1_782_000_000_000
LAG = Watch("evaluator_stuck", "evaluator_age_seconds", Side.ABOVE, 60, 10, 30, 60, Severity.CRITICAL, True)
LOG = Watch("log_down", "log_up", Side.BELOW, 1, 1, 30, 60, Severity.CRITICAL, True)


def told(
    judge: Judge, *rounds: tuple[float, float], measure: str = "evaluator_age_seconds"
) -> list[tuple[float, bool]]:
    """What is told, and when, of (seconds, value)."""
    found = []
    for at_s, value in rounds:
        for change in judge.judge([Measure(measure, value)], at_s, NOW + round(at_s * 1000)):
            found.append((at_s, change.is_firing))
    return found


def test_a_measure_must_stay_beyond_its_bound_before_anybody_is_told() -> None:
    assert told(Judge([LAG]), (0, 61), (25, 70), (29, 70)) == []
    assert told(Judge([LAG]), (0, 61), (25, 70), (30, 70), (600, 900)) == [(30, True)]


def test_a_moment_within_bounds_begins_the_wait_anew() -> None:
    assert told(Judge([LAG]), (0, 61), (25, 5), (26, 61), (50, 61)) == []


def test_recovery_needs_the_lower_bound_for_its_time() -> None:
    rounds = ((0, 100), (30, 100), (40, 50), (200, 50), (201, 9), (230, 9), (240, 20), (250, 9), (309, 9), (310, 9))
    assert told(Judge([LAG]), *rounds) == [(30, True), (310, False)]


def test_what_cannot_be_measured_neither_raises_nor_clears_and_is_unknown() -> None:
    judge = Judge([LAG])
    assert told(judge, (0, 100), (30, 100)) == [(30, True)]
    for at_s in range(35, 300, 5):
        assert judge.judge([], at_s, NOW) == []
    assert [one.condition for one in judge.standings()] == [Condition.FIRING]
    assert [one.condition for one in Judge([LAG]).standings()] == [Condition.UNKNOWN]


def test_a_restart_tells_of_nothing_a_second_time_and_still_tells_of_the_end() -> None:
    judge = Judge([LAG], {"evaluator_stuck": 17, "log_full": 3})
    assert told(judge, (0, 500), (300, 500)) == []
    assert told(judge, (301, 1), (361, 1)) == [(361, False)]


def test_each_label_stands_for_itself() -> None:
    silent = Watch("service_silent", "service_age_seconds", Side.ABOVE, 60, 30, 0, 0, Severity.MAJOR, True)
    judge = Judge([silent])
    changes = judge.judge(
        [Measure("service_age_seconds", 90, "web"), Measure("service_age_seconds", 3, "alerter")], 0, NOW
    )
    assert [change.cause for change in changes] == ["service_silent:web"]


def test_the_heartbeat_waits_for_every_link_of_the_chain_to_be_known_good() -> None:
    judge = Judge([LAG, LOG])
    assert judge.breaks_chain() == ["evaluator_stuck", "log_down"], "nothing is known yet"
    judge.judge([Measure("log_up", 1), Measure("evaluator_age_seconds", 0)], 0, NOW)
    assert judge.breaks_chain() == []
    judge.judge([Measure("log_up", 0), Measure("evaluator_age_seconds", 0)], 5, NOW)
    assert judge.breaks_chain() == ["log_down"], "at once, before anybody is told"
    judge.judge([Measure("log_up", 1)], 10, NOW)
    assert judge.breaks_chain() == ["evaluator_stuck"], "unknown again"


def test_the_shipped_table_watches_every_link_from_device_to_person() -> None:
    plan = load_operations()
    chain = {watch.cause for watch in plan.watches if watch.stops_heartbeat}
    assert chain == {
        "log_down", "log_self_test", "database_down", "store_down", "evaluator_stuck", "recorder_stuck", "outbox_stuck", "service_silent",
    }  # fmt: skip
    assert {watch.cause for watch in plan.watches} == set(PHRASES["zh"]) == set(PHRASES["en"])


def test_all_faults_of_a_table_are_told_at_once_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "operations.toml"
    path.write_text(
        """
unknown = 1
services = "all"
disks = [3]
[watch]
log_down = { measure = "log_up", below = 1, clear = 0.5, for_s = 30, clear_s = 60, severity = "critical" }
log_full = { measure = "fullness", above = 1, below = 2, clear = "x", for_s = -1, clear_s = 60, severity = "loud", heartbeat = 3 }
nonsense = { measure = "log_up" }
[[contact]]
name = ""
ways = ["pigeon:1"]
[[sender]]
name = "a b"
secret = "short"
every_s = 0
""",
        encoding="utf-8",
    )
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as refused:
        load_operations(str(path))
    faults = "\n".join(refused.value.faults)
    for words in (
        "unknown key 'unknown'", "services = 'all'", "disks = [3]", "watch.log_down.clear = 0.5: allowed: 1 or more", "one of above, below",
        "measure = 'fullness'", "severity = 'loud'", "clear = 'x'", "for_s = -1", "heartbeat = 3", "nonsense: unknown cause", "name = ''",
        "pigeon:1", "name = 'a b'", "secret = ***: allowed: 16 characters", "every_s = 0",
    ):  # fmt: skip
        assert words in faults
    assert "short" not in faults


def test_secrets_of_senders_may_not_lie_open(tmp_path: Path) -> None:
    path = tmp_path / "operations.toml"
    path.write_text('[[sender]]\nname = "puding"\nsecret = "0123456789abcdef"\n', encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0600"):
        load_operations(str(path))
    path.chmod(0o600)
    assert load_operations(str(path)).senders[0].late_after_s == 180


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_alert_fits_the_sms_templates(language: str) -> None:
    lengths = load_templates()["alarm"].lengths
    for watch in load_operations().watches:
        for is_firing in (True, False):
            label = ":evaluator" if watch.cause.startswith("service") else ""
            change = Change(watch.cause + label, watch, is_firing, NOW, NOW + 60_000, 7_261.0)
            body, params = operations_message(
                change, 7, language=language, time_zone="Asia/Shanghai", public_url="http://q.local"
            )
            assert params["template"] == ("alarm" if is_firing else "recovery")
            assert all(value and len(value) <= lengths[key] for key, value in params.items() if key in lengths)
            assert "http://q.local/incidents/7" in body
        action = PHRASES[language][watch.cause].action
        assert len(action) <= 35
        assert sms_safe(action) == action
