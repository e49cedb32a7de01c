"""The channels beyond the first two, each against the gateway double or a real mail server: one suite, and signatures by vector."""

import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from alerts.channels.base import Channel, ErrorClass, Verdict
from alerts.channels.build import build_channels
from alerts.channels.email import Email, letter
from alerts.channels.robots import dingtalk_sign, feishu_sign
from alerts.channels.tc3 import tc3_authorization
from alerts.channels.webhook import signed
from alerts.channels.wecom_crypto import CallbackCrypto, CallbackRefused, card_event
from qingquan.domain.incidents import Message
from qingquan.testing.gateways import RunningDouble, outbox_message, running_double
from qingquan.testing.mail import Mailbox, running_mail_server
from qingquan.testing.ports import free_port

# 2026-11-23T01:05:00Z
AT_S = 1_795_395_900
# Channel: a code that throttles, one that refuses the content, the setting that holds its credential.
CODES: dict[str, tuple[int | str, int | str, str]] = {
    "tencent_sms": (
        "LimitExceeded.PhoneNumberThirtySecondLimit", "FailedOperation.ContainSensitiveWord", "tencent_secret_key",
    ),
    "aliyun_voice": ("isv.BUSINESS_LIMIT_CONTROL", "isv.TTS_TEMPLATE_ILLEGAL", "aliyun_key_secret"),
    "wecom_app": (45009, 40058, "wecom_app_secret"),
    "wechat_official": (45009, 47003, "wechat_app_secret"),
    "dingtalk": (130101, 460101, "dingtalk_secret"),
    "feishu": (11232, 9499, "feishu_secret"),
    "webhook": (429, 422, "webhook_secret"),
}  # fmt: skip


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningDouble]:
    with running_double() as running:
        yield running


@pytest.fixture(params=sorted(CODES))
def name(request: pytest.FixtureRequest, gateway: RunningDouble) -> str:
    double = gateway.double
    double.messages.clear()
    for queue in double.faults.values():
        queue.clear()
    double._sms_calls.clear()
    double.doors.forget()
    return str(request.param)


@pytest.fixture
def channel(name: str, gateway: RunningDouble) -> Iterator[Channel]:
    opened = gateway.channel(name)
    yield opened
    opened.close()


def test_an_accepted_message_is_kept_as_the_receiver_reads_it(
    name: str, channel: Channel, gateway: RunningDouble
) -> None:
    outcome = channel.send(outbox_message(name))
    assert outcome.verdict is Verdict.ACCEPTED, outcome
    assert "青山镇城东水厂" in gateway.texts(name)[0]


def test_a_throttling_code_is_no_success(name: str, channel: Channel, gateway: RunningDouble) -> None:
    gateway.fault(name, kind="code", code=CODES[name][0])
    assert channel.send(outbox_message(name)).error_class is ErrorClass.LIMIT
    assert gateway.texts(name) == []


def test_a_content_code_is_a_refusal_of_the_content(name: str, channel: Channel, gateway: RunningDouble) -> None:
    gateway.fault(name, kind="code", code=CODES[name][1])
    outcome = channel.send(outbox_message(name))
    assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.CONTENT)


@pytest.mark.parametrize("kind", ["garbage", "html"])
def test_an_answer_that_is_not_the_providers_is_no_certainty(
    name: str, channel: Channel, gateway: RunningDouble, kind: str
) -> None:
    gateway.fault(name, kind=kind)
    expected = Verdict.ACCEPTED if name == "webhook" else Verdict.UNKNOWN
    assert channel.send(outbox_message(name)).verdict is expected


def test_a_right_answer_with_a_wrong_content_type_counts(name: str, channel: Channel, gateway: RunningDouble) -> None:
    gateway.fault(name, kind="wrong_type")
    assert channel.send(outbox_message(name)).verdict is Verdict.ACCEPTED


def test_a_server_error_is_repeated_only_where_nothing_can_have_been_sent(
    name: str, channel: Channel, gateway: RunningDouble
) -> None:
    gateway.fault(name, kind="http", status=503)
    outcome = channel.send(outbox_message(name))
    if name in ("tencent_sms", "aliyun_voice"):
        assert outcome.verdict is Verdict.UNKNOWN
    else:
        assert outcome.error_class is ErrorClass.TRANSIENT


