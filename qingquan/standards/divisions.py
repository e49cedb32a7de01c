"""Names of administrative divisions by their GB/T 2260 code.

The table holds Guizhou's counties, prefectures and the province (codes in force since 2021). A code it does not hold is
shown as it is.
"""

import csv
from functools import cache
from importlib.resources import files

__all__ = ["division_name"]


def division_name(code: str, language: str = "zh") -> str:
    """Name of a county, prefecture or province, its code with or without the noughts at the end; the code itself when it is not
    in the table.

    >>> division_name("520425")
    '紫云苗族布依族自治县'
    >>> division_name("5204", "en")
    'Anshun'
    >>> division_name("990001")
    '990001'
    """
    names = _table().get(code.ljust(6, "0"))
    return code if names is None else names[1 if language == "en" else 0]


@cache
def _table() -> dict[str, tuple[str, str]]:
    lines = files("qingquan.standards").joinpath("divisions.csv").read_text(encoding="utf-8").splitlines()
    return {row["code"]: (row["name_zh"], row["name_en"]) for row in csv.DictReader(lines)}
