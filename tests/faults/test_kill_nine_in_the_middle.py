"""kill -9 of evaluator, recorder and NATS while a simulated county publishes: counts in = counts stored, nothing twice.

The services are real processes under their supervisor, the devices real MQTT connections at QoS 1, the gateway a double that
keeps what it accepts. What was said is held against an undisturbed evaluation of the same log in this process.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.error import URLError

import duckdb
import pytest

from ingest.decode import Decoded, Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, MessageState
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.domain.works import Works
from qingquan.services.folds import Folds, Tables
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.store.series.duckdb_order import EVERY_READING
from qingquan.store.sql.engine import open_database, reading
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.quarantine import counts_by_reason
from qingquan.testing.engine import START, Account, Row, make_works, plan_of
from qingquan.testing.story import Story
from qingquan.testing.system import System, running_system, system_settings
from rules.engine import open_findings
from rules.late import merge_late
from simulators.county import county
from simulators.scenario import parse_scenario

WORKS = 40
SEED = 7
SPEED = 90.0
# The story's first half hour is on the devices already and comes at once; the rest comes as it happens.
BEFORE_MIN, DURING_MIN = 28, 38
KILLS = {"evaluator": 4, "recorder": 4, "nats-server": 3}
STORY = parse_scenario(
    """
name = "kills"
rain = 0.0
[[fault]]
kind = "dosing_stop"
select = { count = 3, has = ["doser_running"], upload = "live" }
start_min = 1
duration_min = 33
[[fault]]
kind = "turbidity_breakthrough"
select = { count = 2, upload = "live" }
start_min = 2
duration_min = 60
peak_ntu = 8.0
[[fault]]
kind = "dosing_stop"
select = { count = 2, has = ["doser_running"], upload = "live" }
start_min = 10
duration_min = 300
[[fault]]
kind = "link_loss"
select = { count = 2, upload = "live" }
start_min = 20
duration_min = 25
""",
    "kills.toml",
)
pytestmark = pytest.mark.slow

SILENCES = (FindingKind.STALE, FindingKind.NEVER_SEEN)
UNDER_WAY = (MessageState.QUEUED, MessageState.SENDING)

Reading = tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class Run:
    """What was published, and what everything held when all of it was through."""

    config: Config
    works: Sequence[Works]
    sent: list[tuple[str, bytes]]
    published: int
    acknowledged: int
    reconnects: int
    kills: Counter[str]
    applied_at_kills: list[int]
    logged: list[LogMessage]
    counts: dict[str, Any]
    accepted: list[dict[str, Any]]
    took_s: float


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("kills")
    works = county(WORKS, SEED)
    began = time.monotonic()
    # The compiled loop is compiled now, not while its process is killed.
    Account(plan_of(make_works())).feed([Row(0, START, 0.4)])
    morning = to_ms(datetime(2026, 6, 21, 0, 0, tzinfo=UTC))
    config = system_settings(
        folder, clock_speed=SPEED, clock_epoch_ms=time.time_ns() // 1_000_000, clock_start_ms=morning, snapshot_interval_s=1.0
    )  # fmt: skip
    services = ("gateway-double", "evaluator", "recorder", "alerter", "web")
    with running_system(config, works, services) as system:
        system.wait_for(lambda: _counts(system), "the console answers", 60)
        story = Story(system, works, STORY, BEFORE_MIN, SEED)
        devices = story.devices
        try:
            kills, applied = _published_under_fire(system, story)
            assert devices.drain(60), (devices.waiting, devices.published, devices.acknowledged)
        finally:
            devices.close()
        last = system.last_sequence()
        system.wait_for(lambda: _is_through(system, last), "everything evaluated, recorded and told", 120)
        logged, counted = system.logged(), _counts(system)
        # What it goes on to say while it is asked would be in the database and not in the answer.
        system.end("alerter")
        return Run(
            system.config, works, story.sent, devices.published, devices.acknowledged, devices.reconnects, kills, applied,
            logged, counted, system.accepted_messages(), time.monotonic() - began,
        )  # fmt: skip


def _published_under_fire(system: System, story: Story) -> tuple[Counter[str], list[int]]:
    """Publish the story, something useless beside it every minute, and kill as it goes; what was killed, and how far the
    evaluator had come each time."""
    story.play(BEFORE_MIN, lambda: None)

    def is_under_way() -> bool:
        story.devices.pump(0.05)
        return bool((_counts(system) or {"evaluated": 0})["evaluated"] > 100)

    system.wait_for(is_under_way, "the evaluator judges", 60)
    fire = _Fire(system, DURING_MIN * 60 / SPEED)
    deadline, minute = time.monotonic() + 90, BEFORE_MIN
    # It goes on until all kills are done and everybody has caught up: after that nothing more comes, and all fall silent.
    while not (fire.is_over and minute >= BEFORE_MIN + DURING_MIN and _lag(system) < 200):
        assert time.monotonic() < deadline, (fire.kills, _counts(system), system.last_words())
        minute += 1
        story.play(minute, fire.spread)
        story.put(0, "wq/520425/W0001/outlet/json", b'{"t": %d, "v": {"ph"' % minute)
        story.put(1, "wq/520425/W9999/outlet/json", b'{"t": %d, "v": {"ph": 7.0}}' % minute)
    return fire.kills, fire.applied


def _lag(system: System) -> float:
    """How many messages the slower of evaluator and recorder is behind the log."""
    now = _counts(system)
    if not now or now["logged"] is None or now["recorded"] is None:
        return float("inf")
    return float(now["logged"] - min(now["evaluated"], now["recorded"]))


class _Fire:
    """Kills at random moments, evenly over a time. Who is down already, or an evaluator that has judged nothing since its last
    death, is left until it is worth it."""

    def __init__(self, system: System, over_s: float) -> None:
        chance = random.Random(SEED)
        self._system = system
        self._plan = sorted(
            (over_s * (number + chance.random()) / times, name)
            for name, times in KILLS.items()
            for number in range(times)
        )
        self._began = time.monotonic()
        self.kills: Counter[str] = Counter()
        self.applied = [0]

    @property
    def is_over(self) -> bool:
        """Whether all kills are done."""
        return not self._plan

    def spread(self) -> None:
        """Kill whose time has come; let the supervisor look after the others."""
        self._system.watch()
        elapsed = time.monotonic() - self._began
        for due in [one for one in self._plan if one[0] <= elapsed]:
            name, applied = due[1], self._system.evaluated()
            if name == "evaluator" and applied <= self.applied[-1]:
                continue
            if self._system.signal(name):
                self._plan.remove(due)
                self.kills[name] += 1
                if name == "evaluator":
                    self.applied.append(applied)


def _counts(system: System) -> dict[str, Any]:
    try:
        found: dict[str, Any] = system.api("counts")
    except (OSError, URLError):
        return {}
    return found


def _is_through(system: System, last: int) -> bool:
    now = _counts(system)
    if not now or not now["logged"] == now["evaluated"] == now["recorded"] == last:
        return False
    # Alarms about water are waited for; not the silence that follows when nothing comes any more, nor recoveries, which the SMS
    # channel holds back a minute for the sake of the provider's limit.
    engine = open_database(system.config.sql_url)
    with reading(engine) as connection:
        under_way = list_messages(connection, states=UNDER_WAY, limit=10_000).items
        waiting = {one.incident_id for one in under_way if one.step == "firing"}
        water = {one.id for one in list_incidents(connection, limit=10_000).items if one.summary["cause"] != "silent"}
    engine.dispose()
    return not waiting & water


@pytest.fixture(scope="module")
def decoded(run: Run) -> tuple[Decoded, SeriesCatalog]:
    """The log of the run, decoded in this process."""
    catalog = SeriesCatalog()
    decoder = Decoder(
        PointDirectory(run.works), catalog, load_standards().parameters,
        earliest_ms=to_ms(datetime(run.config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
        future_tolerance_ms=run.config.future_tolerance_s * 1000,
    )  # fmt: skip
    return decoder.decode(run.logged), catalog


def findings_of(config: Config) -> dict[str, Finding]:
    """What the database says now; what was taken back is left out."""
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        page = list_findings(connection, limit=100_000)
    engine.dispose()
    return {one.id: one for one in page.items if not one.withdrawn}


def undisturbed(run: Run, batch: Decoded, catalog: SeriesCatalog) -> dict[str, Finding]:
    """The findings of one evaluation of the whole log, in this process."""
    tables = load_standards()
    folds = Folds(
        Tables(tables.parameters, tables.limits, load_ruleset(run.config)), run.config.log_partitions, catalog, "zh"
    )
    folds.register(run.works)
    now = run.logged[-1].received_at
    found: dict[str, Finding] = {}
    said = folds.take(batch.batch, run.logged[-1].sequence, now)
    for fold in folds.folds:
        said += open_findings(fold.state, fold.plan, tables.parameters, now)
    for one in said:
        if one.withdrawn:
            found.pop(one.id, None)
        else:
            found[one.id] = merge_late(found[one.id], one) if one.id in found and ":late" in one.rule else one
    return found


def incidents_of(config: Config) -> list[Incident]:
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        found = list(list_incidents(connection, limit=10_000).items)
    engine.dispose()
    return found


def test_every_kill_hit_a_running_process_and_everything_published_was_acknowledged(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(
            f"\nkilled {dict(run.kills)}: {len(run.sent)} messages sent, {run.acknowledged} acknowledged,"
            f" {run.reconnects} reconnects, {len(run.logged)} logged, {run.counts['readings']} readings stored,"
            f" {len(findings_of(run.config))} findings, {len(incidents_of(run.config))} incidents,"
            f" {len(run.accepted)} messages told, {run.took_s:.0f} s"
        )
    assert run.kills == KILLS
    assert run.reconnects >= 4
    assert run.published == run.acknowledged >= len(run.sent)
    assert len(run.sent) > 2000
    # Each time the evaluator had judged something, and something was left.
    assert len(run.applied_at_kills) == KILLS["evaluator"] + 1
    assert run.applied_at_kills[-1] < len(run.logged)


def test_every_message_sent_is_in_the_log(run: Run) -> None:
    stored = {("wq/" + "/".join(one.subject.split(".")[3:]), one.payload) for one in run.logged}
    assert set(run.sent) - stored == set()


def test_counts_in_equal_counts_out(run: Run, decoded: tuple[Decoded, SeriesCatalog]) -> None:
    batch, _ = decoded
    assert run.counts["logged"] == run.counts["evaluated"] == run.counts["recorded"] == len(run.logged)
    reasons = Counter(str(one.reason) for one in batch.quarantined)
    assert run.counts["quarantined"] == reasons
    assert set(reasons) == {"bad_json", "unknown_works"}
    engine = open_database(run.config.sql_url)
    with reading(engine) as connection:
        totals, by_reason = counts(connection), counts_by_reason(connection)
    engine.dispose()
    assert totals["evaluated.readings"] == len(batch.batch)
    assert by_reason == reasons
    assert run.counts["readings"] + run.counts["duplicates"] + run.counts["conflicts"] == len(batch.batch)


def test_every_acknowledged_reading_is_stored_exactly_once(run: Run, decoded: tuple[Decoded, SeriesCatalog]) -> None:
    batch, catalog = decoded[0].batch, decoded[1]
    expected: dict[Reading, float] = {}
    for series, at, value in zip(batch.series.tolist(), batch.observed_at.tolist(), batch.value.tolist(), strict=True):
        expected[(*catalog.key(series), at)] = value
    with duckdb.connect(str(run.config.data_path / "series.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            "SELECT county, works, point, parameter, observed_at, value"
            f" FROM {EVERY_READING} JOIN series ON series = id"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM conflict").fetchone() == (0,)
    assert max(Counter(row[:5] for row in rows).values()) == 1
    assert {row[:5]: row[5] for row in rows} == {
        key: value if value == value else None for key, value in expected.items()
    }


def test_the_findings_are_those_of_an_undisturbed_evaluation(run: Run, decoded: tuple[Decoded, SeriesCatalog]) -> None:
    expected, found = undisturbed(run, *decoded), findings_of(run.config)

    def facts(one: Finding) -> Finding:
        # When a finding was written down decides only whether it was late to be told.
        return replace(one, late=False, evidence={}, reason="")

    judged = {id_: facts(one) for id_, one in found.items() if one.kind not in SILENCES}
    assert judged == {id_: facts(one) for id_, one in expected.items() if one.kind not in SILENCES}
    # A silence is told by the clock; one that the readings themselves show must have been told, with the same ends.
    gaps = {id_: (one.start, one.end) for id_, one in expected.items() if one.kind in SILENCES}
    assert {id_: (found[id_].start, found[id_].end) for id_ in gaps if id_ in found} == gaps
    kinds = Counter(one.kind for one in judged.values())
    assert kinds[FindingKind.DISINFECTION_MISSING] >= 5
    assert kinds[FindingKind.EXCEEDANCE] >= 2


def test_no_incident_is_there_twice(run: Run) -> None:
    incidents = incidents_of(run.config)
    by_finding = Counter(id_ for one in incidents for id_ in one.finding_ids)
    assert [id_ for id_, times in by_finding.items() if times > 1] == []
    spans: dict[tuple[str, str, str], list[Incident]] = {}
    for one in incidents:
        spans.setdefault((one.county, one.works, one.summary["cause"]), []).append(one)
    for cases in spans.values():
        cases.sort(key=lambda one: one.id)
        assert all(earlier.resolved_at is not None for earlier in cases[:-1])
        assert all(
            earlier.resolved_at is not None and earlier.resolved_at <= later.opened_at
            for earlier, later in itertools.pairwise(cases)
        )
    known = findings_of(run.config)
    missing = {one.works for one in known.values() if one.kind is FindingKind.DISINFECTION_MISSING}
    assert missing <= {one.works for one in incidents if one.summary["cause"] == "disinfection"}


def test_no_message_reached_a_phone_twice(run: Run) -> None:
    texts = Counter((one["channel"], one["to"], one["text"]) for one in run.accepted)
    assert [text for text, times in texts.items() if times > 1] == []
    by_id = Counter(one["out_id"] for one in run.accepted if one["out_id"])
    assert [id_ for id_, times in by_id.items() if times > 1] == []
    engine = open_database(run.config.sql_url)
    with reading(engine) as connection:
        rows = list_messages(connection, limit=10_000).items
    engine.dispose()
    sent = [one for one in rows if one.state in (MessageState.ACCEPTED, MessageState.DELIVERED)]
    assert Counter(one.state for one in rows)[MessageState.UNKNOWN] == 0
    texted = {one["out_id"] for one in run.accepted if one["channel"] == "aliyun_sms"}
    # A message of several incidents goes out once; the others are carried by it.
    assert len({one.carried_by or one.id for one in sent if one.channel == "aliyun_sms"}) == len(texted) > 0
    # Five works lost their disinfection, and two of them for good: each has a caretaker who was told, unless water was good
    # again before the alerter could tell it, because the evaluator was down meanwhile; that stands at the message then.
    told = {one.incident_id for one in sent}
    lost = [one for one in incidents_of(run.config) if one.summary["cause"] == "disinfection"]
    assert len(lost) >= 5
    alarms = [one for one in lost if one.kind is FindingKind.DISINFECTION_MISSING and not one.late]
    lasting = {one.id for one in alarms if one.resolved_at is None}
    assert len(lasting) >= 2
    assert lasting <= told
    withheld = [
        one for one in rows if one.incident_id in {alarm.id for alarm in alarms} - told and one.step == "firing"
    ]
    assert {one.why for one in withheld} <= {NotSent.OVER}, withheld
