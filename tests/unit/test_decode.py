"""Messages of the reading log become readings, or are set aside with the reason and the place."""

import json
from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import pytest

from ingest.decode import MAX_PARTS_SET_ASIDE, MAX_PAYLOAD, Decoded, Decoder, PointDirectory
from qingquan.domain.readings import LogMessage, QuarantineReason, SeriesCatalog, SeriesKey
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.standards.loader import load_standards

RECEIVED = int(datetime(2026, 5, 1, 0, 0, 30, tzinfo=UTC).timestamp() * 1000)
AT = RECEIVED - 30_000  # 2026-05-01 08:00:00 in Asia/Shanghai
SUBJECT = "part.3.wq.520425.W0077.outlet.json"
TOLERANCE = 300_000
EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000)


def _works(works: str = "W0077", time_zone: str = "Asia/Shanghai") -> Works:
    outlet = SamplingPoint("outlet", PointKind.OUTLET, "出厂水")
    return Works(
        "520425", works, "清泉水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200, 1500, (outlet,), time_zone=time_zone,
    )  # fmt: skip


def _decoder(*works: Works, catalog: SeriesCatalog | None = None) -> Decoder:
    return Decoder(
        PointDirectory(works or (_works(),)), SeriesCatalog() if catalog is None else catalog, load_standards().parameters,
        earliest_ms=EARLIEST, future_tolerance_ms=TOLERANCE,
    )  # fmt: skip


def _decode(
    payload: bytes | str | object, subject: str = SUBJECT, *works: Works
) -> tuple[Decoded, dict[str, tuple[float, int]]]:
    """One message decoded, and its readings as parameter -> (value, flag)."""
    if not isinstance(payload, bytes):
        payload = (payload if isinstance(payload, str) else json.dumps(payload)).encode()
    catalog = SeriesCatalog()
    decoded = _decoder(*works, catalog=catalog).decode([LogMessage(7, RECEIVED, subject, payload)])
    batch = decoded.batch
    keys = [catalog.key(number).parameter for number in batch.series]
    return decoded, dict(zip(keys, zip(batch.value.tolist(), batch.flag.tolist(), strict=True), strict=True))


def _reasons(decoded: Decoded) -> list[tuple[str, str]]:
    return [(part.reason.value, part.position) for part in decoded.quarantined]


def test_the_usual_message_becomes_columns() -> None:
    catalog = SeriesCatalog()
    payload = json.dumps({"t": AT, "v": {"free_chlorine": 0.45, "turbidity": 0.62, "ph": 7}}).encode()
    decoded = _decoder(catalog=catalog).decode([LogMessage(7, RECEIVED, SUBJECT, payload)])
    batch = decoded.batch
    assert [catalog.key(number) for number in batch.series] == [
        SeriesKey("520425", "W0077", "outlet", code) for code in ("free_chlorine", "turbidity", "ph")
    ]
    assert batch.value.tolist() == [0.45, 0.62, 7.0]
    assert batch.observed_at.tolist() == [AT] * 3
    assert batch.flag.tolist() == [2, 2, 2]
    assert batch.sequence.tolist() == [7] * 3
    assert batch.received_at.tolist() == [RECEIVED] * 3
    types = [
        a.dtype for a in (batch.series, batch.observed_at, batch.value, batch.flag, batch.sequence, batch.received_at)
    ]
    assert types == [np.int32, np.int64, np.float64, np.uint8, np.int64, np.int64]
    assert (decoded.quarantined, decoded.messages) == ([], 1)


def test_a_buffered_upload_keeps_its_times_and_order() -> None:
    upload = [{"t": AT - n * 60_000, "v": {"ph": 7 + n / 10, "turbidity": 0.5}} for n in range(3)]
    decoded, _ = _decode(upload)
    assert decoded.batch.observed_at.tolist() == [AT, AT, AT - 60_000, AT - 60_000, AT - 120_000, AT - 120_000]
    assert decoded.batch.value.tolist() == [7.0, 0.5, 7.1, 0.5, 7.2, 0.5]


