"""What people read: complete, true, and within what each channel can carry."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.apply import parameter_labels
from alerts.lifecycle import Step
from alerts.phrases import ACTION_BY_PARAMETER, PHRASES, SEVERITY_WORDS
from alerts.templates import load_templates
from alerts.wording import Notice, Style, bytes_cut, digest, duration, one_line, sms_params, sms_safe, wecom_markdown
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.works import Contact, Role
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works

ZH, EN = Style(), Style(language="en")
K = FindingKind


def notice(step: Step = Step.FIRING, *, works: Any = None, others: int = 0, minutes: int = 35, **fields: Any) -> Notice:
    finding = example_finding(**fields)
    works = example_works() if works is None else works
    now = START + minutes * MINUTE
    return Notice(step, 7, finding, works, parameter_labels().get(finding.parameter), now, START, others)


def sms(of: Notice, style: Style = ZH) -> str:
    params = sms_params(of, style, load_templates())
    return load_templates()[params["template"]].rendered(params, style.language)


def test_an_alarm_names_works_value_limit_time_and_what_to_do() -> None:
    assert sms(notice()) == (
        "水质告警：青山镇城东水厂，出厂水游离氯0.02mg/L，低于0.3mg/L，疑似消毒中断，自08:00起。"
        "处置：请立即检查投加泵和药箱，并用DPD法手工复测。"
    )


def test_the_group_reads_the_same_with_duration_clause_and_masked_phone() -> None:
    assert wecom_markdown(notice(), Style(public_url="https://wq.example.org/")) == (
        "**严重告警｜青山镇城东水厂**\n"
        '> 问题：<font color="warning">出厂水游离氯0.02mg/L，低于0.3mg/L</font>，疑似消毒中断\n'
        "> 开始：08:00起，已持续35分钟\n"
        "> 处置：请立即检查投加泵和药箱，并用DPD法手工复测\n"
        "> 依据：GB 5749-2022 表2\n"
        "> 管水员：张三 138****0001\n"
        "[查看详情](https://wq.example.org/incidents/7)"
    )


def test_an_english_group_reads_english() -> None:
    assert wecom_markdown(notice(), EN).splitlines()[:3] == [
        "**Critical | 青山镇城东水厂**",
        '> Problem: <font color="warning">出厂水 Free chlorine 0.02mg/L, below 0.3mg/L</font>, disinfection probably lost',
        "> Since: 08:00 (35 min)",
    ]


def test_a_recovery_says_when_how_long_and_how_bad() -> None:
    over = notice(Step.RECOVERED, end=START + 70 * MINUTE, minutes=90)
    assert sms(over) == "告警解除：青山镇城东水厂，出厂水游离氯已恢复达标，时间09:10，请继续留意。"
    assert wecom_markdown(over, ZH).splitlines()[1:] == [
        '> 情况：<font color="info">出厂水游离氯已恢复达标</font>',
        "> 开始：08:00",
        "> 持续：1小时10分钟",
        "> 最不利值：0.02mg/L",
    ]


def test_of_a_contact_no_worst_value_is_told() -> None:
    back = notice(
        Step.RECOVERED,
        kind=K.EXCEEDANCE,
        rule="power-lost",
        parameter="power",
        extreme=0.0,
        limit=0.5,
        end=START + 70 * MINUTE,
    )
    assert "最不利值" not in wecom_markdown(back, ZH)


def test_a_stopped_doser_is_not_told_as_a_residual_that_is_fine() -> None:
    text = sms(notice(extreme=0.21, limit=0.05))
    assert "低于" not in text
    assert "出厂水消毒剂投加中断" in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"kind": K.EXCEEDANCE, "parameter": "turbidity", "extreme": 5.234, "limit": 1.0},
            "浑浊度5.23NTU，高于限值1NTU",
        ),
        ({"kind": K.EXCEEDANCE, "parameter": "ph", "extreme": 6.1, "limit": 6.5}, "pH6.10，低于限值6.5"),
        ({"kind": K.DISINFECTION_HIGH, "extreme": 2.31, "limit": 2.0}, "游离氯2.31mg/L，高于2mg/L，消毒剂投加过量"),
        ({"kind": K.STALE, "extreme": None, "limit": None}, "出厂水游离氯数据中断，水质状况不明"),
        ({"kind": K.FLAT_LINE, "extreme": 0.41, "limit": None}, "游离氯读数长时间不变（0.41mg/L）"),
        (
            {"kind": K.LAB_EXCEEDANCE, "parameter": "escherichia_coli", "extreme": 2.0, "limit": None},
            "化验检出大肠埃希氏菌2CFU",
        ),
        ({"parameter": "doser_running", "extreme": 0.0, "limit": 1.0}, "消毒剂投加中断，疑似消毒中断"),
    ],
)
def test_each_kind_says_what_is_wrong(fields: dict[str, Any], words: str) -> None:
    assert words in wecom_markdown(notice(**fields), ZH).replace("</font>", "")


def test_every_kind_of_finding_has_words_in_both_languages() -> None:
    for language in ("zh", "en"):
        assert PHRASES[language].keys() == set(FindingKind)
        assert SEVERITY_WORDS[language].keys() == set(Severity)


def test_every_action_fits_the_sms_variable_and_needs_no_cleaning() -> None:
    actions = [phrase.action for table in PHRASES.values() for phrase in table.values()]
    actions += [action for table in ACTION_BY_PARAMETER.values() for action in table.values()]
    assert [action for action in actions if len(action) > 35] == []
    assert [action for action in actions if sms_safe(action) != action] == []


def test_a_time_of_another_day_bears_its_date() -> None:
    params = sms_params(notice(minutes=20 * 60), ZH, load_templates())
    assert params["since"] == "2026-06-21 08:00"


def test_long_names_give_way_before_the_facts_are_cut() -> None:
    works = example_works(points=(replace(example_works().points[0], name="清水池出口在线监测小屋二号取样点位"),))
    params = sms_params(notice(works=works), ZH, load_templates())
    assert params["problem"] == "游离氯0.02mg/L，低于0.3mg/L，疑似消毒中断"


def test_a_simulated_works_is_marked_in_words_each_channel_allows() -> None:
    works = example_works(simulated=True)
    assert sms(notice(works=works)).startswith("水质告警：模拟演示 青山镇城东水厂，")
    assert wecom_markdown(notice(works=works), ZH).startswith("**【模拟】严重告警｜")
    assert wecom_markdown(notice(works=works), EN).startswith("**［SIMULATED］ Critical")
    assert one_line(notice(works=works), ZH).startswith("【模拟】")


def test_a_name_without_any_allowed_character_falls_back_to_the_plain_template() -> None:
    works = example_works(name="☆☆", township="")
    assert sms_params(notice(works=works), ZH, load_templates()) == {"template": "plain"}


def test_a_caretaker_without_phone_is_said_to_have_none() -> None:
    works = example_works(contacts=(Contact(Role.CARETAKER, "张三", wecom_id="zs"),))
    assert "> 管水员：张三 未登记电话" in wecom_markdown(notice(works=works), ZH)


def test_names_cannot_bring_markdown_of_their_own() -> None:
    works = example_works(name="厂](http://x)**<@all>")
    assert "<@all>" not in wecom_markdown(notice(works=works), ZH)
    assert "](http" not in wecom_markdown(notice(works=works), ZH)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=40))
def test_whatever_the_register_says_sms_variables_stay_within_the_providers_rules(
    name: str, township: str, point: str
) -> None:
    works = example_works(name=name, township=township, points=(replace(example_works().points[0], name=point),))
    templates = load_templates()
    for step in Step:
        params = sms_params(notice(step, works=works), ZH, templates)
        lengths = templates[params["template"]].lengths
        assert params.keys() - {"template"} == lengths.keys()
        for variable, length in lengths.items():
            assert 0 < len(params[variable]) <= length
            assert not set("【】#『』µμ≥≤→•★※①²³\n") & set(params[variable])
            assert "http" not in params[variable].lower()


@given(st.text(max_size=3000))
def test_a_group_message_never_exceeds_4096_bytes(name: str) -> None:
    assert len(wecom_markdown(notice(works=example_works(name=name)), ZH).encode()) <= 4096


@given(st.text(), st.integers(4, 200))
def test_a_cut_falls_between_characters(text: str, limit: int) -> None:
    cut = bytes_cut(text, limit)
    assert len(cut.encode()) <= limit
    assert cut == text or text.startswith(cut.removesuffix("…"))


@given(st.lists(st.text(max_size=400), min_size=1, max_size=60))
def test_a_digest_holds_a_prefix_of_its_lines_within_4096_bytes(lines: list[str]) -> None:
    text, held = digest(lines)
    assert 1 <= held <= len(lines)
    assert len(text.encode()) <= 4096
    assert f"（{held}条）" in text


@pytest.mark.parametrize(
    ("minutes", "zh", "en"),
    [
        (0, "不到1分钟", "less than a minute"),
        (35, "35分钟", "35 min"),
        (60, "1小时", "1 h"),
        (1500, "1天1小时", "1 d 1 h"),
        (2880, "2天", "2 d"),
    ],
)
def test_spans_are_told_in_two_units_at_most(minutes: int, zh: str, en: str) -> None:
    assert duration(minutes * MINUTE, "zh") == zh
    assert duration(minutes * MINUTE, "en") == en


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("5µg/L≥3", "5ug/L不低于3"),
        ("100m³/d→网", "100m3/d至网"),
        ("3#水厂【新】", "3号水厂（新）"),
        ("见https://a.cn/x 页", "见 页"),
        ("12.6℃\n", "12.6度"),
    ],
)
def test_forbidden_characters_are_spelled_another_way(text: str, plain: str) -> None:
    assert sms_safe(text) == plain