def test_a_wrong_credential_is_a_matter_of_the_account_and_shown_nowhere(
    name: str, gateway: RunningDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credential: dict[str, Any] = {CODES[name][2]: "a-wrong-secret"}
    wrong = replace(gateway, config=replace(gateway.config, **credential))
    outcome = wrong.channel(name).send(outbox_message(name))
    assert (outcome.verdict, outcome.error_class) == (Verdict.REFUSED, ErrorClass.ACCOUNT)
    assert "a-wrong-secret" not in f"{outcome!r} {caplog.text}"


def test_a_refused_connection_is_transient(name: str, gateway: RunningDouble) -> None:
    config = gateway.config
    nowhere = f"http://127.0.0.1:{free_port()}"
    moved: dict[str, Any] = {
        key: nowhere for key in config.__slots__ if key.endswith("_url") and getattr(config, key) == gateway.url
    }
    found = build_channels(replace(config, **moved, webhook_url=f"{nowhere}/webhook"))[name]
    assert found is not None
    assert found.send(outbox_message(name)).error_class is ErrorClass.TRANSIENT


COLOURED = (
    '**严重告警｜青山镇城东水厂**\n> 问题：<font color="warning">出厂水消毒剂投加中断</font>，投加泵已停\n> 管水员：张三 138****0001\n'
    "[查看详情](http://127.0.0.1:8080/incidents/7)"
)


# The others go out by template, or as they are to a program.
@pytest.mark.parametrize("name", ["dingtalk", "feishu", "wechat_official", "wecom_app"], indirect=True)
@pytest.mark.parametrize("step", ["firing", "recovered"])
def test_only_groups_of_wecom_get_its_colours(name: str, channel: Channel, gateway: RunningDouble, step: str) -> None:
    assert channel.send(outbox_message(name, body=COLOURED, step=step)).verdict is Verdict.ACCEPTED
    assert "<" not in gateway.double.messages[-1].text


# --- what is each one's own -------------------------------------------------------------------------------------------


def test_a_card_has_buttons_and_no_marks_and_what_is_over_asks_for_no_answer(gateway: RunningDouble) -> None:
    app = gateway.channel("wecom_app")
    app.send(outbox_message("wecom_app", id=911, body=COLOURED))
    shown = gateway.double.messages[-1].text.splitlines()
    assert shown[:2] == ["严重告警｜青山镇城东水厂", "问题：出厂水消毒剂投加中断，投加泵已停"]
    assert shown[2] == "管水员：张三 138****0001"
    assert "已知悉" in shown[3]
    app.send(outbox_message("wecom_app", id=913, body="水质告警：青山镇城东水厂，出厂水消毒剂投加中断，自08:06起。"))
    shown = gateway.double.messages[-1].text.splitlines()
    assert shown[:2] == ["水质告警", "青山镇城东水厂，出厂水消毒剂投加中断，自08:06起。"], "it stands in for an SMS"
    app.send(outbox_message("wecom_app", id=912, body=COLOURED, step="recovered"))
    over = gateway.double.messages[-1].text
    assert "[已知悉]" not in over
    assert over.endswith("查看详情 http://127.0.0.1:8080/incidents/7")


def test_the_signatures_are_those_of_the_providers() -> None:
    body = (
        '{"PhoneNumberSet":["+8613800000001"],"SmsSdkAppId":"1400000000","SignName":"示例县水务","TemplateId":"100001",'
        '"TemplateParamSet":["城东水厂","浊度","1.32"],"SessionContext":"alm-0001"}'
    )
    header = tc3_authorization("AKIDtest", "secretTest", "sms", "sms.tencentcloudapi.com", AT_S, body.encode())
    assert header.endswith("Signature=62c06df02396bc6709f6778916dff22f0bd6492e532eb0a82a146cf250f47930")
    assert dingtalk_sign("SECtest", AT_S * 1000) == "FyLgVp5ul9CsO0Wg7yOKYA1SoZj36ni0kBch30kJB1k="
    assert feishu_sign("feishuSecret", AT_S) == "hZld6souqSn2kdfh4ru+0Ig8+cDwSQsh7GmtSKckq9k="
    assert signed("k", 1, b"{}") != signed("k", 1, b"{} ")


CALLBACK = CallbackCrypto("wqAlarmToken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww0123456789abcdef")
SEALED = "Q3stYC6hdFzMh9T8HCvyDHUs6ESZjq+q+rYxDKDESdqvN4B7igbE/Uht7dUfp7OAQ8gLwQWkgmMUEbMOjxDsuQ=="
SIGNED = "588762b950d0eedb2142f2838b2ea81c92423cbd"


def test_a_callback_opens_and_seals_as_the_vector_says() -> None:
    assert CALLBACK.opened(SIGNED, str(AT_S), "n0nce42", SEALED) == "9876543210"
    assert CALLBACK.sealed("9876543210", prefix=b"0123456789abcdef") == SEALED


@pytest.mark.parametrize("sealed", [SEALED[:-4] + "AA==", "", "not base64!", "QUJD"])
def test_a_callback_that_was_changed_is_refused_in_one_way(sealed: str) -> None:
    with pytest.raises(CallbackRefused):
        CALLBACK.opened(CALLBACK.signature("1", "n", sealed), "1", "n", sealed)
    with pytest.raises(CallbackRefused):
        CALLBACK.opened("0" * 40, "1", "n", SEALED)


def test_a_click_names_person_card_and_button_and_entities_are_refused() -> None:
    xml = (
        "<xml><FromUserName><![CDATA[zhangsan]]></FromUserName><Event>template_card_event</Event><CreateTime>1</CreateTime>"
        "<TaskId>qq-7-1</TaskId><EventKey>ack:7</EventKey><ResponseCode>rc</ResponseCode></xml>"
    )
    event = card_event(xml)
    assert event is not None
    assert (event.user, event.key, event.response_code) == ("zhangsan", "ack:7", "rc")
    with pytest.raises(CallbackRefused):
        card_event('<!DOCTYPE x [<!ENTITY a "b">]><xml>&a;</xml>')


def test_an_app_message_that_reaches_nobody_is_refused_although_errcode_is_0(gateway: RunningDouble) -> None:
    outcome = gateway.channel("wecom_app").send(outbox_message("wecom_app", id=901, receiver="unknown-person"))
    assert (outcome.error_class, outcome.code) == (ErrorClass.NUMBER, "invaliduser")


def test_a_token_that_ended_is_renewed_and_the_message_goes_out_once(gateway: RunningDouble) -> None:
    app = gateway.channel("wecom_app")
    assert app.send(outbox_message("wecom_app", id=902)).verdict is Verdict.ACCEPTED
    gateway.double.doors.tokens.clear()
    before = len(gateway.texts("wecom_app"))
    assert app.send(outbox_message("wecom_app", id=903)).verdict is Verdict.ACCEPTED
    assert len(gateway.texts("wecom_app")) == before + 1


def test_a_call_not_answered_is_no_delivery_and_one_heard_is(gateway: RunningDouble) -> None:
    voice = gateway.channel("aliyun_voice")
    gateway.fault("aliyun_voice", kind="receipt_failed")
    missed, heard = (outbox_message("aliyun_voice", id=n, receiver=f"1380000090{n}") for n in (1, 2))
    assert voice.ask(replace(missed, provider_id=voice.send(missed).provider_id)).error_class is ErrorClass.NO_ANSWER
    assert voice.ask(replace(heard, provider_id=voice.send(heard).provider_id)).verdict is Verdict.DELIVERED


def test_the_twenty_first_robot_message_is_throttled_by_dingtalk(gateway: RunningDouble) -> None:
    gateway.double.doors.forget()
    robot = gateway.channel("dingtalk")
    verdicts = [robot.send(outbox_message("dingtalk", id=n)).verdict for n in range(21)]
    assert verdicts == [Verdict.ACCEPTED] * 20 + [Verdict.THROTTLED]


@pytest.fixture
def mail() -> Iterator[tuple[Mailbox, Email]]:
    with running_mail_server() as (box, port):
        yield box, Email("127.0.0.1", port, "none", "alarm@example.org", context=ssl.create_default_context())


def letter_to(address: str) -> Message:
    return outbox_message("email", receiver=address)


def test_a_letter_reaches_a_real_mail_server_and_says_it_is_automatic(mail: tuple[Mailbox, Email]) -> None:
    box, channel = mail
    assert channel.send(letter_to("duty@example.org")).verdict is Verdict.ACCEPTED
    assert b"Auto-Submitted: auto-generated" in box.letters[0]
    assert b"Subject: =?utf-8?" in box.letters[0]


def test_a_letter_is_plain_text() -> None:
    written = letter(replace(letter_to("duty@example.org"), body=COLOURED), "platform@example.org").get_content()
    assert written.splitlines() == [
        "严重告警｜青山镇城东水厂",
        "问题：出厂水消毒剂投加中断，投加泵已停",
        "管水员：张三 138****0001",
        "查看详情 http://127.0.0.1:8080/incidents/7",
    ]


@pytest.mark.parametrize(
    ("address", "answer", "error_class"),
    [
        ("nobody@example.org", "250 OK", ErrorClass.NUMBER),
        ("duty@example.org", "451 later", ErrorClass.TRANSIENT),
        ("duty@example.org", "554 spam", ErrorClass.CONTENT),
        ("a\nb@example.org", "250 OK", ErrorClass.NUMBER),
    ],
)
def test_a_mail_servers_refusal_has_its_class(
    mail: tuple[Mailbox, Email], address: str, answer: str, error_class: ErrorClass
) -> None:
    box, channel = mail
    box.answer = answer
    assert channel.send(letter_to(address)).error_class is error_class
    assert box.letters == []


def test_every_page_of_the_double_says_what_it_is(gateway: RunningDouble) -> None:
    import httpx2

    for path in ("/double/phones", "/double/messages"):
        answer = httpx2.get(gateway.url + path, trust_env=False)
        assert "development and tests only" in answer.headers["x-qingquan-simulated"]
    assert json.loads(answer.text)["simulated"] is True
