"""Replies read, tokens made, photos told apart: the small pieces of answers."""

import pytest

from alerts.links import TOKEN_LENGTH, public_url_faults, token_of
from alerts.sms_answers import parse_reply, replies_of
from dashboards.web.throttle import Throttle
from qingquan.domain.answers import AnswerKind, Link
from qingquan.services.photos import media_type_of

K = AnswerKind
LINK = Link(7, 3, "wecom_app", "zhangsan", "张三", "answer", 1_795_395_900_000)


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        ("1", K.ACKNOWLEDGED, None), (" １。", K.ACKNOWLEDGED, None), ("2 123", K.FIXED, 123), ("３，１２", K.HELP, 12),
        ("已处理", K.FIXED, None), ("需要支援 45", K.HELP, 45), ("收到123", K.ACKNOWLEDGED, 123), ("OK", K.ACKNOWLEDGED, None),
        ("【3】", K.HELP, None),
    ],
)  # fmt: skip
def test_a_reply_is_understood_as_people_write_it(content: str, kind: AnswerKind, code: int | None) -> None:
    reply = parse_reply(content)
    assert reply is not None
    assert (reply.kind, reply.code) == (kind, code)


@pytest.mark.parametrize("content", ["", "4", "12", "1 2 3", "不知道", "1" * 40, "退订", "TD", "1a", "\x00"])
def test_what_says_none_of_the_three_is_no_answer(content: str) -> None:
    assert parse_reply(content) is None


def test_pushes_beyond_reason_are_not_read() -> None:
    assert replies_of(b"[" + b"{}," * 1000 + b"{}]") is None
    assert replies_of(b"{}") == [{}]


def test_a_token_stands_for_all_it_signs() -> None:
    key = b"k" * 32
    token = token_of(key, LINK)
    others = [
        Link(8, 3, "wecom_app", "zhangsan", "张三", "answer", LINK.expires_at),
        Link(7, 3, "wecom_app", "lisi", "张三", "answer", LINK.expires_at),
        Link(7, 3, "wecom_app", "zhangsan", "张三", "other", LINK.expires_at),
        Link(7, 3, "wecom_app", "zhangsan", "张三", "answer", LINK.expires_at + 1),
    ]
    assert len(token) == TOKEN_LENGTH
    assert token.isalnum()
    assert token_of(key, LINK) == token
    assert token not in {token_of(key, one) for one in others} | {token_of(b"j" * 32, LINK)}


@pytest.mark.parametrize(
    ("url", "faulty"), [("", 0), ("https://w.cn", 0), ("w.cn", 1), ("https://", 1), ("https://w.cn/?a", 1)]
)
def test_the_address_of_links_is_checked(url: str, faulty: int) -> None:
    assert len(public_url_faults(url)) == faulty


def test_a_photo_is_what_its_bytes_say() -> None:
    assert [media_type_of(one) for one in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF0000WEBP", b"GIF89a", b"<svg", b"")] == [
        "image/jpeg", "image/png", "image/webp", "", "", "",
    ]  # fmt: skip


def test_who_knocks_too_often_waits_until_the_first_knock_is_old() -> None:
    throttle = Throttle(2, 60.0)
    throttle.count("a", 0.0)
    throttle.count("a", 10.0)
    assert [throttle.is_full("a", 59.9), throttle.is_full("b", 59.9), throttle.is_full("a", 60.1)] == [
        True,
        False,
        False,
    ]