@pytest.mark.parametrize(
    "at",
    [
        AT,
        AT // 1000,
        AT / 1000,
        str(AT),
        str(AT // 1000),
        "2026-05-01T08:00:00+08:00",
        "2026-05-01T00:00:00Z",
        "2026-05-01 00:00:00+00:00",
        "2026-05-01T08:00:00",
        "2026-05-01 08:00:00.000",
        "2026-05-01 08:00",
        "2026/05/01 08:00:00",
    ],
)
def test_every_way_to_write_a_time_means_the_same_moment(at: object) -> None:
    decoded, _ = _decode({"t": at, "v": {"ph": 7.4}})
    assert decoded.batch.observed_at.tolist() == [AT]


def test_a_time_without_offset_is_the_works_own_and_shanghai_has_no_summer_time() -> None:
    for text, expected in (("2026-01-15T08:00:00", 0), ("2025-07-15T08:00:00", 0)):
        decoded, _ = _decode({"t": text, "v": {"ph": 7.4}})
        moment = datetime.fromtimestamp(int(decoded.batch.observed_at[0]) / 1000, UTC)
        assert (moment.hour, moment.minute) == (expected, 0)


def test_a_time_without_offset_follows_summer_time_where_the_works_has_it() -> None:
    for text, expected in (("2026-01-15T08:00:00", 7), ("2025-07-15T08:00:00", 6)):
        decoded, _ = _decode({"t": text, "v": {"ph": 7.4}}, SUBJECT, _works(time_zone="Europe/Berlin"))
        assert datetime.fromtimestamp(int(decoded.batch.observed_at[0]) / 1000, UTC).hour == expected


def test_an_unknown_time_zone_of_the_register_sets_aside_only_times_that_need_it() -> None:
    works = _works(time_zone="Mars/Olympus")
    assert _reasons(_decode({"t": "2026-05-01T08:00:00", "v": {"ph": 7.4}}, SUBJECT, works)[0]) == [("bad_time", "t")]
    assert len(_decode({"t": AT, "v": {"ph": 7.4}}, SUBJECT, works)[0].batch) == 1


@pytest.mark.parametrize(
    "empty", [None, "NaN", "nan", "--", "-", "", " ", "null", "N/A", -9999, "-9999", -999, 9999, -9999.0]
)
def test_no_value_is_a_missing_reading_and_never_zero(empty: object) -> None:
    decoded, readings = _decode({"t": AT, "v": {"ph": empty, "turbidity": 0.62}})
    assert readings["turbidity"] == (0.62, 2)
    assert np.isnan(readings["ph"][0])
    assert readings["ph"][1] == 9
    assert decoded.quarantined == []


def test_a_code_inside_the_instruments_range_is_a_value() -> None:
    assert _decode({"t": AT, "v": {"flow": 9999}})[1] == {"flow": (9999.0, 2)}
    assert _decode({"t": AT, "v": {"flow": "9999"}})[1] == {"flow": (9999.0, 2)}


def test_a_value_outside_the_instruments_range_stays_a_value_for_the_engine_to_flag() -> None:
    assert _decode({"t": AT, "v": {"ph": 1000.5}})[1] == {"ph": (1000.5, 2)}


def test_numbers_as_text_and_codes_in_any_case_are_taken() -> None:
    _, readings = _decode({"t": AT, "v": {"Free_Chlorine": "0.45", "PH": " 7.40 ", "turbidity": "6.2e-1"}})
    assert readings == {"free_chlorine": (0.45, 2), "ph": (7.4, 2), "turbidity": (0.62, 2)}


def test_truth_values_are_taken_for_states_only() -> None:
    decoded, readings = _decode(
        {"t": AT, "v": {"doser_running": True, "sample_flow": False, "power": "on", "ph": True}}
    )
    assert readings == {"doser_running": (1.0, 2), "sample_flow": (0.0, 2), "power": (1.0, 2)}
    assert _reasons(decoded) == [("bad_value", "v.ph")]


@pytest.mark.parametrize(
    "token", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400, "9" * 5000, '"inf"', '"-Infinity"']
)
def test_a_number_that_is_not_finite_is_set_aside_and_the_rest_kept(token: str) -> None:
    decoded, readings = _decode(f'{{"t": {AT}, "v": {{"ph": {token}, "turbidity": 0.62}}}}')
    assert readings == {"turbidity": (0.62, 2)}
    assert _reasons(decoded) == [("not_finite", "v.ph")]


