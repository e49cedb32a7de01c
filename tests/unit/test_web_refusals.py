"""What a desk refuses is told in Chinese: no refusal of ours is without words, and what is not known is told as it is."""

import ast

import pytest

from dashboards.web.refusals import refusal_words
from dashboards.web.texts import texts_in
from qingquan.errors import NotFound, QingquanError, StoreUnavailable, TransitionRefused
from qingquan.packages import TREE

FOLDERS = ("alerts", "qingquan/services", "qingquan/store/sql")


def said_in_code() -> list[str]:
    """What every ``raise TransitionRefused`` says, with a number in the place of each value."""
    found = []
    for path in sorted(path for folder in FOLDERS for path in (TREE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
                continue
            if getattr(node.exc.func, "id", "") != "TransitionRefused":
                continue
            text = node.exc.args[0]
            if isinstance(text, ast.Constant):
                found.append(str(text.value))
            elif isinstance(text, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in text.values)
                )
    return found


@pytest.mark.parametrize("said", said_in_code())
def test_every_refusal_has_chinese_words(said: str) -> None:
    shown = refusal_words(TransitionRefused(said), texts_in("zh"))
    assert shown != said
    assert not any("a" <= letter <= "z" for letter in shown)


def test_refusals_are_found_at_all() -> None:
    assert len(said_in_code()) >= 20


def test_values_are_kept_and_english_stays_english() -> None:
    refused = TransitionRefused("a silence lasts longer than nothing and at most 72 h")
    assert refusal_words(refused, texts_in("zh")) == "静默时长应大于 0，最长 72 小时"
    assert refusal_words(refused, texts_in("en")) == str(refused)
    assert refusal_words(NotFound("works W9 in county 520425"), texts_in("zh")) == "台账中没有工程 W9（520425）"
    assert refusal_words(StoreUnavailable("x"), texts_in("zh")) == texts_in("zh")("store.lost_never")
    assert refusal_words(QingquanError("never heard of"), texts_in("zh")) == "never heard of"
