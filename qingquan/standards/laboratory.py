"""How laboratories name parameters and units, over the parameters and limits of this folder."""

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from qingquan.domain.parameters import LimitKind
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards

__all__ = ["BASIS_NEEDED", "LabParameter", "LabUnit", "LaboratoryTables", "load_laboratory", "name_key", "unit_key"]

BASIS_NEEDED = {"nitrate_n": ("nitrate", "硝酸盐"), "ammonia_n": ("ammonia", "氨", "ammonium", "铵")}
"""Parameters judged as nitrogen, and names that leave open whether nitrogen or the whole ion was reported."""

_PARENTHESES = re.compile(r"\(.*?\)")


@dataclass(frozen=True, slots=True)
class LabParameter:
    """A parameter a laboratory may report. ``unit`` is that of its limit; ``is_absence`` = judged by presence alone."""

    code: str
    unit: str
    name_zh: str
    name_en: str
    is_absence: bool


@dataclass(frozen=True, slots=True)
class LabUnit:
    """Conversion of a unit as written: ``canonical = value * factor + offset``."""

    alias: str
    factor: float
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class LaboratoryTables:
    """Parameters by code, by name (`name_key`), and which names leave the basis open."""

    parameters: dict[str, LabParameter]
    names: dict[str, str]
    open_basis: dict[str, str]
    units: dict[str, dict[str, LabUnit]]

    def unit(self, code: str, alias: str) -> LabUnit | None:
        """How to bring a unit as written to the parameter's own; ``None`` if it cannot be."""
        return self.units[code].get(unit_key(alias))


def name_key(text: str) -> str:
    """Names that differ in width, case, blanks or hyphens only are the same name."""
    return re.sub(r"[\s_\u2212-]", "", unicodedata.normalize("NFKC", text)).casefold()


def unit_key(text: str) -> str:
    """Units that differ in width, case, blanks, parentheses or the letter for micro only are the same unit."""
    plain = re.sub(r"[\s()]", "", unicodedata.normalize("NFKC", text)).casefold()
    return plain.replace("μ", "u").replace("\N{MINUS SIGN}", "-")


@cache
def load_laboratory() -> LaboratoryTables:
    """The tables that ship with the product.

    Raises
    ------
    ConfigurationError
        One line per row that names an unknown code, or a unit twice with different factors.
    """
    faults: list[str] = []
    parameters = _parameters()
    tables = LaboratoryTables(parameters, _names(parameters, faults), _open_basis(), _units(parameters, faults))
    if faults:
        raise ConfigurationError(faults)
    return tables


def _parameters() -> dict[str, LabParameter]:
    standards = load_standards()
    found: dict[str, LabParameter] = {}
    for limit in standards.limits:
        found.setdefault(
            limit.code,
            LabParameter(
                limit.code,
                limit.unit,
                limit.name_zh,
                limit.name_en,
                limit.kind is LimitKind.ABSENT and limit.unit == "-",
            ),
        )
    for code in ("temperature", "conductivity", "orp"):
        row = standards.parameters[code]
        found.setdefault(code, LabParameter(code, row.unit, row.name_zh, row.name_en, False))
    # No limit of its own: it is subtracted from gross beta before that is judged.
    found.setdefault("potassium_40", LabParameter("potassium_40", "Bq/L", "钾-40", "Potassium-40", False))
    return found


def _names(parameters: dict[str, LabParameter], faults: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    open_names = {name_key(name) for group in BASIS_NEEDED.values() for name in group}
    short: dict[str, set[str]] = {}
    for one in parameters.values():
        for name in (one.code, one.name_zh, one.name_en):
            names[name_key(name)] = one.code
            short.setdefault(name_key(_PARENTHESES.sub("", unicodedata.normalize("NFKC", name))), set()).add(one.code)
    for key, codes in short.items():
        if len(codes) == 1 and key not in open_names:
            names.setdefault(key, *codes)
    for number, row in _rows("lab_names.csv"):
        if row["code"] not in parameters:
            faults.append(f"lab_names.csv:{number}: unknown code {row['code']!r}")
        elif names.setdefault(name_key(row["alias"]), row["code"]) != row["code"]:
            faults.append(f"lab_names.csv:{number}: {row['alias']!r} already names {names[name_key(row['alias'])]}")
    return names


def _open_basis() -> dict[str, str]:
    """Names that say what was measured but not as what, with the code they would mean."""
    found: dict[str, str] = {}
    for code, names in BASIS_NEEDED.items():
        for name in names:
            for suffix in (
                "",
                "(as NO3)",
                "(以NO3计)",
                "(以NO3-计)",
                "(as NH3)",
                "(以NH3计)",
                "(as NH4)",
                "(以NH4计)",
                "(以NH4+计)",
            ):
                found[name_key(name + suffix)] = code
    return found


def _units(parameters: dict[str, LabParameter], faults: list[str]) -> dict[str, dict[str, LabUnit]]:
    standards = load_standards()
    units: dict[str, dict[str, LabUnit]] = {
        code: {unit_key(one.unit): LabUnit(one.unit, 1.0)} for code, one in parameters.items()
    }
    for code, one in parameters.items():
        for unit in standards.units.values():
            if unit.unit == one.unit:
                units[code].setdefault(unit_key(unit.alias), LabUnit(unit.alias, unit.factor, unit.offset))
    for number, row in _rows("lab_units.csv"):
        if row["code"] and row["code"] not in parameters:
            faults.append(f"lab_units.csv:{number}: unknown code {row['code']!r}")
            continue
        given = LabUnit(row["alias"], float(row["factor"]))
        base = "Bq/L" if row["alias"] in ("Bq/L", "贝可/升") else "mg/L"
        codes = [row["code"]] if row["code"] else [code for code, one in parameters.items() if one.unit == base]
        for code in codes:
            known = units[code].setdefault(unit_key(row["alias"]), given)
            if (known.factor, known.offset) != (given.factor, given.offset):
                faults.append(f"lab_units.csv:{number}: {row['alias']!r} of {code} is already {known.factor:g}")
    return units


def _rows(name: str) -> Iterator[tuple[int, dict[str, str]]]:
    lines = files("qingquan.standards").joinpath(name).read_text(encoding="utf-8").splitlines()
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, row
