"""The province's table of county edges (TOML, setting ``edges_file``). Read once, all faults at once."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qingquan.domain.edges import Edge, ToldBy
from qingquan.errors import ConfigurationError

__all__ = ["COUNTY_CODE", "EDGE_NAME", "load_edges"]

EDGE_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
COUNTY_CODE = re.compile(r"[0-9]{6}")
SECRET_LEAST = 16
LONGEST_MIN = 100_000
_KEYS = ("name", "counties", "password", "alerts", "take_over_after_min")


def load_edges(path: str) -> tuple[Edge, ...]:
    """The edges of a file; none for an empty path.

    Raises
    ------
    ConfigurationError
        One line per fault: file, key, value, what is allowed.
    """
    if not path:
        return ()
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"edges_file = {path!r}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: not valid TOML: {error}"]) from error
    faults = [f"{path}: unknown key {key!r}; known keys: [[edge]]" for key in table if key != "edge"]
    if Path(path).stat().st_mode & 0o077:
        faults.append(f"{path}: holds passwords of [[edge]]: allowed: mode 0600")
    rows = table.get("edge", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        faults.append(f"{path}: edge: allowed: tables written [[edge]]")
        rows = []
    edges = [_edge(row, f"{path}: [[edge]] {number}", faults) for number, row in enumerate(rows, start=1)]
    faults += _stands_twice(path, "name", [edge.name for edge in edges])
    faults += _stands_twice(path, "counties", [county for edge in edges for county in edge.counties])
    if faults:
        raise ConfigurationError(faults)
    return tuple(edges)


def _edge(row: Mapping[str, Any], at: str, faults: list[str]) -> Edge:
    faults += [f"{at}: unknown key {key!r}; known keys: {', '.join(_KEYS)}" for key in row if key not in _KEYS]
    name, counties, password = row.get("name"), row.get("counties"), row.get("password")
    told_by, minutes = row.get("alerts", "edge"), row.get("take_over_after_min", 0)
    if not isinstance(name, str) or not EDGE_NAME.fullmatch(name):
        faults.append(f"{at}: name = {name!r}: allowed: a letter, then up to 31 of a-z 0-9 -")
    if not isinstance(counties, list) or not counties or not all(_is_county(one) for one in counties):
        faults.append(f"{at}: counties = {counties!r}: allowed: a list of six-digit codes such as ['520403']")
        counties = []
    if not isinstance(password, str) or len(password) < SECRET_LEAST:
        faults.append(f"{at}: password = ***: allowed: {SECRET_LEAST} characters or more")
    if told_by not in list(ToldBy):
        faults.append(f"{at}: alerts = {told_by!r}: allowed: {', '.join(ToldBy)}")
        told_by = "edge"
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 0 <= minutes <= LONGEST_MIN:
        faults.append(
            f"{at}: take_over_after_min = {minutes!r}: allowed: a whole number from 0 (never) to {LONGEST_MIN}"
        )
        minutes = 0
    return Edge(str(name), tuple(counties), str(password), ToldBy(told_by), minutes * 60_000)


def _is_county(value: object) -> bool:
    return isinstance(value, str) and COUNTY_CODE.fullmatch(value) is not None


def _stands_twice(path: str, key: str, values: Sequence[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    return [f"{path}: [[edge]] {key}: {value!r} stands twice: allowed: once" for value in twice]