@pytest.mark.parametrize("value", ["0,45", "0.45 mg/L", "abc", "1_000", "0x10", [], {}, [0.45], {"value": 0.45}])
def test_a_wrong_value_is_set_aside_and_the_rest_kept(value: object) -> None:
    decoded, readings = _decode({"t": AT, "v": {"free_chlorine": value, "turbidity": 0.62}})
    assert readings == {"turbidity": (0.62, 2)}
    assert _reasons(decoded) == [("bad_value", "v.free_chlorine")]


def test_an_unknown_parameter_is_set_aside_with_its_place_in_the_list() -> None:
    decoded, readings = _decode([{"t": AT, "v": {"ph": 7.4}}, {"t": AT - 1000, "v": {"radon": 3, "turbidity": 0.62}}])
    assert readings == {"ph": (7.4, 2), "turbidity": (0.62, 2)}
    assert _reasons(decoded) == [("unknown_parameter", "[1].v.radon")]


def test_one_parameter_in_two_spellings_counts_once() -> None:
    decoded, readings = _decode({"t": AT, "v": {"ph": 7.4, "pH": 7.5}})
    assert readings == {"ph": (7.4, 2)}
    assert _reasons(decoded) == [("bad_value", "v.pH")]


@pytest.mark.parametrize(
    ("code", "flag"),
    [("N", 1), ("good", 1), (0, 1), (192, 1), (2, 2), (None, 2), ("S", 3), (64, 3), ("M", 4), ("bad", 4), (4, 4), ("?!", 3), ([], 3)],
)  # fmt: skip
def test_the_devices_quality_code_becomes_a_flag(code: object, flag: int) -> None:
    _, readings = _decode({"t": AT, "v": {"ph": 7.4, "turbidity": 0.62}, "q": {"PH": code}, "seq": 12})
    assert readings == {"ph": (7.4, flag), "turbidity": (0.62, 2)}


def test_one_quality_code_may_speak_for_all_values() -> None:
    assert _decode({"t": AT, "v": {"ph": 7.4, "turbidity": 0.62}, "q": "M"})[1] == {
        "ph": (7.4, 4),
        "turbidity": (0.62, 4),
    }


def test_a_quality_code_of_missing_takes_the_value_away() -> None:
    _, readings = _decode({"t": AT, "v": {"ph": 7.4}, "q": {"ph": 9}})
    assert np.isnan(readings["ph"][0])
    assert readings["ph"][1] == 9


def test_quality_codes_that_cannot_be_read_make_values_suspect() -> None:
    decoded, readings = _decode({"t": AT, "v": {"ph": 7.4}, "q": ["N"]})
    assert readings == {"ph": (7.4, 3)}
    assert _reasons(decoded) == [("bad_shape", "q")]


def test_units_that_a_device_names_are_converted() -> None:
    _, readings = _decode({"t": AT, "v": {"pressure": 0.35, "ph": 7.4}, "u": {"pressure": "MPa"}})
    assert readings == {"pressure": (350.0, 2), "ph": (7.4, 2)}


def test_a_unit_of_another_kind_is_refused_rather_than_ignored() -> None:
    decoded, readings = _decode({"t": AT, "v": {"pressure": 0.35, "ph": 7.4}, "u": {"pressure": "mg/L", "ph": 3}})
    assert readings == {}
    assert _reasons(decoded) == [("bad_value", "v.pressure"), ("bad_value", "v.ph")]


