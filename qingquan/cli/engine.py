"""The engine's rules."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import group
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
    print(f"规则集有效 ruleset is valid: {where} ({found.version}, 规则 rules {len(found.rules)}, 消毒 disinfection)")


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
