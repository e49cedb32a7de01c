"""Judgements, values and messages in words."""

from datetime import date

import pytest

from dashboards.web.bubbles import phone_markup, plain_words
from dashboards.web.incident_words import history, receiver_words, step_words
from dashboards.web.texts import texts_in
from dashboards.web.words import (
    clause_words,
    county_name,
    duration,
    finding_short,
    finding_words,
    legal_limit,
    limit_words,
    masked_phone,
    number,
    zone,
)  # fmt: skip
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import IncidentEvent, TransitionReason
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.testing.gateways import outbox_message

ZH, EN = texts_in("zh"), texts_in("en")
OUTLET = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("chlorine_dioxide", "free_chlorine", "turbidity"))
DAY = date(2026, 5, 1)


def works(disinfectant: Disinfectant = Disinfectant.FREE_CHLORINE, *, limited: bool = False) -> Works:
    return Works(
        "520425",
        "W1",
        "龙潭水厂",
        "松山镇",
        disinfectant,
        Equipment.EQUIPPED,
        100,
        900,
        (OUTLET,),
        source_limited=limited,
    )


def finding(kind: FindingKind, parameter: str, extreme: float | None, limit: float | None) -> Finding:
    return Finding(
        "f",
        kind,
        Severity.MAJOR,
        "520425",
        "W1",
        "outlet",
        parameter,
        0,
        None,
        0,
        extreme,
        limit,
        "Table 1",
        "r",
        "1",
        "",
    )


def test_a_low_residual_is_told_with_value_and_bound() -> None:
    low = finding(FindingKind.DISINFECTION_LOW, "free_chlorine", 0.123, 0.3)
    assert finding_words(low, ZH) == "消毒偏低 · 余氯 0.12（≥ 0.3 mg/L）"
    assert finding_words(low, EN) == "Disinfection low · Free chlorine 0.12 (≥ 0.3 mg/L)"
    assert finding_short(low, ZH) == "低于 0.3 mg/L"


def test_a_stopped_doser_is_told_as_such_and_not_as_a_value_that_breaks_no_bound() -> None:
    stopped = finding(FindingKind.DISINFECTION_MISSING, "free_chlorine", 0.4, 0.05)
    assert finding_words(stopped, ZH) == "消毒缺失 · 投加停止"
    assert finding_short(stopped, ZH) == "投加停止"


def test_an_exceedance_names_its_parameter_once() -> None:
    assert finding_words(finding(FindingKind.EXCEEDANCE, "turbidity", 4.533, 1.0), ZH) == "浊度超标 4.53（≤ 1 NTU）"


def test_a_finding_without_value_is_told_without_one() -> None:
    assert finding_words(finding(FindingKind.STALE, "", None, None), ZH) == "数据中断"


def test_a_small_supply_with_limited_source_has_the_relaxed_turbidity_limit_and_others_have_not() -> None:
    strict, relaxed = (legal_limit(works(limited=limited), OUTLET, "turbidity", DAY) for limited in (False, True))
    assert [limit_words(limit, ZH) for limit in (strict, relaxed)] == ["≤ 1", "≤ 3"]


def test_a_residual_is_judged_only_where_the_works_disinfects_with_it() -> None:
    dioxide = works(Disinfectant.CHLORINE_DIOXIDE)
    assert legal_limit(dioxide, OUTLET, "free_chlorine", DAY) is None
    assert limit_words(legal_limit(dioxide, OUTLET, "chlorine_dioxide", DAY), ZH) == "0.1 – 0.8"


def test_the_standard_of_the_day_judges() -> None:
    before = legal_limit(works(), OUTLET, "free_chlorine", date(2020, 1, 1))
    assert before is not None
    assert (before.standard, before.max) == ("GB 5749-2006", 4)


@pytest.mark.parametrize(
    ("clause", "words"),
    [("GB 5749-2022 Table 2", "GB 5749-2022 表2"), ("Table 1 footnote", "表1注"), ("house default: too high", "内部控制值"), ("", "")],
)  # fmt: skip
def test_clauses_read_as_chinese_readers_expect(clause: str, words: str) -> None:
    assert clause_words(clause, ZH) == words


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0 秒"), (59_999, "59 秒"), (60_000, "1 分钟"), (3_600_000, "1 小时"), (5_400_000, "1 小时 30 分"), (90_000_000, "1 天 1 小时"), (-5, "0 秒")],
)  # fmt: skip
def test_durations_have_two_units_at_most(ms: int, words: str) -> None:
    assert duration(ms, ZH) == words


