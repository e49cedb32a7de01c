"""Compliance by day and month."""

import json
import re
import sys
from typing import Annotated

import typer

from qingquan.cli.application import app
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, settings
from qingquan.errors import WrongUse

__all__: list[str] = []


@app.command()
def compliance(
    works: Annotated[str, typer.Option("--works", help="id, or county/id")] = "",
    county: Annotated[str, typer.Option("--county", help="division code, or its beginning")] = "",
    month: Annotated[str, typer.Option("--month", help="2026-05; default: the current one")] = "",
    parameter: Annotated[str, typer.Option("--parameter", help="code, e.g. turbidity")] = "",
    by: Annotated[str, typer.Option("--by", help="month or day")] = "month",
    recompute: Annotated[bool, typer.Option("--recompute", help="have the month reckoned again first")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV")] = False,
    as_json: AsJson = False,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """合规统计 · Time compliant, exceeding and unknown by works and parameter: as known now, and as known then."""
    from qingquan.services.compliance_report import current_month, figures_of, mark_month, table_lines, write_csv

    if month and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month):
        raise WrongUse(f"--month {month}: write it as 2026-05")
    if by not in ("month", "day"):
        raise WrongUse(f"--by {by}: allowed: month, day")
    if as_csv and as_json:
        raise WrongUse("--csv and --json: give one of them")
    if "/" in works:
        county, _, works = works.partition("/")
    config = settings(config_file, data_dir=data)
    month = month or current_month(config)
    if recompute:
        marked = mark_month(config, county, works, month)
        print(f"已标记重算 marked to be reckoned again: {marked}", file=sys.stderr)
    found = figures_of(config, county, works, parameter, month, by_month=by == "month")
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif as_csv:
        write_csv(found, sys.stdout)
    else:
        print("\n".join(table_lines(found, config.language)))
