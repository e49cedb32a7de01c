"""What an undisturbed evaluation of the same readings says: findings, and the incidents that follow from them."""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from alerts.apply import AlertSettings, apply_findings
from ingest.decode import Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.services.bench.chaos.water import Water
from qingquan.services.folds import Folds, Tables
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.reading_log import partition_of
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.register import save_works
from rules.engine import open_findings
from rules.late import merge_late

__all__ = ["Case", "Truth", "cases_of", "decoder_of", "facts_of", "undisturbed"]

SILENCES = (FindingKind.STALE, FindingKind.NEVER_SEEN)
BATCH = 2000

Case = tuple[str, str, str]
"""County, works and cause of an incident."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Findings by id, and how many incidents of each case."""

    findings: dict[str, Finding]
    incidents: Counter[Case]


def undisturbed(config: Config, water: Water, folder: Path) -> Truth:
    """Judge what is sent in the order in which it is sent, in this process, and let incidents follow in a database of its own."""
    tables = load_standards()
    catalog = SeriesCatalog()
    decoder = decoder_of(config, water, catalog)
    folds = Folds(
        Tables(tables.parameters, load_profiles().binding, load_ruleset(config)), config.log_partitions, catalog, "zh"
    )
    folds.register(water.register)
    url = f"sqlite:///{folder / 'truth.db'}"
    upgrade(url)
    engine = open_database(url)
    by_key = {(one.county, one.id): one for one in water.register}
    found: dict[str, Finding] = {}
    now = config.clock.now_ms()
    settings = AlertSettings.from_config(config)
    try:
        with writing(engine) as connection:
            save_works(connection, water.register)
        messages = _logged(config, water, now)
        for first in range(0, len(messages), BATCH):
            part = messages[first : first + BATCH]
            said = folds.take(decoder.decode(part).batch, part[-1].sequence, now)
            if part[-1] is messages[-1]:
                for fold in folds.folds:
                    said += open_findings(fold.state, fold.plan, tables.parameters, now)
            _keep(found, said)
            with writing(engine) as connection:
                apply_findings(connection, said, by_key, now, settings)
        with reading(engine) as connection:
            incidents = cases_of(list(list_incidents(connection, limit=100_000).items))
    finally:
        engine.dispose()
    return Truth({one.id: facts_of(one) for one in found.values() if one.kind not in SILENCES}, incidents)


def decoder_of(config: Config, water: Water, catalog: SeriesCatalog) -> Decoder:
    """The door as evaluator and recorder have it."""
    return Decoder(
        PointDirectory(water.register), catalog, load_standards().parameters,
        earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
        future_tolerance_ms=config.future_tolerance_s * 1000,
    )  # fmt: skip


def facts_of(one: Finding) -> Finding:
    """A finding without what depends on when it was written down: words, and whether it was late to be told."""
    return replace(one, late=False, evidence={}, reason="")


def cases_of(incidents: list[Incident]) -> Counter[Case]:
    """Incidents about water; silence is told by the clock."""
    return Counter(
        (one.county, one.works, one.summary["cause"])
        for one in incidents
        if one.works and one.summary["cause"] != "silent"
    )


def _keep(found: dict[str, Finding], said: list[Finding]) -> None:
    for one in said:
        if one.withdrawn:
            found.pop(one.id, None)
        else:
            found[one.id] = merge_late(found[one.id], one) if one.id in found and ":late" in one.rule else one


def _logged(config: Config, water: Water, now: int) -> list[LogMessage]:
    """As the log would hand them out."""
    made = []
    for number, one in enumerate(water.messages()):
        county, works, point, dialect = one.topic.split("/")[1:]
        partition = partition_of(county, works, config.log_partitions)
        made.append(LogMessage(number + 1, now, f"part.{partition}.wq.{county}.{works}.{point}.{dialect}", one.payload))
    return made
