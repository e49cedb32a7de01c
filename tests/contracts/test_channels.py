"""Every channel against the gateway double: what the provider says, and what it means for the message."""

import json
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import httpx2
import pytest

from alerts.channels.aliyun_sms import AliyunSms
from alerts.channels.base import Channel, ErrorClass, Verdict
from alerts.channels.wecom_robot import WecomRobot
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.testing.gateways import RunningDouble, outbox_message, running_double

SHORT_S = 0.6


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningDouble]:
    with running_double() as running:
        yield running


@dataclass(frozen=True)
class Case:
    """A channel with what is its own about it."""

    name: str
    throttle_code: int | str
    content_code: int | str

    def channel(self, gateway: RunningDouble, **options: float) -> Channel:
        make: Callable[..., Channel] = gateway.robot if self.name == WECOM_ROBOT else gateway.sms
        return make(**options)


CASES = (Case(WECOM_ROBOT, 45009, 40058), Case(SMS, "isv.BUSINESS_LIMIT_CONTROL", "isv.SMS_TEMPLATE_ILLEGAL"))


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, gateway: RunningDouble) -> Case:
    gateway.double.messages.clear()
    for queue in gateway.double.faults.values():
        queue.clear()
    gateway.double._robot_calls.clear()
    gateway.double._sms_calls.clear()
    found: Case = request.param
    return found


def test_an_accepted_message_is_kept_as_the_receiver_reads_it(case: Case, gateway: RunningDouble) -> None:
    outcome = case.channel(gateway).send(outbox_message(case.name))
    assert outcome.verdict is Verdict.ACCEPTED
    assert "青山镇城东水厂" in gateway.texts(case.name)[0]


def test_http_200_with_a_throttling_code_is_no_success(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="code", code=case.throttle_code)
    outcome = case.channel(gateway).send(outbox_message(case.name))
    assert outcome.error_class is ErrorClass.LIMIT
    assert str(case.throttle_code) in outcome.reason
    assert gateway.texts(case.name) == []


def test_http_200_with_a_content_code_is_a_refusal_of_the_content(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="code", code=case.content_code)
    outcome = case.channel(gateway).send(outbox_message(case.name))
    assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.CONTENT)


def test_no_answer_after_the_request_was_written_is_unknown(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="hang_up", seconds=3)
    outcome = case.channel(gateway, timeout_s=SHORT_S).send(outbox_message(case.name))
    assert outcome.verdict is Verdict.UNKNOWN
    assert len(gateway.texts(case.name)) == 1, "the double did take it"


def test_a_body_that_drips_beyond_the_time_limit_is_unknown(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="slow_body", seconds=0.2)
    outcome = case.channel(gateway, timeout_s=SHORT_S).send(outbox_message(case.name))
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.detail == "answer too slow"


@pytest.mark.parametrize("kind", ["garbage", "html"])
def test_an_answer_that_is_not_the_providers_is_unknown(case: Case, gateway: RunningDouble, kind: str) -> None:
    gateway.fault(case.name, kind=kind)
    assert case.channel(gateway).send(outbox_message(case.name)).verdict is Verdict.UNKNOWN


def test_a_right_answer_with_a_wrong_content_type_counts(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="wrong_type")
    assert case.channel(gateway).send(outbox_message(case.name)).verdict is Verdict.ACCEPTED


def test_a_refusal_with_a_wrong_content_type_is_no_success(case: Case, gateway: RunningDouble) -> None:
    gateway.fault(case.name, kind="wrong_type")
    outcome = case.channel(gateway).send(replace(outbox_message(case.name), receiver="12", body=""))
    assert outcome.verdict is Verdict.REFUSED


def test_a_server_error_may_be_retried_only_where_nothing_can_have_been_sent_twice(
    case: Case, gateway: RunningDouble
) -> None:
    gateway.fault(case.name, kind="http", status=503)
    channel = case.channel(gateway)
    outcome = channel.send(outbox_message(case.name))
    if channel.can_be_asked:
        assert outcome.verdict is Verdict.UNKNOWN
    else:
        assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.TRANSIENT)


def test_a_refused_connection_is_transient_because_nothing_was_written(case: Case, gateway: RunningDouble) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = replace(gateway, url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        outcome = case.channel(nowhere).send(outbox_message(case.name))
    assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.TRANSIENT)


def test_wrong_credentials_are_a_matter_of_the_account(case: Case, gateway: RunningDouble) -> None:
    wrong = replace(gateway.config, wecom_robot_key="stale-key", aliyun_key_secret="wrong")
    outcome = case.channel(replace(gateway, config=wrong)).send(outbox_message(case.name))
    assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.ACCOUNT)