@pytest.mark.parametrize(
    ("payload", "reason", "position"),
    [
        (b"", "bad_json", ""),
        (b"  \n", "bad_json", ""),
        (b'{"t": 1777593600000, "v": {"ph": 7.', "bad_json", ""),
        (b"\xff\xfe\x00", "bad_json", ""),
        (b'{"t": 1777593600000, "v": {"\xff": 7.4}}', "bad_json", ""),
        (b"[" * 50_000 + b"]" * 5_000, "bad_json", ""),
        (b'{"v":' * 5_000, "bad_json", ""),
        (b"{}{}", "bad_json", ""),
        (b"7.4", "bad_shape", ""),
        (b'"text"', "bad_shape", ""),
        (b"null", "bad_shape", ""),
        (b"[]", "bad_shape", ""),
        (b"[[1]]", "bad_shape", "[0]"),
        (b"{}", "bad_time", "t"),
        (b'{"v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": null, "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": true, "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": [1], "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": "yesterday", "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": "2026-13-01T00:00:00", "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": "2026-05-01", "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": NaN, "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": 1e300, "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": 1777593600000000000, "v": {"ph": 7.4}}', "bad_time", "t"),
        (b'{"t": 1777593600000}', "bad_shape", "v"),
        (b'{"t": 1777593600000, "v": {}}', "bad_shape", "v"),
        (b'{"t": 1777593600000, "v": 7.4}', "bad_shape", "v"),
        (b'{"t": 1777593600000, "v": {"ph": 7.4}, "u": 3}', "bad_shape", "u"),
    ],
)
def test_a_message_that_cannot_be_understood_is_set_aside_whole(payload: bytes, reason: str, position: str) -> None:
    decoded, readings = _decode(payload)
    assert readings == {}
    assert _reasons(decoded) == [(reason, position)]
    assert decoded.quarantined[0].payload == payload
    assert decoded.quarantined[0].digest == sha256(payload).hexdigest()
    assert (decoded.quarantined[0].sequence, decoded.quarantined[0].received_at) == (7, RECEIVED)


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("part.3.wq.520425.W0077.outlet.protobuf", "unknown_dialect"),
        ("part.3.wq.520425.W9999.outlet.json", "unknown_works"),
        ("part.3.wq.520426.W0077.outlet.json", "unknown_works"),
        ("part.3.wq.520425.W0077.source.json", "unknown_point"),
        ("part.3.wq.520425.W0077.outlet", "bad_topic"),
        ("", "bad_topic"),
    ],
)
def test_a_message_from_an_unknown_place_is_set_aside(subject: str, reason: str) -> None:
    decoded, _ = _decode({"t": AT, "v": {"ph": 7.4}}, subject)
    assert _reasons(decoded) == [(reason, "")]


@pytest.mark.parametrize(
    ("at", "reasons"),
    [
        (RECEIVED + TOLERANCE, []),
        (RECEIVED + TOLERANCE + 1, [("time_in_future", "t")]),
        (EARLIEST, []),
        (EARLIEST - 1, [("time_too_old", "t")]),
        (0, [("time_too_old", "t")]),
        ("1970-01-01T08:00:00", [("time_too_old", "t")]),
        ("2099-01-01T00:00:00Z", [("time_in_future", "t")]),
    ],
)
def test_times_are_held_against_the_messages_own_receipt(at: object, reasons: list[tuple[str, str]]) -> None:
    decoded, _ = _decode({"t": at, "v": {"ph": 7.4, "turbidity": 0.62}})
    assert _reasons(decoded) == reasons
    assert len(decoded.batch) == (0 if reasons else 2)


def test_one_bad_time_in_a_buffered_upload_leaves_the_others() -> None:
    upload = [{"t": AT + n, "v": {"ph": 7.0 + n}} for n in (0, TOLERANCE * 2, 1)]
    decoded, _ = _decode(upload)
    assert decoded.batch.value.tolist() == [7.0, 8.0]
    assert _reasons(decoded) == [("time_in_future", "[1].t")]


def test_the_canary_leaves_no_trace_but_a_count() -> None:
    decoded, _ = _decode(b"anything", "part.5.wq.000000.selftest.canary.json")
    assert (len(decoded.batch), decoded.quarantined, decoded.messages, decoded.canaries) == (0, [], 1, 1)


def test_a_payload_above_the_limit_is_set_aside_unread() -> None:
    payload = json.dumps({"t": AT, "v": {"ph": 7.4}, "x": "x" * MAX_PAYLOAD}).encode()
    assert _reasons(_decode(payload)[0]) == [("payload_too_large", "")]


