"""Which row applies to a works and why, in one sentence of each language."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qingquan.cli import app
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.profiles import WhyNone, WhyNot
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.errors import ConfigurationError, WrongUse
from qingquan.services.explain import Explanation, explain, explanation_json, explanation_of, moment_of
from qingquan.standards.profiles import load_profiles
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import make_works

POINTS = (
    SamplingPoint("raw", PointKind.SOURCE, "水源水"),
    SamplingPoint("out", PointKind.OUTLET, "出厂水"),
    SamplingPoint("end", PointKind.NETWORK_END, "末梢水"),
)
SMALL = make_works(points=POINTS)
SMALL_LIMITED = make_works(points=POINTS, source_limited=True)
LARGE = make_works(points=POINTS, capacity_m3_d=5000.0, population=50_000)
MIXED = make_works(points=POINTS, disinfectant=Disinfectant.MIXED_CLO2_CL2)


def told(works: Works, parameter: str, on: str = "2026-05-01", **options: str) -> Explanation:
    at = to_ms(datetime.fromisoformat(on + "T08:00+08:00"))
    return explanation_of(works, parameter, at, load_profiles(), **options)


def why(explanation: Explanation, row: str) -> WhyNot:
    return next(one.why for one in explanation.passed if one.limit.id == row)


def test_a_small_supply_whose_source_is_not_limited_is_not_relaxed_and_is_told_so() -> None:
    found = told(SMALL, "turbidity")
    assert found.limit is not None
    assert found.limit.id == "gb5749-2022.turbidity"
    assert why(found, "gb5749-2022.turbidity.small") is WhyNot.NOT_LIMITED
    assert "适用 GB 5749-2022 表1：≤ 1 NTU" in found.zh
    assert "是小型供水，但登记表未注明水源或净水技术受限，不放宽" in found.zh
    assert "small supply, but source or treatment is not registered as limited: not relaxed" in found.en


def test_a_small_limited_supply_gets_the_relaxed_row_with_the_reason_and_a_warning_of_medium_confidence() -> None:
    found = told(SMALL_LIMITED, "turbidity")
    assert found.limit is not None
    assert found.limit.id == "gb5749-2022.turbidity.small"
    assert why(found, "gb5749-2022.turbidity") is WhyNot.YIELDS
    assert "小型集中式供水（200 m³/d、900 人），且已登记水源或净水技术受限，按放宽限值" in found.zh
    assert "数值须与标准原文核对" in found.zh


def test_a_large_works_is_told_that_it_is_not_small() -> None:
    found = told(LARGE, "turbidity")
    assert why(found, "gb5749-2022.turbidity.small") is WhyNot.NOT_SMALL
    assert "不属小型供水（5000 m³/d、50000 人）" in found.zh


def test_the_day_at_the_works_chooses_the_edition() -> None:
    last = explanation_of(SMALL, "free_chlorine", to_ms(datetime(2023, 3, 31, 15, 59, tzinfo=UTC)), load_profiles())
    first = explanation_of(SMALL, "free_chlorine", to_ms(datetime(2023, 3, 31, 16, 0, tzinfo=UTC)), load_profiles())
    assert (last.on, last.profile.id, last.limit and last.limit.max) == (date(2023, 3, 31), "gb5749-2006", 4)
    assert (first.on, first.profile.id, first.limit and first.limit.max) == (date(2023, 4, 1), "gb5749-2022", 2)


def test_rows_of_another_edition_are_told_together() -> None:
    assert "不用 GB 5749-2006 的 4 行：2007-07-01 至 2023-03-31 有效" in told(SMALL, "turbidity").zh
    assert "not the 2 rows of GB 5749-2022: in force from 2023-04-01 on" in told(SMALL, "turbidity", "2020-01-01").en


def test_the_point_chooses_between_rows_of_a_residual() -> None:
    outlet, end = told(SMALL, "free_chlorine"), told(SMALL, "free_chlorine", point="end")
    assert (outlet.limit and outlet.limit.min, end.limit and end.limit.min) == (0.3, 0.05)
    assert why(outlet, "gb5749-2022.free_chlorine.network_end") is WhyNot.OTHER_POINT
    assert "只用于末梢水" in outlet.zh


def test_raw_water_and_a_disinfectant_not_used_are_not_judged() -> None:
    assert told(SMALL, "turbidity", point="raw").why_none is WhyNone.RAW_WATER
    assert told(SMALL, "ozone").why_none is WhyNone.OTHER_DISINFECTANT
    assert "不使用这种消毒剂" in told(SMALL, "ozone").zh


@pytest.mark.parametrize("parameter", ["chlorine_dioxide", "free_chlorine"])
def test_a_mixed_generator_is_judged_by_both_residuals_and_told_that_one_suffices(parameter: str) -> None:
    found = told(MIXED, parameter)
    assert found.limit is not None
    assert "两项均不得超过限值，余量至少一项达标" in found.zh


def test_annex_a_informs_and_never_limits() -> None:
    found = told(SMALL, "pfoa")
    assert (found.limit, found.why_none, [row.id for row in found.informs]) == (
        None,
        WhyNone.NO_ROW,
        ["gb5749-2022-a.pfoa"],
    )
    assert "没有规定此指标的限值" in found.zh


def test_a_number_that_is_not_held_is_not_said_to_be_unlimited() -> None:
    """WHO has a guideline value for arsenic and the edition of 2006 a limit for formaldehyde; neither table holds it."""
    for parameter, on, profile in (
        ("arsenic", "2026-05-01", "who-gdwq-2022"),
        ("formaldehyde", "2020-05-01", "gb5749-2006"),
    ):
        found = told(SMALL, parameter, on, profile=profile)
        assert (found.limit, found.why_none, found.informs) == (None, WhyNone.NOT_HELD, ())
        assert "没有收录" in found.zh
        assert "没有规定" not in found.zh


def test_a_reference_profile_gives_its_rows_and_no_limit() -> None:
    found = told(SMALL, "nitrate_n", profile="who-gdwq-2022")
    assert (found.limit, found.why_none, len(found.informs)) == (None, WhyNone.REFERENCE_ONLY, 1)
    assert "仅供参考，不作为评价限值" in found.zh


def test_an_evaluation_keeps_its_edition_and_says_that_it_changes_no_verdict() -> None:
    found = told(SMALL, "turbidity", "2021-06-01", profile="guizhou-2020")
    assert (found.limit and found.limit.id) == "gb5749-2006.turbidity.small"
    assert "仅用于评价，不影响超标判定和消毒状态" in found.zh
    assert "有效期内" not in found.zh
    later = told(SMALL, "turbidity", "2026-06-01", profile="guizhou-2020")
    assert later.limit == found.limit
    assert "按 2023-03-31 的限值，是否沿用须向主管部门核实" in later.zh


def test_an_evaluation_whose_limits_are_not_held_says_so() -> None:
    found = told(SMALL, "turbidity", "2010-06-01", profile="mwr-2004-547")
    assert found.why_none is WhyNone.NOT_HELD


@pytest.mark.parametrize(
    ("facts", "parameter", "row", "said"),
    [
        ({}, "turbidity", "gb5749-2006.turbidity", "登记表未注明水源或净水技术受限，不放宽"),
        ({"source_limited": True}, "turbidity", "gb5749-2006.turbidity.source_limited", "已登记水源或净水技术受限"),
        ({"treatment_limited": True}, "turbidity", "gb5749-2006.turbidity", "不放宽"),
        ({}, "nitrate_n", "gb5749-2006.nitrate_n", "未登记地下水源受限，不放宽"),
        ({"groundwater_limited": True}, "nitrate_n", "gb5749-2006.nitrate_n.groundwater_limited", "已登记地下水源受限"),
        ({"source_limited": True}, "permanganate_index", "gb5749-2006.permanganate_index", "未登记水源受限且原水耗氧量大于6"),
        (
            {"raw_permanganate_above_6": True}, "permanganate_index",
            "gb5749-2006.permanganate_index.raw_permanganate_above_6", "已登记水源受限且原水耗氧量大于6",
        ),
    ],
)  # fmt: skip
def test_a_condition_relaxes_where_the_register_states_it_and_nowhere_else(
    facts: dict[str, bool], parameter: str, row: str, said: str
) -> None:
    large = make_works(points=POINTS, capacity_m3_d=5000.0, population=50_000, **facts)
    found = told(large, parameter, "2020-01-01")
    assert (found.limit and found.limit.id) == row
    assert said in found.zh
    today = told(large, parameter)
    assert (today.limit and today.limit.id) == f"gb5749-2022.{parameter}"


def test_the_second_step_of_table_4_needs_a_small_supply_with_source_and_treatment_limited() -> None:
    both = {"source_limited": True, "treatment_limited": True}
    small, large = (
        make_works(points=POINTS, **both),
        make_works(points=POINTS, capacity_m3_d=5e3, population=50_000, **both),
    )
    found = told(small, "turbidity", "2020-01-01")
    assert (found.limit and found.limit.max) == 5
    assert why(told(large, "turbidity", "2020-01-01"), "gb5749-2006.turbidity.small_second_step") is WhyNot.NOT_SMALL
    only_source = told(SMALL_LIMITED, "turbidity", "2020-01-01")
    assert (only_source.limit and only_source.limit.max) == 3
    assert why(only_source, "gb5749-2006.turbidity.small_second_step") is WhyNot.CONDITION_UNKNOWN


@pytest.mark.parametrize(
    ("written", "code"), [("浑浊度", "turbidity"), ("硝酸盐", "nitrate_n"), ("Lead", "lead"), ("pH", "ph")]
)
def test_names_are_understood_in_both_languages(written: str, code: str) -> None:
    assert told(SMALL, written).parameter == code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parameter": "turbidty"}, "相近 close: turbidity"),
        ({"point": "tap"}, "采样点 points of the works: raw, out, end"),
        ({"profile": "who"}, "--profile who: allowed: gb5749-2022, "),
        ({"on": "2007-06-30"}, "the first begins on 2007-07-01"),
    ],
)
def test_wrong_use_says_what_is_known(options: dict[str, str], said: str) -> None:
    with pytest.raises(WrongUse) as refused:
        told(SMALL, **{"parameter": "turbidity", **options})
    assert said in str(refused.value)


def test_no_sentence_is_broken_for_any_indicator_profile_or_day() -> None:
    tables = load_profiles()
    codes = sorted({row.code for rows in tables.rows.values() for row in rows})
    for works in (SMALL, SMALL_LIMITED, MIXED):
        for code in codes:
            for profile in (None, *tables.profiles):
                found = explanation_of(works, code, to_ms(datetime(2021, 5, 1, tzinfo=UTC)), tables, profile=profile)
                assert found.zh.endswith("。")
                assert found.en.endswith(".")
                assert "None" not in found.zh + found.en
                assert (found.limit is None) is (found.why_none is not None)


def test_the_register_is_asked_by_id_or_by_county_and_id(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, [SMALL, make_works("W2"), make_works("W2", county="520402")])
    engine.dispose()
    at = moment_of("2026-05-01", config)
    assert explain(config, "W1", "turbidity", at).works.id == "W1"
    assert explain(config, "520402/W2", "turbidity", at).works.county == "520402"
    with pytest.raises(WrongUse, match="520402/W2, 520425/W2"):
        explain(config, "W2", "turbidity", at)
    with pytest.raises(WrongUse, match="not in the register"):
        explain(config, "W9", "turbidity", at)


def test_moments_are_iso_or_now() -> None:
    config = Config()
    assert moment_of("2026-05-01", config) == to_ms(datetime(2026, 4, 30, 16, 0, tzinfo=UTC))
    assert moment_of("2026-05-01T08:00+00:00", config) == to_ms(datetime(2026, 5, 1, 8, 0, tzinfo=UTC))
    for wrong in ("yesterday", "", "2026-13-01", "0001-01-01", "9999-12-31"):
        with pytest.raises(WrongUse, match=f"--at {wrong}: allowed"):
            moment_of(wrong, config)


def test_a_database_without_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="qingquan db upgrade"):
        explain(Config(data_dir=str(tmp_path)), "W1", "turbidity", 0)


def test_the_command_prints_both_sentences_or_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQUAN_DATA_DIR", str(tmp_path))
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, [SMALL])
    engine.dispose()
    line = ["rules", "explain", "--works", "W1", "--parameter", "浑浊度", "--at", "2026-05-01"]
    done = CliRunner().invoke(app, line)
    expected = told(SMALL, "turbidity")
    assert (done.exit_code, done.stdout) == (0, f"{expected.zh}\n{expected.en}\n")
    facts = json.loads(CliRunner().invoke(app, [*line, "--json", "--point", "end"]).stdout)
    assert (facts["point"], facts["limit"]["id"]) == ("end", "gb5749-2022.turbidity")
    wrong = CliRunner().invoke(app, [*line, "--profile", "who"])
    assert wrong.exit_code == 2
    assert "--profile who: allowed: gb5749-2022" in wrong.stderr


def test_json_names_the_row_and_those_passed_over() -> None:
    facts = json.loads(explanation_json(told(SMALL, "turbidity")))
    assert facts["limit"]["id"] == "gb5749-2022.turbidity"
    assert {"id": "gb5749-2022.turbidity.small", "why": "not_limited"} in facts["passed_over"]
    assert facts["zh"].endswith("。")
