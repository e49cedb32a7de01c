"""Mapping files are checked whole, and every fault names file, key, value and what is allowed."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ingest.mapping import load_mapping, parse_mapping, works_of
from qingquan.domain.works import Disinfectant, Equipment, PointKind
from qingquan.errors import ConfigurationError

MAPPINGS = Path(__file__).parents[2] / "simulators" / "mappings"
GOOD = """
time = "Time"
tz = "Asia/Shanghai"
county = "520425"
works = "W0077"
point = "outlet"
disinfectant = "free_chlorine"
[columns]
Cl = { parameter = "free_chlorine", unit = "mg/L" }
T = { parameter = "temperature", unit = "degF", point = "network_end" }
"""


def _faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_mapping(text, "m.toml")
    return caught.value.faults


def test_a_good_mapping_is_read() -> None:
    mapping = parse_mapping(GOOD, "m.toml")
    assert (mapping.time, mapping.county, mapping.works, mapping.disinfectant) == (
        "Time",
        "520425",
        "W0077",
        Disinfectant.FREE_CHLORINE,
    )
    assert mapping.zone == ZoneInfo("Asia/Shanghai")
    assert [(c.name, c.parameter.code, c.unit.alias, c.point) for c in mapping.columns] == [
        ("Cl", "free_chlorine", "mg/L", "outlet"),
        ("T", "temperature", "degF", "network_end"),
    ]


def test_a_works_to_register_comes_from_the_mapping() -> None:
    works = works_of(parse_mapping(GOOD, "m.toml"))
    assert (works.county, works.id, works.equipment, works.time_zone) == (
        "520425",
        "W0077",
        Equipment.EQUIPPED,
        "Asia/Shanghai",
    )
    assert [(p.id, p.kind, p.parameters) for p in works.points] == [
        ("outlet", PointKind.OUTLET, ("free_chlorine",)),
        ("network_end", PointKind.NETWORK_END, ("temperature",)),
    ]


@pytest.mark.parametrize(
    ("tz", "hours", "name"),
    [("+08:00", 8, "Etc/GMT-8"), ("-05:00", -5, "Etc/GMT+5"), ("+05:30", 5.5, "UTC"), ("+00:00", 0, "UTC")],
)
def test_a_fixed_offset_is_a_time_zone(tz: str, hours: float, name: str) -> None:
    mapping = parse_mapping(GOOD.replace("Asia/Shanghai", tz), "m.toml")
    assert mapping.zone.utcoffset(None) == timedelta(hours=hours)
    assert works_of(mapping).time_zone == name
    assert ZoneInfo(name)


def test_a_works_without_disinfection_is_not_equipped() -> None:
    mapping = parse_mapping(GOOD.replace('"free_chlorine"\n[', '"none"\n['), "m.toml")
    assert works_of(mapping).equipment is Equipment.NOT_EQUIPPED


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('time = "Time"', "", ["m.toml: time is missing"]),
        ('time = "Time"', "time = 7", ["m.toml: time = 7: allowed"]),
        ("Asia/Shanghai", "Mars/Olympus", ["m.toml: tz = 'Mars/Olympus'", "Asia/Shanghai", "+08:00"]),
        ("Asia/Shanghai", "+25:00", ["m.toml: tz = '+25:00'"]),
        ("520425", "5204", ["m.toml: county = '5204'", "6-digit"]),
        ("W0077", "W 77", ["m.toml: works = 'W 77'", "A-Z a-z 0-9 _ -"]),
        (
            'disinfectant = "free_chlorine"',
            'disinfectant = "chlorine"',
            ["m.toml: disinfectant = 'chlorine'", "chlorine_dioxide"],
        ),
        ('point = "outlet"\n', "", ["m.toml: columns.Cl", "names no point"]),
        ('point = "outlet"\n', 'point = "a/b"\n', ["m.toml: point = 'a/b'"]),
        ('"network_end"', '"a b"', ["m.toml: columns.T.point = 'a b'"]),
        (
            'parameter = "temperature"',
            'parameter = "temp"',
            ["m.toml: columns.T.parameter = 'temp'", "free_chlorine, total_chlorine"],
        ),
        ("degF", "kelvin", ["m.toml: columns.T.unit = 'kelvin'", "allowed for temperature", "℃"]),
        (', unit = "degF"', "", ["m.toml: columns.T.unit = None"]),
        ("degF", "mg/L", ["m.toml: columns.T.unit = 'mg/L'"]),
        (
            ', unit = "degF"',
            ', unit = "degF", scale = 2',
            ["m.toml: columns.T.scale", "known are parameter, unit, point"],
        ),
        ("T = {", "Time = {", ["m.toml: columns.Time", "time column"]),
        (
            'temperature", unit = "degF", point = "network_end"',
            'free_chlorine", unit = "mg/L"',
            ["m.toml: columns.T", "already column 'Cl'"],
        ),
        ("[columns]", "color = 1\n[columns]", ["m.toml: color", "unknown key", "disinfectant"]),
        ("[columns]", "cadence_s = 0\n[columns]", ["m.toml: cadence_s = 0"]),
        ("[columns]", 'time_format = "%H:%M"\n[columns]', ["m.toml: time_format = '%H:%M'", "strptime"]),
        ("[columns]", 'time_origin = "2026-01-01T00:00:00"\n[columns]', ["m.toml: time_origin", "with offset"]),
        (
            "[columns]",
            '[points]\nsource = "source"\n[columns]',
            ["m.toml: points.source", "points are outlet, network_end"],
        ),
        ("[columns]", '[points]\noutlet = "tap"\n[columns]', ["m.toml: points.outlet = 'tap'", "network_end"]),
    ],
)
def test_a_fault_names_file_key_value_and_what_is_allowed(old: str, new: str, words: list[str]) -> None:
    assert old in GOOD
    faults = _faults(GOOD.replace(old, new, 1))
    assert len(faults) >= 1
    assert all(word in faults[0] for word in words), faults


def test_all_faults_are_told_at_once() -> None:
    faults = _faults(GOOD.replace("520425", "x").replace("degF", "kelvin").replace("Asia/Shanghai", "x") + "\n[more]\n")
    assert len(faults) == 4


def test_an_empty_file_lacks_every_key() -> None:
    assert len(_faults("")) == 6


@pytest.mark.parametrize("text", ["time =", "columns = 3", "[columns]", "[columns]\nCl = 3", "points = 3"])
def test_broken_files_are_refused_in_words(text: str) -> None:
    assert all(fault.startswith("m.toml: ") for fault in _faults(text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: cannot be read"):
        load_mapping(tmp_path / "none.toml")


@pytest.mark.parametrize("name", ["gecco", "canary_station_b"])
def test_the_mappings_that_ship_are_good(name: str) -> None:
    mapping = load_mapping(MAPPINGS / f"{name}.toml")
    assert works_of(mapping).points