def test_a_list_of_too_many_objects_is_set_aside_whole() -> None:
    payload = b"[" + b",".join([b'{"t":1777593600,"v":{"ph":7}}'] * 2001) + b"]"
    assert len(payload) < MAX_PAYLOAD
    decoded, _ = _decode(payload)
    assert _reasons(decoded) == [("bad_shape", "")]
    assert "2001 objects" in decoded.quarantined[0].detail


def test_a_list_of_the_most_objects_allowed_is_taken() -> None:
    payload = b"[" + b",".join([b'{"t":1777593600,"v":{"ph":7}}'] * 2000) + b"]"
    assert len(_decode(payload)[0].batch) == 2000


def test_the_parts_set_aside_of_one_message_are_bounded_and_all_counted() -> None:
    decoded, readings = _decode({"t": AT, "v": {"ph": 7.4} | {f"x{n}": 1 for n in range(1000)}})
    assert readings == {"ph": (7.4, 2)}
    assert len(decoded.quarantined) == MAX_PARTS_SET_ASIDE + 1
    assert decoded.quarantined[-1].position == "rest"
    assert decoded.quarantined[-1].detail.startswith(f"{1000 - MAX_PARTS_SET_ASIDE} more parts")


def test_names_in_positions_are_printable_and_short() -> None:
    names = ["\u0000", "\ud800", "x" * 5000, "x" * 5000 + "y", "a\nb"]
    decoded, _ = _decode({"t": AT, "v": dict.fromkeys(names, 1)})
    positions = [part.position for part in decoded.quarantined]
    assert len(set(positions)) == len(names)
    assert all(position.isprintable() and len(position) <= 70 for position in positions)
    assert all(part.detail.isprintable() for part in decoded.quarantined)


def test_a_changed_register_is_used_from_the_next_message_on() -> None:
    decoder = _decoder()
    message = LogMessage(
        1, RECEIVED, "part.0.wq.520425.W0001.outlet.json", json.dumps({"t": AT, "v": {"ph": 7.4}}).encode()
    )
    assert decoder.decode([message]).quarantined[0].reason is QuarantineReason.UNKNOWN_WORKS
    decoder.replace_directory(PointDirectory([_works(), _works("W0001")]))
    assert len(decoder.decode([message]).batch) == 1
    decoder.replace_directory(PointDirectory([_works()]))
    assert decoder.decode([message]).quarantined[0].reason is QuarantineReason.UNKNOWN_WORKS


def test_more_layouts_of_one_point_than_are_remembered_still_decode() -> None:
    decoder = _decoder()
    codes = list(load_standards().parameters)
    messages = [
        LogMessage(n, RECEIVED, SUBJECT, json.dumps({"t": AT, "v": {codes[a]: 1, codes[b]: 1}}).encode())
        for n, (a, b) in enumerate((a, b) for a in range(10) for b in range(10) if a != b)
    ]
    decoded = decoder.decode(messages)
    assert (len(decoded.batch), decoded.quarantined) == (180, [])


def test_no_messages_give_an_empty_batch() -> None:
    decoded = _decoder().decode([])
    assert (len(decoded.batch), decoded.quarantined, decoded.messages) == (0, [], 0)


def test_a_directory_gives_the_registers_own_words_and_its_time_zone() -> None:
    directory = PointDirectory([_works(), _works("W0001", "Asia/Urumqi")])
    works = _works()
    point = works.points[0].id
    entry = directory.lookup(works.county, works.id, point)
    assert entry is not None
    assert entry[:3] == (works.county, works.id, point)
    assert entry.time_zone == works.time_zone
    other = directory.lookup(works.county, "W0001", point)
    assert other is not None
    assert other.time_zone == "Asia/Urumqi"
    assert directory.lookup(works.county, works.id, "nowhere") is None
    assert directory.lookup("999999", works.id, point) is None
    assert directory.has_works(works.county, "W0001")
    assert not directory.has_works("999999", "W0001")
    assert len(directory) == len(works.points) * 2