def test_no_value_is_a_dash_and_not_nought() -> None:
    assert (number(None, 2), number(float("nan"), 2), number(0.0, 2)) == ("—", "—", "0.00")


@pytest.mark.parametrize(("phone", "shown"), [("13812345678", "138****5678"), ("12345", "*****"), ("", "")])
def test_phone_numbers_are_masked(phone: str, shown: str) -> None:
    assert masked_phone(phone) == shown


def test_a_county_has_its_name_and_an_unknown_one_its_code() -> None:
    assert county_name(None, "520425", ZH) == "紫云苗族布依族自治县"
    assert county_name(None, "999999", ZH) == "999999"


def test_a_time_zone_that_is_none_is_taken_as_chinas() -> None:
    assert str(zone("../etc/passwd")) == str(zone("Mars/Base")) == "Asia/Shanghai"


ROBOT = '**【模拟】严重告警**\n> 问题：<font color="warning">投加中断</font>\n> 详情：[查看](http://x/1)'


def test_a_robot_message_is_rendered_as_on_a_phone() -> None:
    assert phone_markup(ROBOT) == (
        "<span><b>【模拟】严重告警</b></span>"
        '<span class="quote">问题：<span class="f-warning">投加中断</span></span>'
        '<span class="quote">详情：<a href="http://x/1" target="_blank" rel="noreferrer">查看</a></span>'
    )


def test_a_robot_message_is_readable_in_one_line() -> None:
    assert plain_words(ROBOT) == "【模拟】严重告警 · 问题：投加中断 · 详情：查看"


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '<font color="red" onclick=x>',
        "**<img src=x>**",
        '[a](javascript:x)"><b',
        '[a](http://x"onclick=y)',
        "[a](https://x'><img)",
        "[a](data:text/html,x)",
        "[<b>](//x)",
    ],
)
def test_markup_in_a_message_stays_text(text: str) -> None:
    shown = phone_markup(text)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "<font" not in shown
    assert "href" not in shown


@pytest.mark.parametrize(
    ("step", "zh"),
    [
        ("firing", "报警"), ("raised_critical", "升级"), ("county_duty", "县级值班员"), ("township_1", "乡镇水管站"),
        ("repeat_3", "重复通知"), ("muted_0", "暂不通知"), ("repeat_3_1", "重复通知"), ("house_rung", "house_rung"),
    ],
)  # fmt: skip
def test_a_message_says_whose_turn_it_was(step: str, zh: str) -> None:
    assert step_words(step, ZH) == zh


def test_a_forecast_names_the_bound_it_will_fall_below() -> None:
    falling = Finding(
        "f", FindingKind.RESIDUAL_FALLING, Severity.MINOR, "520425", "W0001", "outlet", "free_chlorine", start=0, end=None, evidence_at=0,
        extreme=0.38, limit=0.3, clause="", rule="", rule_version="", reason="",
    )  # fmt: skip
    assert finding_words(falling, ZH).endswith("余氯 0.38（≥ 0.3 mg/L）")


@pytest.mark.parametrize(
    ("reason", "detail", "said"),
    [
        (TransitionReason.TOWNSHIP_GROUPED, "大营镇 7", "大营镇同期有7处工程，合并为一件"),
        (TransitionReason.TOWNSHIP_GROUPED, "21", "并入乡镇事件 21"),
        (TransitionReason.TOWNSHIP_RESTORED, "1", "该乡镇已恢复，仍有1处单独处理"),
        (TransitionReason.TOWNSHIP_RESTORED, "0", "该乡镇各工程已恢复"),
    ],
)
def test_the_history_says_what_a_township_has_to_do_with_it(reason: TransitionReason, detail: str, said: str) -> None:
    assert f"<span>{said}</span>" in history([IncidentEvent(from_ms(0), reason, "", detail)], "Asia/Shanghai", ZH)


def test_a_prefecture_has_a_name_too() -> None:
    assert (county_name(None, "5204", ZH), county_name(None, "5204", EN)) == ("安顺市", "Anshun")


@pytest.mark.parametrize(
    ("channel", "receiver", "name", "said"),
    [
        ("aliyun_sms", "13800000001", "张三", "张三"), ("aliyun_sms", "13800000001", "", "13800000001"), ("", "grouped:21", "", "不逐个通知"),
        ("", "county_leader", "县级带班领导", "县级带班领导"),
    ],
)  # fmt: skip
def test_who_was_told_is_named_and_who_was_spared_as_well(channel: str, receiver: str, name: str, said: str) -> None:
    assert receiver_words(outbox_message(channel, receiver=receiver, receiver_name=name), ZH) == said
