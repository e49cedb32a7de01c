"""The log read again from its beginning gives the same store and the same findings, byte for byte, whatever the batches.

The log is as bad as logs are: messages twice, times told again with other values, disorder within the lateness window and uploads
beyond it, and messages nobody can read.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decode import Decoder, PointDirectory
from qingquan.config import Config
from qingquan.domain.findings import AS_OF, Finding
from qingquan.domain.readings import LogMessage, SeriesCatalog, SeriesKey
from qingquan.services.folds import Folds, Tables
from qingquan.services.recorder import Recorder
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.reading_log.partition import partition_of
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.quarantine import list_quarantined
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import MINUTE, START, make_works
from rules.engine import open_findings
from rules.late import merge_late

WORKS = [make_works("W1", ("free_chlorine", "turbidity")), make_works("W2", ("free_chlorine", "flow"))]
PARTITIONS = 4
MINUTES = 90
NOW = START + 26 * 60 * MINUTE
LEVELS = {"free_chlorine": [0.6, 0.6, 0.2, 0.02, 3.0], "turbidity": [0.4, 0.4, 2.0, 7.0], "flow": [8.0, 8.0, 0.0]}
BAD = [b'{"t": 1, "v"', b"\xff\xfe", b'{"t": 1777593600000, "v": {"radon": 1}}', b'{"v": {"free_chlorine": 1}}', b"[]"]


@st.composite
def logs(draw: st.DrawFn) -> list[LogMessage]:
    """What devices sent and links made of it: each works walks through levels, sends some minutes a message, and things go wrong."""
    sent: list[tuple[int, str, bytes]] = []
    for one in WORKS:
        names = one.points[0].parameters
        minute = 0
        while minute < MINUTES:
            length = draw(st.integers(1, 20))
            levels = {name: draw(st.sampled_from(LEVELS[name])) for name in names}
            rows = [
                {"t": START + m * MINUTE, "v": {name: level + 0.01 * (m % 3) for name, level in levels.items()}}
                for m in range(minute, min(minute + length, MINUTES))
            ]
            # On time, out of order, or hours late after an outage.
            delay = draw(st.sampled_from([0, 0, 0, 3, 8, 400]))
            arrival = minute + length + delay
            sent.append((arrival, one.id, json.dumps(rows).encode()))
            again = draw(st.integers(0, 9))
            if again == 0:
                sent.append((arrival + draw(st.sampled_from([0, 5, 700])), one.id, json.dumps(rows).encode()))
            elif again == 1:
                other = [{"t": row["t"], "v": dict.fromkeys(names, 0.33)} for row in rows[:3]]
                sent.append((arrival + draw(st.integers(0, 30)), one.id, json.dumps(other).encode()))
            elif again == 2:
                sent.append((arrival, draw(st.sampled_from([one.id, "W9"])), draw(st.sampled_from(BAD))))
            minute += length
    sent.sort(key=lambda row: row[0])
    return [
        LogMessage(n + 1, START + arrival * MINUTE + n, _subject(works), payload)
        for n, (arrival, works, payload) in enumerate(sent)
    ]


def _subject(works: str) -> str:
    county = WORKS[0].county
    return f"part.{partition_of(county, works, PARTITIONS)}.wq.{county}.{works}.outlet.json"


def split(log: Sequence[LogMessage], cuts: list[int]) -> list[Sequence[LogMessage]]:
    edges = [0, *sorted(cut % (len(log) + 1) for cut in cuts), len(log)]
    return [log[a:b] for a, b in pairwise(edges) if b > a]


def findings(batches: list[Sequence[LogMessage]]) -> bytes:
    """A fresh evaluator's findings, each as it is written down at last, by id."""
    tables, catalog = load_standards(), SeriesCatalog()
    decoder = Decoder(PointDirectory(WORKS), catalog, tables.parameters, earliest_ms=0, future_tolerance_ms=300_000)
    folds = Folds(Tables(tables.parameters, load_profiles().binding, load_ruleset(Config())), PARTITIONS, catalog, "zh")
    folds.register(WORKS)
    found: dict[str, Finding] = {}

    def keep(said: list[Finding]) -> None:
        for one in said:
            if one.withdrawn:
                found.pop(one.id, None)
            else:
                found[one.id] = merge_late(found[one.id], one) if one.id in found and ":late" in one.rule else one

    for batch in batches:
        keep(folds.take(decoder.decode(batch).batch, batch[-1].sequence, NOW))
    for fold in folds.folds:
        keep(open_findings(fold.state, fold.plan, tables.parameters, NOW))
    return msgspec.json.encode([written(found[name]) for name in sorted(found)])


def written(one: Finding) -> dict[str, object]:
    """A finding without the one fact that tells of the telling: which reading was the newest when it was said. Words of a late
    finding name an extreme, and are made anew by whoever writes it down."""
    evidence = {name: value for name, value in one.evidence.items() if name != AS_OF}
    return asdict(one) | {"evidence": evidence} | ({"reason": ""} if ":late" in one.rule else {})


def store(batches: list[Sequence[LogMessage]]) -> bytes:
    """A fresh recorder's store: readings, other values for the same times, totals, and what was set aside."""
    with TemporaryDirectory() as name, closing(MemorySeriesStore()) as series:
        (Path(name) / "fresh.db").write_bytes(prepared())
        engine = open_database(f"sqlite:///{name}/fresh.db")
        recorder = Recorder(Config(earliest_accepted_year=1971), engine, series)
        for batch in batches:
            recorder.record(batch)
        keys = [SeriesKey(one.county, one.id, "outlet", code) for one in WORKS for code in sorted(LEVELS)]
        held = [series.range(key, 0, 2**60) for key in keys]
        other = [series.conflicts(key, 0, 2**60) for key in keys]
        columns = [
            (trend.observed_at.tobytes(), *(trend.columns[name].tobytes() for name in sorted(trend.columns)))
            for trend in (*held, *other)
        ]
        with reading(engine) as connection:
            aside = sorted(repr(one.item) for one in list_quarantined(connection, limit=10_000).items)
        engine.dispose()
        return msgspec.msgpack.encode([columns, asdict(series.counts()), series.covered("all"), aside])


@cache
def prepared() -> bytes:
    """A database with these works in its register, as a file."""
    with TemporaryDirectory() as name:
        url = f"sqlite:///{name}/prepared.db"
        upgrade(url)
        engine = open_database(url)
        with writing(engine) as connection:
            save_works(connection, WORKS)
        engine.dispose()
        return (Path(name) / "prepared.db").read_bytes()


cuts = st.lists(st.integers(0, 10_000), max_size=10)


@settings(max_examples=30, deadline=None)
@given(logs(), cuts)
def test_findings_of_a_replay_are_the_same_bytes(log: list[LogMessage], where: list[int]) -> None:
    assert findings(split(log, where)) == findings([log])


@settings(max_examples=12, deadline=None)
@given(logs(), cuts)
def test_the_store_after_a_replay_holds_the_same_bytes(log: list[LogMessage], where: list[int]) -> None:
    assert store(split(log, where)) == store([log])