def test_credentials_stand_in_no_outcome_and_no_log(
    case: Case, gateway: RunningDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    config = replace(gateway.config, wecom_robot_key="secret-robot-key", aliyun_key_secret="secret-of-aliyun")
    outcome = case.channel(replace(gateway, config=config)).send(outbox_message(case.name))
    shown = f"{outcome!r} {caplog.text}"
    assert "secret-robot-key" not in shown
    assert "secret-of-aliyun" not in shown


def test_the_21st_message_within_a_minute_is_throttled_by_the_robot(gateway: RunningDouble) -> None:
    gateway.double._robot_calls.clear()
    robot: WecomRobot = gateway.robot()
    verdicts = [robot.send_digest("水质告警").verdict for _ in range(21)]
    assert verdicts == [Verdict.ACCEPTED] * 20 + [Verdict.THROTTLED]


def test_the_robot_takes_4096_bytes_and_not_one_more(gateway: RunningDouble) -> None:
    gateway.double._robot_calls.clear()
    robot: WecomRobot = gateway.robot()
    assert robot.send_digest("水" * 1365 + "x").verdict is Verdict.ACCEPTED
    assert robot.send_digest("水" * 1365 + "xx").code == "40058"


def test_a_number_gets_fifty_messages_of_a_template_a_day(gateway: RunningDouble) -> None:
    gateway.double._sms_calls.clear()
    sms: AliyunSms = gateway.sms()
    verdicts = [sms.send(outbox_message(SMS, id=n, receiver="13800000050")).verdict for n in range(51)]
    assert verdicts == [Verdict.ACCEPTED] * 50 + [Verdict.REFUSED]


def test_an_accepted_sms_is_found_by_our_name_for_it(gateway: RunningDouble) -> None:
    sms: AliyunSms = gateway.sms()
    message = outbox_message(SMS, id=77, receiver="13800000077")
    assert sms.ask(message).verdict is Verdict.NOT_FOUND
    sent = sms.send(message)
    asked = sms.ask(message)
    assert asked.verdict is Verdict.DELIVERED
    assert asked.provider_id == sent.provider_id != ""
    assert sms.ask(replace(message, id=78)).verdict is Verdict.NOT_FOUND


def test_a_clock_that_is_wrong_is_refused_and_said(gateway: RunningDouble) -> None:
    sms: AliyunSms = gateway.sms(wall_ms=lambda: 1_000_000_000_000)
    outcome = sms.send(outbox_message(SMS))
    assert (outcome.error_class, outcome.code) == (ErrorClass.ACCOUNT, "InvalidTimeStamp.Expired")


def test_a_request_repeated_on_the_way_is_unknown_because_the_first_may_have_been_taken(
    gateway: RunningDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.channels.aliyun.secrets.token_hex", lambda _: "the-same-nonce")
    sms: AliyunSms = gateway.sms()
    assert sms.send(outbox_message(SMS)).verdict is Verdict.ACCEPTED
    assert sms.send(outbox_message(SMS)).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"works": "城东水厂"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"problem": "很长" * 18}, "isv.PARAM_LENGTH_LIMIT"),
        ({"problem": "见http://example.org"}, "isv.PARAM_NOT_SUPPORT_URL"),
        ({"problem": "浊度≥1NTU"}, "isv.SMS_CONTENT_ILLEGAL"),
    ],
)
def test_variables_the_provider_would_refuse_are_refused(
    gateway: RunningDouble, params: dict[str, str], code: str
) -> None:
    message = outbox_message(SMS)
    kept = {"template": "alarm"} if params.keys() == {"works"} else message.params
    outcome = gateway.sms().send(replace(message, params={**kept, **params}))
    assert (outcome.error_class, outcome.code) == (ErrorClass.CONTENT, code)


def test_refused_content_goes_out_as_the_template_without_variables(gateway: RunningDouble) -> None:
    gateway.double.messages.clear()
    message = outbox_message(SMS, receiver="13800000099")
    outcome = gateway.sms().send_fallback(message)
    assert outcome is not None
    assert outcome.verdict is Verdict.ACCEPTED
    assert gateway.texts(SMS) == ["【清泉演示】您有一条水质告警待处理，请登录系统查看。"]


def test_a_number_that_is_none_is_a_matter_of_the_number(gateway: RunningDouble) -> None:
    outcome = gateway.sms().send(outbox_message(SMS, receiver="0851-1234"))
    assert outcome.error_class is ErrorClass.NUMBER


def test_the_double_lists_what_it_accepted_and_counts_what_it_refused(gateway: RunningDouble) -> None:
    gateway.robot().send_digest("一条")
    listed = json.loads(httpx2.get(f"{gateway.url}/double/messages?channel=wecom_robot&limit=1", trust_env=False).text)
    assert listed["simulated"] is True
    assert [one["text"] for one in listed["messages"]] == ["一条"]
    assert listed["rejected"]["isv.MOBILE_NUMBER_ILLEGAL"] >= 1
