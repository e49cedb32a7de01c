"""The doors of answers: the page behind a link, clicks on cards, replies by SMS, each over HTTP and a real database."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from alerts.answerable import Answerable, with_answers
from alerts.apply import AlertSettings, apply_findings
from alerts.channels.aliyun import out_id
from alerts.channels.base import Outcome, accepted
from alerts.channels.wecom_crypto import CallbackCrypto
from alerts.double_answers import WaysBack
from alerts.links import Linker, token_digest
from dashboards.web.example import ExampleData
from dashboards.web.example_county import make_county
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.page_answer import add_answer_pages
from dashboards.web.ports import ConsoleActions
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.answers import AnswerKind
from qingquan.domain.incidents import Incident, IncidentState, Message, MessageState
from qingquan.domain.works import Contact, Role
from qingquan.services.answer_desk import PhoneDesk
from qingquan.services.answers import answer_doors
from qingquan.store.sql.answers import answers_of
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.incidents import acknowledge, close, get_incident, list_incidents, update_incident
from qingquan.store.sql.outbox import list_messages, record_result
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.gateways import running_double, served_app

PHONE, USER = "13800000001", "zhangsan"
PUBLIC = "https://water.example.cn"
JPEG = b"\xff\xd8\xff\xe0" + b"photo" * 100
CRYPTO = CallbackCrypto("wqAlarmToken", "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "ww0123456789abcdef")
NEUTRAL = "链接无效或已过期"


class Kept:
    """A channel that keeps what it is handed."""

    name, can_be_asked, gives_receipts, reaches = "wecom_app", False, False, "person"

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, message: Message) -> Outcome:
        self.messages.append(message)
        return accepted("1")

    def send_fallback(self, message: Message) -> Outcome | None:
        return None

    def ask(self, message: Message) -> Outcome:
        return accepted(message.provider_id)

    def close(self) -> None: ...


@dataclass
class Scene:
    """A system with one incident, told to its caretaker, and the doors of the console."""

    engine: Engine
    config: Config
    client: TestClient
    incident: Incident
    message: Message

    def link(self, **fields: object) -> str:
        """The path of the caretaker's own link."""
        given = replace(self.message, **fields)  # type: ignore[arg-type]
        url = Linker(self.engine, PUBLIC, 72 * 3_600_000).link(given)
        assert url.startswith(PUBLIC)
        return url.removeprefix(PUBLIC)

    def now(self) -> Incident:
        with reading(self.engine) as connection:
            found = get_incident(connection, self.incident.id)
        assert found is not None
        return found

    def answered(self) -> list[tuple[str, str, AnswerKind | None, str]]:
        with reading(self.engine) as connection:
            return [(one.person, one.channel, one.kind, one.text) for one in answers_of(connection, self.incident.id)]

    def answer(self, path: str, kind: str, nonce: str = "0" * 16, photo: bytes = b"", **fields: str) -> Any:
        files = {"photo": ("p.jpg", photo, "image/jpeg")} if photo else {"x": ("", b"")}
        return self.client.post(path, data={"kind": kind, "n": nonce, **fields}, files=files, follow_redirects=False)

    def click(self, word: str, user: str = USER, created: int = 1, **changed: str) -> Any:
        """What WeCom pushes when somebody clicks on the caretaker's card."""
        given = {
            "FromUserName": user, "CreateTime": str(created), "MsgType": "event", "Event": "template_card_event",
            "EventKey": f"{word}:{self.incident.id}", "TaskId": out_id(self.message), "ResponseCode": "code-1",
        } | changed  # fmt: skip
        xml = "<xml>" + "".join(f"<{name}>{value}</{name}>" for name, value in given.items()) + "</xml>"
        sealed = CRYPTO.sealed(xml)
        query = {"timestamp": "1795395900", "nonce": "n0nce42"}
        query["msg_signature"] = CRYPTO.signature(query["timestamp"], query["nonce"], sealed)
        body = f"<xml><ToUserName>ww</ToUserName><Encrypt>{sealed}</Encrypt></xml>"
        return self.client.post("/callbacks/wecom", params=query, content=body)


