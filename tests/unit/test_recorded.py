"""Recorded files: every row ends as values, missing values, or a refusal."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ingest.mapping import Mapping, load_mapping, parse_mapping
from ingest.recorded import RowChunk, batch_of, read_rows
from qingquan.domain.readings import SeriesCatalog
from qingquan.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
RECORDED = ROOT.parent / "shared" / "data"
MAPPING = """
time = "Time"
tz = "{tz}"
county = "520425"
works = "W0077"
point = "outlet"
disinfectant = "free_chlorine"
{more}
[columns]
Cl = {{ parameter = "free_chlorine", unit = "mg/L" }}
T = {{ parameter = "temperature", unit = "degF" }}
"""


def _mapping(more: str = "", tz: str = "+08:00") -> Mapping:
    return parse_mapping(MAPPING.format(more=more, tz=tz), "m.toml")


def _read(tmp_path: Path, text: str | bytes, mapping: Mapping | None = None, chunk: int = 1000) -> list[RowChunk]:
    path = tmp_path / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_rows(path, mapping or _mapping(), chunk))


def test_rows_become_columns_in_canonical_units(tmp_path: Path) -> None:
    (chunk,) = _read(tmp_path, "Time,T,Other,Cl\n2026-05-01 08:00:00,50,x,0.45\n2026-05-01 08:01:00,59,y,0.46\n")
    assert chunk.line.tolist() == [2, 3]
    assert chunk.time_text == ["2026-05-01 08:00:00", "2026-05-01 08:01:00"]
    assert chunk.observed_at.tolist() == [1777593600000, 1777593660000]
    assert chunk.values == pytest.approx(np.array([[0.45, 10.0], [0.46, 15.0]]))
    assert (chunk.refused, chunk.rows) == ([], 2)


def test_missing_values_are_nan_and_never_zero(tmp_path: Path) -> None:
    cells = ["", "NaN", "nan", " ", "NULL", "--", "-9999", "N/A"]
    (chunk,) = _read(
        tmp_path, "Time,Cl,T\n" + "".join(f"2026-05-01 08:{n:02d}:00,{c},50\n" for n, c in enumerate(cells))
    )
    assert np.isnan(chunk.values[:, 0]).all()
    assert chunk.values[:, 1] == pytest.approx(10.0)
    assert chunk.refused == []


@pytest.mark.parametrize("cell", ["-9999", "-9999.0", "9999"])
def test_codes_for_no_value_are_found_without_other_texts_beside_them(tmp_path: Path, cell: str) -> None:
    (chunk,) = _read(tmp_path, f"Time,Cl,T\n2026-05-01 08:00:00,{cell},50\n")
    assert np.isnan(chunk.values[0, 0])


def test_a_cell_that_is_no_number_is_refused_and_its_row_kept(tmp_path: Path) -> None:
    (chunk,) = _read(
        tmp_path, "Time,Cl,T\n2026-05-01 08:00:00,<0.05,50\n2026-05-01 08:01:00,1e999,59\n2026-05-01 08:02:00,1_0,59\n"
    )
    assert [(part.line, part.column, part.text) for part in chunk.refused] == [
        (2, "Cl", "<0.05"),
        (3, "Cl", "1e999"),
        (4, "Cl", "1_0"),
    ]
    assert np.isnan(chunk.values[:, 0]).all()
    assert chunk.values[:, 1] == pytest.approx([10.0, 15.0, 15.0])


def test_rows_that_cannot_be_read_are_refused_with_line_and_reason(tmp_path: Path) -> None:
    text = "Time,Cl,T\n2026-05-01 08:00:00,0.4,50\nyesterday,0.4,50\n,0.4,50\n2026-05-01 08:01:00,0.4\n\n2026-05-01 08:02:00,0.4,50,\n2026-05-01 08:03:00,0.4,50,9\n"
    (chunk,) = _read(tmp_path, text)
    assert chunk.line.tolist() == [2, 7]
    assert [(part.line, part.column) for part in chunk.refused] == [(3, ""), (4, ""), (5, ""), (8, "")]
    assert "yesterday" in chunk.refused[0].detail
    assert "time: empty" in chunk.refused[1].detail
    assert "2 cells, the header has 3" in chunk.refused[2].detail
    assert chunk.rows == 6


@pytest.mark.parametrize(
    ("times", "tz", "more"),
    [
        (["2026-05-01T08:00:00+08:00"], "UTC", ""),
        (["2026-05-01T00:00:00Z"], "Asia/Shanghai", ""),
        (["2026/5/1 8:00"], "Asia/Shanghai", ""),
        (["05/01/2026 08:00:00"], "+08:00", ""),
        (["05/01/2026 08:00"], "+08:00", ""),
        (["1777593600"], "UTC", ""),
        (["1777593600000"], "UTC", ""),
        (["01.05.2026 08:00"], "+08:00", 'time_format = "%d.%m.%Y %H:%M"'),
        (["01/05/2026 08:00"], "+08:00", 'time_format = "%d/%m/%Y %H:%M"'),
        (["3600"], "UTC", 'time_origin = "2026-05-01T07:00:00+08:00"'),
    ],
)
def test_time_formats_are_found_out_or_named(tmp_path: Path, times: list[str], tz: str, more: str) -> None:
    (chunk,) = _read(tmp_path, "Time,Cl,T\n" + "".join(f"{t},0.4,50\n" for t in times), _mapping(more, tz))
    assert [datetime.fromtimestamp(t / 1000, UTC) for t in chunk.observed_at.tolist()] == [
        datetime(2026, 5, 1, tzinfo=UTC)
    ]


def test_an_unknown_time_format_is_an_error_that_shows_the_texts_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'13\.05\.2026 08:00'.*time_format"):
        _read(tmp_path, "Time,Cl,T\n13.05.2026 08:00,0.4,50\n")


def test_a_missing_column_is_an_error_that_lists_the_columns_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        _read(tmp_path, "Zeit,Cl,Temp\n")
    assert len(caught.value.faults) == 2
    assert all("columns found: Zeit, Cl, Temp" in fault for fault in caught.value.faults)
    assert "'Time'" in caught.value.faults[0]
    assert "'T'" in caught.value.faults[1]


def test_a_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there twice"):
        _read(tmp_path, "Time,Cl,Cl,T\n")


def test_an_empty_file_lists_no_columns(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="columns found: none"):
        _read(tmp_path, "")


def test_a_header_alone_gives_no_rows(tmp_path: Path) -> None:
    assert _read(tmp_path, "Time,Cl,T\n") == []


@pytest.mark.parametrize("chunk", [1, 2, 3, 199, 200, 201, 1000])
def test_any_chunk_size_gives_the_same_rows(tmp_path: Path, chunk: int) -> None:
    text = "Time,Cl,T\n" + "".join(f"{1777593600 + n},{n / 1000},50\n" for n in range(450))
    chunks = _read(tmp_path, text, chunk=chunk)
    assert np.concatenate([c.line for c in chunks]).tolist() == list(range(2, 452))
    assert np.concatenate([c.values[:, 0] for c in chunks]) == pytest.approx(np.arange(450) / 1000)
    assert sum(c.rows for c in chunks) == 450
    assert all(c.rows == chunk for c in chunks[:-1])


@pytest.mark.parametrize(
    "text",
    [
        gzip.compress(b"Time,Cl,T\n2026-05-01 08:00:00,0.4,50\n"),
        b"\xef\xbb\xbfTime,Cl,T\r\n2026-05-01 08:00:00,0.4,50\r\n",
        b"Time;Cl;T\n2026-05-01 08:00:00;0.4;50\n",
        b"Time\tCl\tT\n2026-05-01 08:00:00\t0.4\t50\n",
        "Time,Cl,T,备注\n2026-05-01 08:00:00,0.4,50,正常\n".encode("gb18030"),
        b'"Time","Cl","T","Location"\n2026-05-01 08:00:00,0.4,50,"two\nlines"\n',
    ],
    ids=["gzip", "mark and CRLF", "semicolon", "tab", "GB 18030", "line break in a cell"],
)
def test_files_come_in_several_wrappings(tmp_path: Path, text: bytes) -> None:
    (chunk,) = _read(tmp_path, text)
    assert chunk.values == pytest.approx(np.array([[0.4, 10.0]]))


def test_a_gzip_that_is_cut_off_gives_the_rows_before_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    text = "Time,Cl,T\n" + "".join(f"{1777593600 + n},{v:.6f},50\n" for n, v in enumerate(rng.random(20_000)))
    packed = gzip.compress(text.encode())
    chunks = _read(tmp_path, packed[: len(packed) // 2])
    kept = sum(len(c.line) for c in chunks)
    assert 1000 < kept < 20_000
    assert "cut off" in chunks[-1].refused[-1].detail


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv: cannot be read"):
        list(read_rows(tmp_path / "none.csv", _mapping()))


def test_readings_of_a_chunk_are_row_by_row(tmp_path: Path) -> None:
    (chunk,) = _read(tmp_path, "Time,Cl,T\n1777593600,0.4,50\n1777593660,,59\n")
    catalog = SeriesCatalog()
    batch = batch_of(chunk, _mapping(), catalog)
    assert [catalog.key(n).parameter for n in batch.series] == ["free_chlorine", "temperature"] * 2
    assert batch.observed_at.tolist() == [1777593600000] * 2 + [1777593660000] * 2
    assert batch.value == pytest.approx([0.4, 10.0, np.nan, 15.0], nan_ok=True)
    assert batch.flag.tolist() == [2, 2, 9, 2]
    assert batch.sequence.tolist() == [2, 2, 3, 3]


@pytest.mark.parametrize(
    ("mapping", "file", "rows", "empty"),
    [
        ("gecco", "gecco/gecco2018_train.csv.gz", 139_566, 1_044),
        ("canary_station_b", "canary_station_b/station_b_first60.csv", 4_320, 3),
    ],
)
def test_real_recordings_are_read_whole(mapping: str, file: str, rows: int, empty: int) -> None:
    if not (RECORDED / file).exists():
        pytest.skip(f"recorded data {file} is not here")
    chunks = list(read_rows(RECORDED / file, load_mapping(ROOT / "simulators" / "mappings" / f"{mapping}.toml")))
    assert sum(c.rows for c in chunks) == rows
    assert sum(len(c.refused) for c in chunks) == 0
    assert sum(int(np.isnan(c.values).all(axis=1).sum()) for c in chunks) == empty
    steps = np.unique(np.diff(np.concatenate([c.observed_at for c in chunks])))
    assert len(steps) == 1
    assert steps[0] > 0
