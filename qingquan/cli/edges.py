"""County edges of a province."""

import json

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.options import AsJson, ConfigFile, DataFolder, settings

__all__: list[str] = []

_edges = group("edges", "县级边缘站 · county edges of a province")


@_edges.command()
def status(as_json: AsJson = False, data: DataFolder = None, config_file: ConfigFile = None) -> None:
    """各边缘站状态 · When each edge was last heard, what waits there, why it is not taken; exit status 1 if one is not well."""
    from qingquan.services.edge_report import edge_rows, edge_table_lines, is_well

    config = settings(config_file, data_dir=data)
    rows = edge_rows(config)
    print(json.dumps(rows, ensure_ascii=False) if as_json else "\n".join(edge_table_lines(rows, config.language)))
    if not is_well(rows):
        raise typer.Exit(PROBLEMS)


@_edges.command()
def server(config_file: ConfigFile = None) -> None:
    """日志服务器配置 · What the configuration of a NATS server that we do not start needs for the edges; holds their passwords."""
    from qingquan.services.edge_report import server_lines

    print("\n".join(server_lines(settings(config_file))))
