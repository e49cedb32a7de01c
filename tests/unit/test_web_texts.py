"""Texts: every key in use is in the table, in both languages, with the same values to fill in."""

import re
import string
from enum import StrEnum
from pathlib import Path

import pytest

import dashboards.web
from dashboards.web.chart import WINDOWS
from dashboards.web.texts import LANGUAGES, load_texts, texts_in
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import DisinfectionState, FindingKind, Severity
from qingquan.domain.incidents import IncidentState, MessageState, TransitionReason
from qingquan.domain.lab import LabVerdict
from qingquan.domain.readings import QuarantineReason
from qingquan.domain.works import Disinfectant, Equipment, PointKind, Role

FOLDER = Path(dashboards.web.__file__).parent
VOCABULARIES: dict[str, type[StrEnum]] = {
    "state": DisinfectionState, "state_long": DisinfectionState, "kind": FindingKind, "incident.state": IncidentState,
    "message_state": MessageState, "reason": TransitionReason, "verdict": LabVerdict, "quarantine": QuarantineReason,
    "not_sent": NotSent, "disinfectant": Disinfectant, "equipment": Equipment, "point": PointKind, "role": Role,
}  # fmt: skip


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_something_for_every_key_and_fill_in_the_same_values() -> None:
    zh, en = (load_texts()[language] for language in LANGUAGES)
    assert {key for key in zh if not zh[key] or not en[key]} == set()
    assert {key for key in zh if fields_of(zh[key]) != fields_of(en[key])} == set()


def test_every_key_written_in_the_pages_is_in_the_table() -> None:
    used = set()
    for path in FOLDER.glob("*.py"):
        used |= set(re.findall(r'\bt\("([a-z_.0-9]+)"', path.read_text(encoding="utf-8")))
    assert len(used) > 100
    assert used - set(load_texts()["zh"]) == set()


@pytest.mark.parametrize("prefix", VOCABULARIES)
def test_every_word_of_a_vocabulary_has_its_text(prefix: str) -> None:
    missing = {f"{prefix}.{word}" for word in VOCABULARIES[prefix]} - set(load_texts()["zh"])
    assert missing == set()


def test_every_severity_and_window_has_its_text() -> None:
    needed = {f"severity.{severity.word}" for severity in Severity} | {f"window.{window.name}" for window in WINDOWS}
    assert needed - set(load_texts()["zh"]) == set()


def test_chinese_texts_use_no_latin_punctuation_after_chinese_characters() -> None:
    wrong = {key: text for key, text in load_texts()["zh"].items() if re.search(r"[\u4e00-\u9fff][,;!?]", text)}
    assert wrong == {}


def test_a_language_that_is_none_of_ours_is_answered_in_chinese() -> None:
    assert texts_in("fr").language == "zh"
