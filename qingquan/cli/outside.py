"""Programs beside ours: Grafana."""

from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import group
from qingquan.cli.options import ConfigFile, settings

__all__: list[str] = []

grafana = group("grafana", "Grafana 面板 · dashboards")


@grafana.command("build")
def grafana_build(
    out: Annotated[Path, typer.Option("--out")] = Path("deploy/grafana"), config_file: ConfigFile = None
) -> None:
    """生成面板 · Write dashboards and provisioning files, generated from parameters and limits."""
    from dashboards.grafana.build import build

    settings(config_file)
    for path in build(out):
        print(path)


@grafana.command("push")
def grafana_push(
    url: Annotated[str, typer.Option("--url")],
    token: Annotated[str, typer.Option("--token", envvar="GRAFANA_TOKEN")],
    config_file: ConfigFile = None,
) -> None:
    """推送面板 · Push data source and dashboards to a running Grafana."""
    from dashboards.grafana.push import push

    config = settings(config_file)
    done = push(
        url, token, influx_url=config.influx_url, influx_token=config.influx_token, influx_database=config.influx_bucket
    )
    print("\n".join(done))
