"""`qingquan works import`: a workbook or CSV into the register, with a report of every row refused."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from ledgers.points_import import PointRow
from ledgers.refusals import Refusal, RefusalReason
from ledgers.works_columns import POINTS_SHEET
from ledgers.works_export import register_workbook
from ledgers.works_import import ParsedRegister, WorksRow, merged, parse_file
from qingquan.domain.judgeable import MOST_SERIES, series_count
from qingquan.domain.works import Works
from qingquan.errors import WrongUse
from qingquan.standards.loader import load_standards
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.register import load_works, save_works

__all__ = ["Report", "export_works", "import_works"]

WorksKey = tuple[str, str]

# A register kept as CSV has its points in a second file beside it: works.csv and works-采样点.csv.
POINTS_SUFFIXES = ("-采样点", "_采样点", "-points", "_points")


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an import. ``rows`` = ``taken`` + ``refused``; works without points are listed, not refused."""

    files: tuple[str, ...]
    dry_run: bool
    rows: int
    refused: int
    inserted: int
    updated: int
    unchanged: int
    points: int
    without_points: tuple[str, ...]
    refusals: tuple[Refusal, ...]

    @property
    def is_clean(self) -> bool:
        """Whether everything in the file was taken: exit status 0, else 1."""
        return not self.refusals

    def lines(self, language: str = "zh") -> list[str]:
        """The report in words: totals, then one line per refusal."""
        return _lines_zh(self) if language == "zh" else _lines_en(self)


def import_works(path: Path, engine: Engine, dry_run: bool = False) -> Report:
    """Bring the register up to what a file says; with ``dry_run`` only tell what would happen.

    Good rows are saved in one transaction, refused ones are reported. Importing the same file again changes nothing.

    Raises
    ------
    WrongUse
        If the file cannot be opened.
    StoreUnavailable
        If the database does not answer; nothing was saved then.
    """
    files = _contents(path)
    with reading(engine) as connection:
        known = [(entry.county, entry.id) for entry in load_works(connection)]
    # Parsed before the transaction: on SQLite nobody else can write while it lasts.
    parsed = parse_file(files, load_standards().parameters, known)
    with reading(engine) if dry_run else writing(engine) as connection:
        held = {(entry.county, entry.id): entry for entry in load_works(connection)}
        entries, too_many = _entries(parsed, held)
        if not dry_run:
            save_works(connection, entries.values())
    inserted = sum(key not in held for key in entries)
    changed = sum(held.get(key, entry) != entry for key, entry in entries.items())
    return Report(
        files=tuple(name for name, _ in files),
        dry_run=dry_run,
        rows=parsed.rows,
        refused=parsed.refused_rows + sum(rows for _, rows in too_many),
        inserted=inserted,
        updated=changed,
        unchanged=len(entries) - inserted - changed,
        points=sum(point.works in entries for point in parsed.points),
        without_points=tuple(f"{entry.county}/{entry.id}" for entry in entries.values() if not entry.points),
        refusals=(*parsed.refusals, *(refusal for refusal, _ in too_many)),
    )


def export_works(engine: Engine, county: str | None = None) -> bytes:
    """The register, or a region of it, as the workbook `import_works` reads."""
    with reading(engine) as connection:
        entries = load_works(connection, county)
    return register_workbook(entries, load_standards().parameters)


def _contents(path: Path) -> list[tuple[str, bytes]]:
    paths = [path]
    if path.suffix.lower() not in (".xlsx", ".xls", ".xlsm", ".ods"):
        companions = (path.with_name(f"{path.stem}{suffix}{path.suffix}") for suffix in POINTS_SUFFIXES)
        paths += [companion for companion in companions if companion.is_file()][:1]
    try:
        return [(one.name, one.read_bytes()) for one in paths]
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}") from error


def _entries(
    parsed: ParsedRegister, held: dict[WorksKey, Works]
) -> tuple[dict[WorksKey, Works], list[tuple[Refusal, int]]]:
    """What the register's entries become; and works refused as they would have too many series, with their rows."""
    rows: dict[WorksKey, WorksRow] = {(row.works.county, row.works.id): row for row in parsed.works}
    points: dict[WorksKey, list[PointRow]] = {}
    for point in parsed.points:
        points.setdefault(point.works, []).append(point)
    keys: Collection[WorksKey] = dict.fromkeys([*rows, *points])
    entries: dict[WorksKey, Works] = {}
    refused: list[tuple[Refusal, int]] = []
    for key in keys:
        entry = merged(held.get(key), rows.get(key), points.get(key, ()))
        if entry is None:
            continue
        count = series_count(entry)
        if count > MOST_SERIES:
            facts = {"found": str(count), "allowed": str(MOST_SERIES)}
            refusal = Refusal(POINTS_SHEET, 0, "", f"{key[0]}/{key[1]}", RefusalReason.TOO_MANY_SERIES, facts)
            refused.append((refusal, (key in rows) + len(points.get(key, ()))))
        else:
            entries[key] = entry
    return entries, refused


def _lines_zh(report: Report) -> list[str]:
    mode = "试导入（未写入）" if report.dry_run else "导入完成"
    head = (
        f"{mode}：{'、'.join(report.files)}，共 {report.rows} 行，拒绝 {report.refused} 行；"
        f"新增工程 {report.inserted} 处，更新 {report.updated} 处，未变 {report.unchanged} 处；采样点 {report.points} 个"
    )
    lines = [head]
    if report.without_points:
        lines.append(f"以下工程没有采样点，收不到数据：{_some(report.without_points, '、')}")
    return lines + [refusal.text("zh") for refusal in report.refusals]


def _lines_en(report: Report) -> list[str]:
    mode = "dry run, nothing written" if report.dry_run else "imported"
    head = (
        f"{mode}: {', '.join(report.files)}: {report.rows} rows, {report.refused} refused; "
        f"works: {report.inserted} new, {report.updated} updated, {report.unchanged} unchanged; "
        f"{report.points} sampling points"
    )
    lines = [head]
    if report.without_points:
        lines.append(f"no sampling point, so no data can come: {_some(report.without_points, ', ')}")
    return lines + [refusal.text("en") for refusal in report.refusals]


def _some(names: tuple[str, ...], separator: str) -> str:
    shown = separator.join(names[:10])
    return shown if len(names) <= 10 else f"{shown} … ({len(names)})"
