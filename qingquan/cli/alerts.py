"""Alerts: policy, rosters, explanations, drills."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.options import AsJson, ConfigFile, settings
from qingquan.errors import WrongUse

__all__: list[str] = []

alerts = group("alerts", "告警 · alerts: who is told, when, and why")


@alerts.command("check")
def alerts_check(
    file: Annotated[Path | None, typer.Argument(help="policy; default: the one in use")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """检查告警规则、值班表和联系人 · Validate policy, rosters and contacts: all faults at once."""
    from dataclasses import replace

    from qingquan.services.alert_checks import check_alerts

    config = settings(config_file)
    faults = check_alerts(replace(config, alerts_file=str(file)) if file else config, config_file)
    if as_json:
        print(json.dumps([asdict(fault) for fault in faults], ensure_ascii=False))
    else:
        for fault in faults:
            print(f"{fault.where}: {fault.en if config.language == 'en' else fault.zh}")
        print(
            f"发现 {len(faults)} 个问题" if config.language != "en" else f"{len(faults)} faults found", file=sys.stderr
        )
    if faults:
        raise typer.Exit(PROBLEMS)


@alerts.command("explain")
def alerts_explain(
    incident: Annotated[int, typer.Option("--incident", help="number of the incident")],
    language: Annotated[str, typer.Option("--language", help="zh or en; default: the configured one")] = "",
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """说明谁在何时收到什么，为什么 · Say who gets what when, and why."""
    from qingquan.services.alert_checks import explain_incident, explanation_json

    config = settings(config_file)
    told, words = explain_incident(config, incident, language or config.language)
    print(explanation_json(told) if as_json else words)


@alerts.command("drill")
def alerts_drill(
    by: Annotated[str, typer.Option("--by", help="who holds the drill")],
    works: Annotated[str, typer.Option("--works", help="county/id")] = "",
    county: Annotated[str, typer.Option("--county", help="6 digits: draw works of this county by turns")] = "",
    percent: Annotated[float, typer.Option("--percent", help="share of the county's works to draw")] = 1.0,
    config_file: ConfigFile = None,
) -> None:
    """发起演练 · Begin a drill at a works, or at a share of a county's: marked 演练 everywhere, counted nowhere."""
    from qingquan.services.drilling import begin_drill, begin_drills

    if bool(works) == bool(county):
        raise WrongUse("give either --works county/id or --county 6 digits")
    config = settings(config_file)
    for drill in [begin_drill(config, works, by)] if works else begin_drills(config, county, percent, by):
        print(
            f"演练 {drill.drill_number} 号已发起：{drill.works}，事件 {drill.id} · "
            f"drill {drill.drill_number} begun at {drill.works}, incident {drill.id}"
        )


@alerts.command("send-test")
def alerts_send_test(
    channel: Annotated[str, typer.Option("--channel", help="aliyun_sms, wecom_robot, …")],
    to: Annotated[
        str, typer.Option("--to", help="number, member id, open id or address; a group robot has only its group")
    ],
    times: Annotated[
        int, typer.Option("--times", help="so many messages: quotas show from the second on", min=1, max=5)
    ] = 1,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """发送测试消息 · Send a test message over one channel, outside the outbox, and say what the provider answered."""
    from qingquan.services.send_test import send_test

    outcomes = send_test(settings(config_file), channel, to, times, config_file)
    for outcome in outcomes:
        print(
            json.dumps(asdict(outcome), ensure_ascii=False)
            if as_json
            else f"{outcome.verdict}  {outcome.reason or outcome.provider_id}"
        )
    if any(outcome.reason for outcome in outcomes):
        raise typer.Exit(PROBLEMS)
