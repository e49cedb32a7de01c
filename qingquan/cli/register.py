"""What people bring and mend: register of works, laboratory results, quarantine."""

from pathlib import Path
from typing import Annotated

import typer

from qingquan.cli.application import PROBLEMS, group
from qingquan.cli.options import ConfigFile, DataFolder, running, settings
from qingquan.cli.progress import Progress
from qingquan.errors import WrongUse

__all__: list[str] = []

works = group("works", "供水工程台账 · register of works")
laboratory = group("lab", "化验结果 · laboratory results")
quarantine = group("quarantine", "隔离区 · what could not be taken as a reading")


@works.command("import")
def works_import(
    file: Path,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would happen")] = False,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """导入台账 · Import works from Excel or CSV; every refused row is reported."""
    from qingquan.services.works_import import import_works
    from qingquan.store.sql.engine import open_database, upgrade

    config = settings(config_file, data_dir=data)
    upgrade(config.sql_url)
    report = import_works(file, open_database(config.sql_url), dry_run)
    print("\n".join(report.lines(config.language)))
    raise typer.Exit(0 if report.is_clean else PROBLEMS)


@works.command("export")
def works_export(
    out: Path,
    county: Annotated[str | None, typer.Option("--county", help="division code, or its beginning")] = None,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """导出台账或空表 · Write the register (when it is empty: a template) as a workbook that `works import` reads."""
    if out.suffix.lower() != ".xlsx":
        raise WrongUse(f"{out}: allowed: a name that ends in .xlsx")
    from qingquan.services.works_import import export_works
    from qingquan.store.sql.engine import open_database, upgrade

    config = settings(config_file, data_dir=data)
    upgrade(config.sql_url)
    out.write_bytes(export_works(open_database(config.sql_url), county))
    print(out)


@laboratory.command("import")
def lab_import(
    file: Path,
    by: Annotated[str, typer.Option("--by", help="who uploads")],
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """导入化验单 · Import laboratory results from Excel or CSV; judged at once, refusals by cell."""
    from qingquan.services.lab_upload import import_file

    raise typer.Exit(import_file(file, by, settings(config_file, data_dir=data)))


@laboratory.command("template")
def lab_template(out: Path, config_file: ConfigFile = None) -> None:
    """写出空白化验单 · Write an empty sheet for laboratories."""
    from ingest.lab.template import template_workbook

    out.write_bytes(template_workbook(settings(config_file).language))
    print(out)


@quarantine.command("redrive")
def quarantine_redrive(
    reason: Annotated[str | None, typer.Option("--reason", help="only what was set aside for this reason")] = None,
    data: DataFolder = None,
    config_file: ConfigFile = None,
) -> None:
    """重新处理 · Give quarantined messages to the reading log again, after the cause was mended."""
    from qingquan.services.redrive import redrive

    config = settings(config_file, data_dir=data)
    with Progress[int](lambda sent: f"重投 redriven {sent}") as progress:
        counts = redrive(running(config), reason, progress=progress)
    print(f"重投 redriven {counts.redriven} 条 messages, 失败 failed {counts.failed}")
    if counts.error:
        print(counts.error)
    raise typer.Exit(PROBLEMS if counts.failed else 0)