@pytest.fixture(params=["wecom_app", "aliyun_sms"])
def channel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scene(tmp_path: Path, channel: str) -> Iterator[Scene]:
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    config = Config(
        data_dir=str(tmp_path / "data"), database_url=url, public_url=PUBLIC, receipts_token="unguessable-path",
        wecom_callback_token="wqAlarmToken", wecom_callback_key="abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        wecom_corp_id="ww0123456789abcdef",
    )  # fmt: skip
    caretaker = Contact(Role.CARETAKER, "张三", PHONE if channel == "aliyun_sms" else "", USER)
    works = example_works(contacts=(caretaker,))
    now = Clock().now_ms()
    with writing(engine) as connection:
        save_works(connection, [works])
        finding = example_finding(start=now - 60_000, evidence_at=now)
        apply_findings(connection, [finding], register_of(works), now, AlertSettings.from_config(config))
        (message,) = [one for one in list_messages(connection) if one.channel == channel]
        record_result(connection, message.id, MessageState.ACCEPTED, sent_at_ms=now)
        (incident,) = list_incidents(connection).items
    data = ExampleData(make_county(time.time_ns() // 1_000_000, 2))
    console = Console(data, ConsoleActions(answers=PhoneDesk(engine, config)), Clock(), CountyFeed(data, Clock()))
    app = FastAPI()
    add_answer_pages(app, console)
    app.include_router(answer_doors(engine, config))
    yield Scene(engine, config, TestClient(app), incident, message)
    engine.dispose()


# --- the page behind a link -------------------------------------------------------------------------------------------

by_app = pytest.mark.parametrize("channel", ["wecom_app"], indirect=True)
by_sms = pytest.mark.parametrize("channel", ["aliyun_sms"], indirect=True)


@by_app
def test_the_page_shows_its_incident_alone_small_in_chinese_and_without_websocket(scene: Scene) -> None:
    page = scene.client.get(scene.link())
    assert page.status_code == 200
    assert len(page.content) < 20_000
    for words in ("张三，您好", "城东水厂", "已知悉", "已处理", "需要支援", "手工复测"):
        assert words in page.text
    assert "socket" not in page.text
    assert "http" not in page.text.replace("http-equiv", ""), "nothing is fetched from anywhere"
    assert PHONE not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "I have it" in scene.client.get(scene.link(), params={"lang": "en"}).text


@by_app
@pytest.mark.parametrize(
    ("kind", "mark"), [("acknowledged", "您已知悉"), ("fixed", "您已处理"), ("help", "已通知上一级")]
)
def test_each_button_lands_on_the_incident_with_person_and_words(scene: Scene, kind: str, mark: str) -> None:
    path = scene.link()
    answer = scene.answer(path, kind, text="药桶空了")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert scene.answered() == [("张三", "link", AnswerKind(kind), "药桶空了")]
    assert mark in scene.client.get(path).text
    assert scene.now().state is (IncidentState.OPEN if kind == "help" else IncidentState.ACKNOWLEDGED)


@by_app
def test_pressing_twice_is_answering_once(scene: Scene) -> None:
    path = scene.link()
    nonce = re.findall(r'name="n" value="(\w+)"', scene.client.get(path).text)[0]
    for _ in range(3):
        assert scene.answer(path, "fixed", nonce).status_code == 303
    assert len(scene.answered()) == 1


@by_app
def test_wrong_expired_and_closed_links_look_all_the_same(scene: Scene) -> None:
    path = scene.link()
    expired = scene.link(created_at=scene.message.created_at.replace(year=2020))
    changed = path[:-1] + ("A" if path[-1] != "A" else "B")
    with writing(scene.engine) as connection:
        connection.execute(
            text("UPDATE answer_link SET expires_at = expires_at + 1 WHERE digest = :d"),
            {"d": token_digest(expired[3:])},
        )
    shown = [scene.client.get(one) for one in (expired, changed, "/a/short", "/a/" + "é" * 12, "/a/" + "0" * 12)]
    assert scene.answer(changed, "fixed").status_code == 404
    acted = replace(scene.now(), state=IncidentState.RESOLVED, resolved_at=scene.message.created_at)
    assert scene.client.get(path).status_code == 200
    with writing(scene.engine) as connection:
        update_incident(connection, acted)
        close(connection, scene.incident.id, "王五", "no_chemical", Clock().now_ms())
    shown.append(scene.client.get(path))
    assert {one.status_code for one in shown} == {404}
    assert len({re.sub(r'nonce="\w+"', "", one.text) for one in shown}) == 1
    assert NEUTRAL in shown[0].text
    assert scene.answered() == []


@by_app
def test_who_tries_too_many_links_waits(scene: Scene) -> None:
    tried = [scene.client.get(f"/a/{n:012d}").status_code for n in range(25)]
    assert (tried[0], tried[-1]) == (404, 429)
    assert scene.client.get(scene.link()).status_code == 429


@by_app
def test_what_is_over_offers_no_button_but_takes_a_note(scene: Scene) -> None:
    path = scene.link()
    with writing(scene.engine) as connection:
        update_incident(
            connection, replace(scene.now(), state=IncidentState.RESOLVED, resolved_at=scene.message.created_at)
        )
    page = scene.client.get(path).text
    assert ('value="help"' in page, 'value="note"' in page) == (False, True)
    scene.answer(path, "help")
    scene.answer(path, "note", nonce="1" * 16, text="滤料已更换")
    assert scene.now().state is IncidentState.RESOLVED
    assert len(scene.answered()) == 2


@by_app
def test_a_photo_is_kept_by_its_digest_and_shown_with_its_incident_alone(scene: Scene) -> None:
    scene.answer(scene.link(), "fixed", photo=JPEG)
    with reading(scene.engine) as connection:
        (answer,) = answers_of(connection, scene.incident.id)
    assert answer.photo is not None
    assert (answer.photo.media_type, answer.photo.size) == ("image/jpeg", len(JPEG))
    path = scene.config.data_path / "photos" / answer.photo.digest[:2] / answer.photo.digest
    assert path.read_bytes() == JPEG
    shown = scene.client.get(f"/incidents/{scene.incident.id}/photos/{answer.photo.digest}")
    assert (shown.content, shown.headers["content-type"]) == (JPEG, "image/jpeg")
    assert scene.client.get(f"/incidents/{scene.incident.id + 1}/photos/{answer.photo.digest}").status_code == 404
    path.write_bytes(b"something else")
    assert scene.client.get(f"/incidents/{scene.incident.id}/photos/{answer.photo.digest}").status_code == 404


@by_app
def test_a_photo_that_cannot_be_kept_does_not_take_the_answer_with_it(scene: Scene) -> None:
    path = scene.link()
    refused = scene.answer(path, "acknowledged", photo=b"<svg onload=alert(1)>")
    assert (refused.status_code, "只收 JPEG" in refused.text, "其余内容已记录" in refused.text) == (422, True, True)
    assert scene.now().state is IncidentState.ACKNOWLEDGED
    assert scene.answer(path, "note", nonce="2" * 16, photo=JPEG + bytes(8 * 2**20)).status_code == 422
    assert scene.answer(path, "note", nonce="3" * 16, photo=bytes(9 * 2**20)).status_code == 413
    assert scene.answer(path, "note", nonce="4" * 16).status_code == 422, "nothing said"
    assert scene.answer(path, "dance").status_code == 422
    assert len(scene.answered()) == 1
    assert not (scene.config.data_path / "photos").exists()


@by_app
def test_photos_are_counted(scene: Scene) -> None:
    path = scene.link()
    codes = [scene.answer(path, "note", f"{n:016x}", JPEG + bytes([n])).status_code for n in range(13)]
    assert (codes[:12], codes[12]) == ([303] * 12, 422)


@by_app
def test_a_page_when_the_database_is_away_says_that_nothing_was_recorded(scene: Scene, tmp_path: Path) -> None:
    path = scene.link()
    scene.engine.dispose()
    (tmp_path / "q.db").rename(tmp_path / "away.db")
    (tmp_path / "q.db").mkdir()
    answer = scene.answer(path, "fixed")
    assert (answer.status_code, "没有记录" in answer.text) == (503, True)


# --- links in messages ------------------------------------------------------------------------------------------------


@by_app
def test_a_link_is_put_in_as_the_message_goes_out_and_its_token_kept_nowhere(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = Kept()
    channel = Answerable(inner, Linker(scene.engine, PUBLIC, 72 * 3_600_000))
    channel.send(scene.message)
    channel.send(scene.message)
    (link,) = {one.params["link"] for one in inner.messages}
    assert f"({link})" in inner.messages[0].body
    assert len(link.removeprefix(f"{PUBLIC}/a/")) == 12
    token = link[-12:]
    scene.client.get(f"/a/{token}")
    scene.answer(f"/a/{token}", "acknowledged")
    with reading(scene.engine) as connection:
        tables = [row[0] for row in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))]
        held = [str(tuple(row)) for name in tables for row in connection.execute(text(f'SELECT * FROM "{name}"'))]
    assert not any(token in row for row in held)
    out = capsys.readouterr()
    assert token not in out.out + out.err


@by_app
def test_without_an_address_no_message_has_a_link_and_groups_never_have_one(scene: Scene) -> None:
    inner = Kept()
    Answerable(inner, Linker(scene.engine, "", 1)).send(scene.message)
    inner.reaches = "group"
    Answerable(inner, Linker(scene.engine, PUBLIC, 1)).send(scene.message)
    assert [one.params.get("link") for one in inner.messages] == [None, None]
    assert inner.messages[0] == scene.message


@by_sms
@pytest.mark.parametrize("provider", ["aliyun", "tencent"])
def test_an_sms_asks_for_a_reply_where_replies_come_in_and_only_there(scene: Scene, provider: str) -> None:
    name, other = f"{provider}_sms", "tencent" if provider == "aliyun" else "aliyun"
    approved = {f"{provider}_template_alarm_reply": "SMS_9", f"{other}_template_alarm_reply": ""}
    with running_double() as double:
        settings = replace(double.config, receipts_token="unguessable-path", **approved)  # type: ignore[arg-type]
        sms = with_answers({name: double.channel(name)}, scene.engine, settings)[name]
        closed = replace(settings, receipts_token="")
        plain = with_answers({name: double.channel(name)}, scene.engine, closed)[name]
        elsewhere = with_answers({f"{other}_sms": double.channel(f"{other}_sms")}, scene.engine, settings)
        assert not isinstance(elsewhere[f"{other}_sms"], Answerable)
        assert isinstance(sms, Answerable)
        assert not isinstance(plain, Answerable)
        shown = sms.answerable(scene.message)
    assert shown.params["template"] == "alarm_reply"
    assert shown.body.endswith(f"回复1已知悉，2已处理，3需支援，后加空格和编号{scene.incident.id}。")
    assert "/a/" not in shown.body


# --- clicks on cards --------------------------------------------------------------------------------------------------


@by_app
def test_wecom_proves_that_the_address_is_ours(scene: Scene) -> None:
    query = {
        "msg_signature": "588762b950d0eedb2142f2838b2ea81c92423cbd", "timestamp": "1795395900", "nonce": "n0nce42",
        "echostr": "Q3stYC6hdFzMh9T8HCvyDHUs6ESZjq+q+rYxDKDESdqvN4B7igbE/Uht7dUfp7OAQ8gLwQWkgmMUEbMOjxDsuQ==",
    }  # fmt: skip
    assert scene.client.get("/callbacks/wecom", params=query).text == "9876543210"
    assert scene.client.get("/callbacks/wecom", params=query | {"nonce": "other"}).status_code == 403


@by_app
def test_a_click_lands_on_the_incident_once_however_often_it_is_pushed(scene: Scene) -> None:
    for _ in range(3):
        answer = scene.click("fixed")
        assert (answer.status_code, answer.content) == (200, b"")
    assert scene.answered() == [("张三", "wecom_app", AnswerKind.FIXED, "")]
    scene.click("help", created=2)
    assert scene.now().state is IncidentState.OPEN


@by_app
@pytest.mark.parametrize(
    "forged",
    [{"user": "lisi"}, {"TaskId": "qq-999-1"}, {"TaskId": "what"}, {"EventKey": "ack:424242"}, {"EventKey": "dance"}],
)
def test_a_click_by_a_stranger_or_on_another_card_counts_for_nothing_and_is_kept(
    scene: Scene, forged: dict[str, str]
) -> None:
    assert scene.click("ack", **forged).status_code == 200  # type: ignore[arg-type]
    assert scene.now().state is IncidentState.OPEN
    (kept,) = PhoneDesk(scene.engine, scene.config).refused(10)
    assert kept.sender == forged.get("user", USER)


@by_app
def test_a_callback_that_is_not_wecoms_is_refused(scene: Scene) -> None:
    bad = {"msg_signature": "0" * 40, "timestamp": "1", "nonce": "n"}
    sealed = f"<xml><Encrypt>{CRYPTO.sealed('<xml/>')}</Encrypt></xml>"
    for body in (sealed, "", "<!DOCTYPE x><xml/>", "\x00\xff", "<xml>" + "x" * 2_000_000):
        assert scene.client.post("/callbacks/wecom", params=bad, content=body).status_code in (403, 413)
    assert scene.answered() == []


@by_app
def test_the_card_says_what_became_of_the_click(scene: Scene) -> None:
    with running_double() as double:
        config = replace(
            scene.config, wecom_url=double.url, wecom_corp_id=double.config.wecom_corp_id,
            wecom_agent_id=double.config.wecom_agent_id, wecom_app_secret=double.config.wecom_app_secret,
        )  # fmt: skip
        app = FastAPI()
        app.include_router(answer_doors(scene.engine, config))
        double.double.doors.response_codes.add("code-1")
        clicking = replace(scene, client=TestClient(app))
        clicking.click("ack")
        clicking.click("ack")
        assert double.double.doors.changed_cards == [(USER, "张三 已知悉")]


# --- replies by SMS ---------------------------------------------------------------------------------------------------


@by_sms
def test_replies_come_in_as_an_array_or_one_by_one_at_a_path_nobody_guesses(scene: Scene) -> None:
    row = {"phone_number": PHONE, "send_time": "2026-11-23 10:00:00", "content": "１ ", "sign_name": "示例县水务",
           "dest_code": "1234", "sequence_id": 1}  # fmt: skip
    assert scene.client.post("/replies/wrong-path-of-length/aliyun_sms", json=[row]).status_code == 404
    assert scene.answered() == []
    for body in ([row], row, [row, row]):
        answer = scene.client.post("/replies/unguessable-path/aliyun_sms", json=body)
        assert (answer.status_code, answer.json()) == (200, {"code": 0, "msg": "ok"})
    assert scene.answered() == [("张三", "sms_reply", AnswerKind.ACKNOWLEDGED, "")]
    assert scene.now().acknowledged_by == "张三"


@by_sms
def test_a_reply_over_tencent_lands_on_the_incident_once_however_often_it_is_pushed(scene: Scene) -> None:
    row = {"extend": "", "mobile": PHONE, "nationcode": "86", "sign": "示例县水务", "time": 1795395900,
           "text": f"2 {scene.incident.id}"}  # fmt: skip
    for _ in range(2):
        answer = scene.client.post("/replies/unguessable-path/tencent_sms", json=row)
        assert (answer.status_code, answer.json()) == (200, {"result": 0, "errmsg": "OK"})
    assert scene.answered() == [("张三", "sms_reply", AnswerKind.FIXED, "")]
    scene.client.post("/replies/unguessable-path/tencent_sms", json={**row, "mobile": "13900000000", "text": "1"})
    assert len(scene.answered()) == 1
    assert scene.client.post("/replies/unguessable-path/feishu", json=row).status_code == 404


@by_sms
@pytest.mark.parametrize("provider", ["aliyun_sms", "tencent_sms"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1, 2]", b"\xff\xfe", json.dumps([{}]).encode(), b'{"phone_number": ["x"]}']
)
def test_a_reply_that_cannot_be_read_is_taken_and_counts_for_nothing(scene: Scene, body: bytes, provider: str) -> None:
    assert scene.client.post(f"/replies/unguessable-path/{provider}", content=body).status_code == 200
    assert scene.answered() == []


@by_sms
def test_an_acknowledgement_of_the_console_uses_the_span_of_the_policy(scene: Scene) -> None:
    from dashboards.web.store_data import StoreData
    from qingquan.domain.findings import Severity
    from qingquan.store.series.memory import MemorySeriesStore

    lease = dict.fromkeys(Severity, 7 * 60_000)
    data = StoreData(scene.engine, MemorySeriesStore(), lambda: 0, lease)
    held = data.acknowledge(scene.incident.id, "王五", 1_000)
    assert held.lease_until is not None
    assert held.lease_until.timestamp() == 1 + 7 * 60


def test_both_ways_reach_the_same_incident(scene: Scene, channel: str) -> None:
    with writing(scene.engine) as connection:
        acknowledge(connection, scene.incident.id, "王五", Clock().now_ms())
    if channel == "wecom_app":
        scene.click("ack")
    else:
        scene.client.post(
            "/replies/unguessable-path/aliyun_sms",
            json={"phone_number": f"+86{PHONE}", "content": "收到", "sequence_id": 5},
        )
    assert [one[0] for one in scene.answered()] == ["张三"]
    assert scene.now().acknowledged_by == "王五"


# --- the phones of the double -----------------------------------------------------------------------------------------


def test_what_is_answered_on_the_doubles_phones_comes_in_as_from_the_provider(scene: Scene, channel: str) -> None:
    with served_app(scene.client.app) as console:
        ways = WaysBack(console, CRYPTO, "unguessable-path")
        with running_double(scene.config, ways=ways) as gateway, httpx2.Client(base_url=gateway.url) as phone:
            gateway.channel(channel).send(scene.message)
            shown = phone.get("/double/phones").text
            assert ("需要支援" in shown) == (channel == "wecom_app")
            assert ("/double/reply" in shown) == (channel == "aliyun_sms")
            if channel == "wecom_app":
                card = {"id": gateway.double.messages[-1].id, "key": f"ack:{scene.incident.id}"}
                assert phone.post("/double/click", data=card | {"key": "ack:0"}).status_code == 404
                assert phone.post("/double/click", data=card).status_code == 303
            else:
                said = {"from": PHONE, "content": f"1 {scene.incident.id}"}
                assert phone.post("/double/reply", data=said).status_code == 303
    assert (scene.now().state, scene.now().acknowledged_by) == (IncidentState.ACKNOWLEDGED, "张三")


def test_a_double_that_knows_no_way_back_offers_none(scene: Scene, channel: str) -> None:
    with running_double(scene.config) as gateway, httpx2.Client(base_url=gateway.url) as phone:
        gateway.channel(channel).send(scene.message)
        assert "<form" not in phone.get("/double/phones").text
        assert phone.post("/double/reply", data={"from": PHONE, "content": "1"}).status_code == 404
