"""How urgent an exceedance found by a laboratory is, per parameter or group of parameters: `lab_severity.csv`."""

import csv
from functools import cache
from importlib.resources import files

from qingquan.domain.findings import Severity
from qingquan.domain.lab import LabSeverity
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards

__all__ = ["GROUP", "lab_severities_from", "load_lab_severities"]

TABLE = "lab_severity.csv"
GROUP = "group:"
REACTIONS = frozenset({"acute_microbial", "acute_chemical", "chronic", "operational", "aesthetic"})


@cache
def load_lab_severities() -> dict[str, LabSeverity]:
    """Rows of the table that ships, by parameter code or ``group:<group>``.

    Raises
    ------
    ConfigurationError
        One line per wrong row: file, line, what is wrong.
    """
    return lab_severities_from(files("qingquan.standards").joinpath(TABLE).read_text(encoding="utf-8"))


def lab_severities_from(text: str) -> dict[str, LabSeverity]:
    """Rows of a table given as CSV. Every group of parameters must have a row; raises as above."""
    faults: list[str] = []
    found: dict[str, LabSeverity] = {}
    limits = load_standards().limits
    known = {limit.code for limit in limits} | {GROUP + limit.group for limit in limits}
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        try:
            one = _row(row)
        except (KeyError, ValueError, TypeError) as error:
            faults.append(f"{TABLE}:{reader.line_num}: {error}")
            continue
        if one.key not in known:
            faults.append(f"{TABLE}:{reader.line_num}: unknown parameter or group {one.key!r}")
        if one.key in found:
            faults.append(f"{TABLE}:{reader.line_num}: {one.key!r} has a row already")
        found[one.key] = one
    missing = sorted({key for key in known if key.startswith(GROUP)} - set(found))
    faults += [f"{TABLE}: no row for {key!r}" for key in missing]
    if faults:
        raise ConfigurationError(faults)
    return found


def _row(row: dict[str, str]) -> LabSeverity:
    if row["reaction"] not in REACTIONS:
        raise ValueError(f"reaction {row['reaction']!r}: allowed: {', '.join(sorted(REACTIONS))}")
    if not row["source"]:
        raise ValueError("source must be given")
    if bool(row["severe_ratio"]) != bool(row["severe"]):
        raise ValueError("severe_ratio and severe stand together")
    ratio = float(row["severe_ratio"]) if row["severe_ratio"] else None
    if ratio is not None and not ratio > 1:
        raise ValueError(f"severe_ratio {ratio:g} is not above 1")
    above = _severity(row["above"])
    severe = _severity(row["severe"]) if row["severe"] else above
    return LabSeverity(row["key"], row["reaction"], above, _severity(row["below"]), ratio, severe, row["source"])


def _severity(word: str) -> Severity:
    try:
        return Severity[word.upper()]
    except KeyError:
        allowed = ", ".join(severity.word for severity in Severity)
        raise ValueError(f"severity {word!r}: allowed: {allowed}") from None
