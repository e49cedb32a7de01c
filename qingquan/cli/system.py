"""The system as a whole: start it, run one service, look at it, bring the database up to date."""

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, app, group
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, require_own_names, settings
from qingquan.errors import WrongUse

__all__: list[str] = []

# The others need no library of the console.
WITH_CONSOLE = ("web",)
# Whose work nobody waits for: on a busy machine what raises alarms comes first. No more than that, for they hold SQLite's only place to
# write like everybody else.
IN_THE_BACKGROUND = ("adviser", "compliance", "detector")
NICENESS = 5
SERVICE_NAMES = "log-server, database-server, evaluator, recorder, detector, alerter, adviser, compliance, watchdog, edges, web, bridge, gateway-double"


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="add a simulated county with faults")] = False,
    cluster: Annotated[
        bool,
        typer.Option("--cluster", help="a cluster on this machine: three log servers, two evaluators, two alerters"),
    ] = False,
    data: DataFolder = None,
    port: Annotated[int | None, typer.Option("--port", help="port of the console")] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """启动整个系统 · Start the whole system in one go: on the embedded default, or as a cluster."""
    from qingquan.services.up import run

    require_own_names()
    data = data or (".demo" if demo else None)
    if config_file is not None:
        from qingquan.services.alerter import refuse_open_secrets

        refuse_open_secrets(config_file)
    raise typer.Exit(
        run(settings(config_file, data_dir=data, web_port=port), demo=demo, cluster=cluster, as_json=as_json)
    )


@app.command("run")
def run_service(
    name: Annotated[str, typer.Argument(help=SERVICE_NAMES)],
    config_file: ConfigFile = None,
) -> None:
    """运行一个服务 · Run one service, configured by file and environment."""
    from qingquan.services.spare_memory import keep_little, leave_out
    from qingquan.wiring import SERVICES, service

    if name not in SERVICES:
        raise WrongUse(f"run {name}: allowed: {', '.join(SERVICES)}")
    keep_little()
    if name not in WITH_CONSOLE:
        leave_out()
    if name in IN_THE_BACKGROUND and hasattr(os, "nice"):
        os.nice(NICENESS)
    require_own_names()
    config = settings(config_file)
    if name == "alerter":
        from qingquan.services.alerter import refuse_open_secrets

        refuse_open_secrets(config_file)
    raise typer.Exit(service(name)(config))


@app.command()
def doctor(as_json: AsJson = False, data: DataFolder = None, config_file: ConfigFile = None) -> None:
    """体检 · Say what is installed, reachable and missing."""
    from qingquan.services.doctor import State, examine, lines

    checks = examine(settings(config_file, data_dir=data))
    if as_json:
        print(json.dumps([asdict(check) for check in checks], ensure_ascii=False))
    else:
        print("\n".join(lines(checks)))
    raise typer.Exit(PROBLEMS if any(check.state is State.FAULT for check in checks) else 0)


database = group("db", "数据库 · relational database")


@database.command("upgrade")
def database_upgrade(data: DataFolder = None, config_file: ConfigFile = None) -> None:
    """升级表结构 · Bring the relational database to the schema of this version."""
    from qingquan.store.sql.engine import upgrade

    print(upgrade(settings(config_file, data_dir=data).sql_url))
