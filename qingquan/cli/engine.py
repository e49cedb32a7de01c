"""The engine's rules."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.options import AsJson, ConfigFile, settings

__all__: list[str] = []

rules = group("rules", "规则 · rules")


@rules.command("check")
def rules_check(
    file: Annotated[Path | None, typer.Argument(help="ruleset; default: the one in use")] = None,
    config_file: ConfigFile = None,
) -> None:
    """检查规则集 · Validate a ruleset: all faults at once, by file, key, value and allowed values."""
    from qingquan.services.rulesets import load_ruleset

    config = settings(config_file)
    found = load_ruleset(replace(config, rules_file=str(file)) if file else config)
    where = file or config.rules_file or "rules/default.toml"
    print(
        f"规则集有效 ruleset is valid: {where} ({found.version}, 规则 rules {len(found.rules) + len(found.compounds)}, 消毒 disinfection)"
    )


@rules.command("explain")
def rules_explain(
    works: Annotated[str, typer.Option("--works", help="id, or county/id")],
    parameter: Annotated[str, typer.Option("--parameter", help="code, or name in Chinese or English")],
    at: Annotated[str, typer.Option("--at", help="ISO 8601 (without offset: China Standard Time), or now")] = "now",
    profile: Annotated[str | None, typer.Option("--profile", help="default: what binds in the county that day")] = None,
    point: Annotated[str | None, typer.Option("--point", help="sampling point; default: the outlet")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """说明适用限值 · Say which row of the standard applies to a works and why, and which rows do not."""
    from qingquan.services.explain import explain, explanation_json, moment_of

    config = settings(config_file)
    told = explain(config, works, parameter, moment_of(at, config), profile=profile, point=point)
    print(explanation_json(told) if as_json else f"{told.zh}\n{told.en}")


@rules.command("schema")
def rules_schema() -> None:
    """规则文件的 JSON 模式 · JSON schema of the ruleset, for editors."""
    import json

    from qingquan.standards.loader import load_standards
    from rules.schema import ruleset_schema

    print(json.dumps(ruleset_schema(load_standards().parameters), ensure_ascii=False, indent=2))


@rules.command("test")
def rules_test(
    file: Annotated[Path | None, typer.Argument(help="ruleset; default: the one in use")] = None,
    tests: Annotated[
        list[Path] | None, typer.Option("--tests", help="tests; default: those beside the ruleset (NAME.tests.toml)")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """运行规则的单元测试 · Run the tests written beside a ruleset: series on a time axis, and what is to be said when."""
    import json

    from qingquan.services.rule_tests import run_tests as run
    from qingquan.services.rule_tests import tests_of

    config = settings(config_file)
    config = replace(config, rules_file=str(file)) if file else config
    text, where, further = tests_of(config, tests or [])
    results = run(text, where, further)
    failed = [one for one in results if one.failures]
    if as_json:
        print(json.dumps([{"name": one.name, "failures": one.failures} for one in results], ensure_ascii=False))
    else:
        for one in results:
            print(f"{'不通过 FAILED' if one.failures else '通过 passed'}  {one.name}")
            for failure in one.failures:
                print(f"    {failure}")
        print(f"测试 tests {len(results)}, 不通过 failed {len(failed)}")
    # Nothing tested is nothing shown.
    raise typer.Exit(PROBLEMS if failed or not results else 0)


@rules.command("backtest")
def rules_backtest(
    works: Annotated[str, typer.Option("--works", help="id, or county/id")],
    days: Annotated[int, typer.Option("--days", help="how far back")] = 90,
    ruleset: Annotated[Path | None, typer.Option("--ruleset", help="rules to try; default: those in force")] = None,
    until: Annotated[
        str, typer.Option("--until", help="ISO 8601 (without offset: China Standard Time), or now")
    ] = "now",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """用历史数据试算规则 · What rules would have said over the stored history of a works, beside those in force."""
    import json

    from qingquan.services.backtest import backtest_json
    from qingquan.services.backtest_words import backtest_text
    from qingquan.services.explain import moment_of
    from qingquan.services.rule_orders import read_ruleset, try_rules
    from qingquan.store.sql.engine import check_schema, open_database

    config = settings(config_file)
    tried = read_ruleset(ruleset)[1] if ruleset else None
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        done = try_rules(config, engine, works, days, moment_of(until, config), tried)
    finally:
        engine.dispose()
    print(json.dumps(backtest_json(done), ensure_ascii=False) if as_json else backtest_text(done, config))


@rules.command("activate")
def rules_activate(
    file: Annotated[Path, typer.Argument(help="ruleset")],
    by: Annotated[str, typer.Option("--by", help="who decides it")],
    config_file: ConfigFile = None,
) -> None:
    """启用规则集，无需重启 · Put a ruleset in force for all evaluators, without a restart."""
    from qingquan.services.rule_orders import activate

    number = activate(settings(config_file), file, by)
    print(f"已启用规则集 ruleset in force: {file} (编号 number {number})")


@rules.command("deactivate")
def rules_deactivate(
    by: Annotated[str, typer.Option("--by", help="who decides it")], config_file: ConfigFile = None
) -> None:
    """停用已启用的规则集 · Go back to the ruleset file of the settings."""
    from qingquan.services.rule_orders import deactivate

    config = settings(config_file)
    deactivate(config, by)
    print(f"已恢复为规则文件 back to the file: {config.rules_file or 'rules/default.toml'}")
