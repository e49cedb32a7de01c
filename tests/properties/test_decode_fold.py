"""Decoding is a fold over single messages, takes any bytes, and both its ways agree."""

import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.decode import MAX_PARTS_SET_ASIDE, Decoded, Decoder, PointDirectory
from qingquan.domain.flags import Flag
from qingquan.domain.readings import LogMessage, Quarantined, SeriesCatalog
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.standards.loader import load_standards

RECEIVED = 1_777_593_630_000
CODES = sorted(load_standards().parameters)
WORKS = [
    Works(
        "520425",
        name,
        name,
        "",
        Disinfectant.FREE_CHLORINE,
        Equipment.EQUIPPED,
        1,
        1,
        (SamplingPoint("outlet", PointKind.OUTLET, ""),),
    )
    for name in ("W1", "W2")
]

scalars = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**25), 10**25), st.none(), st.booleans(),
    st.sampled_from(["NaN", "--", "", "0.45", "-9999", -9999, 9999, -999.0, 99999, "x"]), st.text(max_size=8), st.lists(st.integers(), max_size=2),
)  # fmt: skip
names = st.one_of(st.sampled_from(CODES), st.sampled_from(["PH", "Ph", "radon"]), st.text(max_size=8))
times = st.one_of(
    st.integers(RECEIVED - 10**9, RECEIVED + 10**6), st.integers(0, RECEIVED // 1000), st.none(), st.integers(), st.floats(),
    st.datetimes().map(lambda at: at.isoformat()), st.text(max_size=12),
)  # fmt: skip
objects = st.fixed_dictionaries(
    {"t": times, "v": st.dictionaries(names, scalars, max_size=6)},
    optional={
        "q": st.one_of(st.none(), st.dictionaries(names, scalars, max_size=2), scalars),
        "u": scalars,
        "seq": scalars,
    },
)
payloads = st.one_of(
    objects.map(json.dumps), st.lists(objects, max_size=4).map(json.dumps), st.text(max_size=30),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8).map(json.dumps),
).map(lambda text: text.encode("utf-8", "surrogatepass"))  # fmt: skip
subjects = st.sampled_from(
    ["part.0.wq.520425.W1.outlet.json", "part.1.wq.520425.W2.outlet.json", "part.1.wq.520425.W3.outlet.json",
     "part.1.wq.520425.W2.source.json", "part.1.wq.520425.W2.outlet.cbor", "part.1.wq.000000.s.c.json", "nonsense"]
)  # fmt: skip
logs = st.lists(st.tuples(subjects, payloads), max_size=12).map(
    lambda pairs: [LogMessage(n + 1, RECEIVED + n, subject, payload) for n, (subject, payload) in enumerate(pairs)]
)


def _decoder(catalog: SeriesCatalog) -> Decoder:
    return Decoder(
        PointDirectory(WORKS),
        catalog,
        load_standards().parameters,
        earliest_ms=946_684_800_000,
        future_tolerance_ms=300_000,
    )


def _rows(decoded: Decoded, catalog: SeriesCatalog) -> list[tuple[object, ...]]:
    batch = decoded.batch
    columns = [batch.observed_at, batch.value.astype(str), batch.flag, batch.sequence, batch.received_at]
    return [(catalog.key(int(n)), *rest) for n, *rest in zip(batch.series, *(c.tolist() for c in columns), strict=True)]


def _split(log: Sequence[LogMessage], cuts: list[int]) -> list[Sequence[LogMessage]]:
    edges = [0, *sorted(cut % (len(log) + 1) for cut in cuts), len(log)]
    return [log[a:b] for a, b in pairwise(edges)]


@settings(deadline=None)
@given(logs, st.lists(st.integers(0, 100), max_size=5))
def test_any_split_of_the_log_gives_the_same_readings_and_refusals(log: list[LogMessage], cuts: list[int]) -> None:
    whole_catalog, split_catalog = SeriesCatalog(), SeriesCatalog()
    whole = _decoder(whole_catalog).decode(log)
    decoder = _decoder(split_catalog)
    rows: list[tuple[object, ...]] = []
    refusals: list[Quarantined] = []
    for part in _split(log, cuts):
        decoded = decoder.decode(part)
        rows += _rows(decoded, split_catalog)
        refusals += decoded.quarantined
    assert rows == _rows(whole, whole_catalog)
    assert refusals == whole.quarantined


@settings(deadline=None)
@given(subjects, st.one_of(st.binary(max_size=200), payloads))
@example("part.0.wq.520425.W1.outlet.json", b'{"t":1777593600000,"v":{"ph":"\\ud800"}}')
def test_any_bytes_are_decoded_or_set_aside_and_never_raise(subject: str, payload: bytes) -> None:
    catalog = SeriesCatalog()
    decoded = _decoder(catalog).decode([LogMessage(1, RECEIVED, subject, payload)])
    batch = decoded.batch
    assert len(batch) + len(decoded.quarantined) + decoded.canaries >= 1
    assert np.array_equal(np.isnan(batch.value), batch.flag == Flag.MISSING)
    assert not np.isinf(batch.value).any()
    assert len(decoded.quarantined) <= MAX_PARTS_SET_ASIDE + 1
    assert len({part.position for part in decoded.quarantined}) == len(decoded.quarantined)
    for part in decoded.quarantined:
        (part.detail + part.position).encode()


usual = st.dictionaries(
    st.sampled_from(CODES), st.one_of(st.floats(-1e5, 1e5), st.sampled_from([None, -9999, 9999])), max_size=4
).flatmap(
    lambda values: st.fixed_dictionaries(
        {"t": times, "v": st.just(values)},
        optional={
            "q": st.dictionaries(
                st.sampled_from(sorted(values) or ["ph"]), st.sampled_from(["N", "M", 0, 4, 9, None, True, 1.0, "?"])
            )
        },
    )
)


@settings(deadline=None)
@given(st.lists(usual, min_size=1, max_size=4))
def test_the_fast_way_and_the_lenient_way_agree(content: list[dict[str, object]]) -> None:
    # An object of units that names none says nothing, and takes a message off the fast way.
    outcomes = []
    extras: tuple[dict[str, object], ...] = ({}, {"u": {}})
    for extra in extras:
        catalog = SeriesCatalog()
        payload = json.dumps([item | extra for item in content]).encode()
        decoded = _decoder(catalog).decode([LogMessage(1, RECEIVED, "part.0.wq.520425.W1.outlet.json", payload)])
        outcomes.append((_rows(decoded, catalog), [(p.reason, p.position, p.detail) for p in decoded.quarantined]))
    assert outcomes[0] == outcomes[1]
