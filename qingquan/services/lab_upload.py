"""Laboratory sheets from upload to incident: parse, judge, store, and bring findings and incidents in line.

Everything an upload changes is one transaction: samples, findings, incidents and messages are there together or not at
all. What a sheet holds never raises; a refused cell is reported with its place and everything else is taken.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, Engine

from alerts.apply import AlertSettings, Applied, apply_findings
from ingest.lab.parse import parse_lab
from ingest.lab.wording import refusal_text
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.lab import LabOperator, LabReport, LabResult, LabSample, LabVerdict
from qingquan.domain.profiles import known_conditions
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable, WrongUse
from qingquan.standards.laboratory import load_laboratory
from qingquan.standards.profiles import load_profiles
from qingquan.standards.severities import load_lab_severities
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.lab import add_results, hold_uploads, judged_results, samples_by_number, save_samples
from qingquan.store.sql.progress import add_counts
from qingquan.store.sql.register import load_works
from rules.lab import LabPlace
from rules.lab_findings import findings_of
from rules.lab_sample import Judged, judge_sample
from rules.lab_words import bound_text, reason

__all__ = ["import_file", "make_uploader", "report_lines"]

WorksKey = tuple[str, str]
Held = dict[str, dict[str, LabSample]]

# Another upload of the same samples may come between reading and writing; then everything is looked at again.
TRIES = 5

_log = structlog.get_logger("lab")


def make_uploader(engine: Engine, config: Config) -> Callable[[str, bytes, str], LabReport]:
    """What console, API and command line call with a file: ``upload(filename, content, uploader)``.

    The report names every sample taken, with verdicts and ids, and every refusal with its place. The same file again
    is refused and changes nothing; a result a sample lacked is added to it.

    The function raises `StoreUnavailable` when the database does not answer; nothing was stored then.
    """

    def upload(filename: str, content: bytes, uploader: str) -> LabReport:
        for _ in range(TRIES):
            attempt = _Attempt.read(engine, config, filename, content, uploader)
            stored = attempt.store(engine, config)
            if stored is not None:
                return stored
        raise StoreUnavailable("the laboratory's samples keep changing under the upload: try again")

    return upload


def import_file(path: Path, by: str, config: Config) -> int:
    """`qingquan lab import`: prints the report; 0 when everything was taken, 1 when anything was refused.

    Raises
    ------
    WrongUse
        If the file cannot be opened.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WrongUse(f"{path}: {error.strerror}") from error
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    try:
        report = make_uploader(engine, config)(path.name, content, by)
    finally:
        engine.dispose()
    print("\n".join(report_lines(report, config.language)))
    return 1 if report.refusals else 0


def report_lines(report: LabReport, language: str = "zh") -> list[str]:
    """The report in words: totals, exceedances and open verdicts with their reasons, then one line per refusal."""
    tally = {verdict: sum(result.verdict is verdict for result in report.results) for verdict in LabVerdict}
    facts = {
        "samples": len(report.samples),
        "results": len(report.results),
        "refused": len(report.refusals),
        **{verdict.value: count for verdict, count in tally.items()},
    }
    head = _HEAD["en" if language == "en" else "zh"].format(**facts)
    told = (LabVerdict.EXCEEDED, LabVerdict.UNDECIDED)
    names = load_laboratory().parameters
    lines = [head]
    for sample in report.samples:
        for result in sample.results:
            if result.verdict in told:
                name = names[result.parameter].name_en if language == "en" else names[result.parameter].name_zh
                word = _WORDS["en" if language == "en" else "zh"][result.verdict]
                lines.append(f"{word} {sample.number} {sample.works}/{sample.point} {name}: {result.reason}")
    return lines + [refusal_text(item) for item in report.refusals]


_HEAD = {
    "zh": (
        "入库水样 {samples} 份、结果 {results} 条：合格 {compliant}，超标 {exceeded}，待定 {undecided}，"
        "不判定 {not_judged}；拒收 {refused} 处"
    ),
    "en": (
        "{samples} samples, {results} results taken: {compliant} compliant, {exceeded} exceeded, {undecided} undecided, "
        "{not_judged} not judged; {refused} refused"
    ),
}
_WORDS = {
    "zh": {LabVerdict.EXCEEDED: "超标", LabVerdict.UNDECIDED: "待定"},
    "en": {LabVerdict.EXCEEDED: "exceeded", LabVerdict.UNDECIDED: "undecided"},
}


@dataclass(slots=True)
class _Attempt:
    """A file parsed and judged against what was stored a moment ago."""

    report: LabReport
    works: dict[WorksKey, Works]
    held: Held = field(default_factory=dict)
    asked: dict[str, list[str]] = field(default_factory=dict)
    now_ms: int = 0

    @classmethod
    def read(cls, engine: Engine, config: Config, filename: str, content: bytes, uploader: str) -> "_Attempt":
        """Parse and judge, outside any writing transaction: on SQLite nobody else can write while one lasts."""
        with reading(engine) as connection:
            works = load_works(connection)
        now_ms = config.clock.now_ms()
        attempt = cls(LabReport((), ()), {(one.county, one.id): one for one in works}, now_ms=now_ms)

        def known(county: str, numbers: Collection[str]) -> Mapping[str, LabSample]:
            attempt.asked[county] = list(numbers)
            with reading(engine) as connection:
                attempt.held[county] = samples_by_number(connection, county, numbers)
            return attempt.held[county]

        parsed = parse_lab(
            content, filename, works, uploaded_at=now_ms, uploaded_by=uploader, known=known, language=config.language
        )
        samples = tuple(attempt._judged(sample, config.language) for sample in parsed.samples)
        attempt.report = replace(parsed, samples=samples)
        return attempt

    def store(self, engine: Engine, config: Config) -> LabReport | None:
        """Write everything in one transaction; ``None``, and nothing written, if the samples have changed meanwhile."""
        with writing(engine) as connection:
            hold_uploads(connection)
            if any(
                samples_by_number(connection, county, numbers) != self.held[county]
                for county, numbers in self.asked.items()
            ):
                return None
            samples = _saved(connection, self.report.samples)
            applied = self._apply(connection, samples, config)
            add_counts(connection, _counts(samples, self.report))
        _log.info(
            "lab_uploaded", samples=len(samples), results=sum(len(one.results) for one in samples),
            refusals=len(self.report.refusals), findings=applied.findings_written, incidents=applied.incidents_opened,
        )  # fmt: skip
        return replace(self.report, samples=samples, sample_ids=tuple(sample.id for sample in samples))

    def _judged(self, sample: LabSample, language: str) -> LabSample:
        """The sample with verdicts; of results added to a stored sample, those it had are regarded but not returned."""
        stored = self.held.get(sample.county, {}).get(sample.number) if sample.id else None
        before = stored.results if stored is not None else ()
        judged = judge_sample(
            (*before, *sample.results),
            _place(sample, self.works),
            load_profiles().binding(sample.county).rows,
            _conversion,
        )
        had = {result.parameter for result in before}
        fresh = (one for one in judged if one.result.parameter not in had)
        return replace(sample, results=tuple(_with_verdict(one, language) for one in fresh))

    def _apply(self, connection: Connection, samples: Sequence[LabSample], config: Config) -> Applied:
        """Bring the findings of every series the upload has touched in line with all its results."""
        touched: dict[WorksKey, set[tuple[str, str]]] = {}
        for sample in samples:
            for result in sample.results:
                if result.verdict in (LabVerdict.EXCEEDED, LabVerdict.COMPLIANT):
                    touched.setdefault((sample.county, sample.works), set()).add((sample.point, result.parameter))
        history: list[tuple[LabSample, LabResult]] = []
        for (county, works), series in touched.items():
            results = judged_results(connection, county, works, {parameter for _, parameter in series})
            history += [(one, result) for one, result in results if (one.point, result.parameter) in series]
        limits = {row.id: row for county, _ in touched for row in load_profiles().binding(county).rows}
        findings = findings_of(history, limits, load_lab_severities(), config.language)
        return apply_findings(connection, findings, self.works, self.now_ms, AlertSettings.from_config(config))


def _place(sample: LabSample, works: Mapping[WorksKey, Works]) -> LabPlace:
    entry = works[sample.county, sample.works]
    point = next(point for point in entry.points if point.id == sample.point)
    sampled_on = from_ms(sample.sampled_at).astimezone(ZoneInfo(entry.time_zone)).date()
    return LabPlace(
        point_kind=point.kind,
        small_limited=load_profiles().binding(entry.county).is_relaxed_on(entry, sampled_on),
        disinfectant=entry.disinfectant,
        sampled_on=sampled_on,
        conditions=known_conditions(entry),
    )


def _conversion(code: str, written: str, wanted: str) -> tuple[float, float] | None:
    tables = load_laboratory()
    parameter = tables.parameters.get(code)
    if parameter is None or parameter.unit != wanted:
        return None
    unit = tables.unit(code, written)
    return None if unit is None else (unit.factor, unit.offset)


def _with_verdict(one: Judged, language: str) -> LabResult:
    result, judgement = one.result, one.judgement
    limit = judgement.limit
    is_number = judgement.value is not None and result.operator is not LabOperator.NOT_DETECTED
    return replace(
        result,
        canonical_value=judgement.value if is_number else result.canonical_value,
        verdict=judgement.verdict,
        limit="" if limit is None else bound_text(limit, language),
        limit_id="" if limit is None else limit.id,
        clause="" if limit is None else f"{limit.standard} {limit.clause}",
        reason=reason(result, judgement, language),
    )


def _saved(connection: Connection, samples: Iterable[LabSample]) -> tuple[LabSample, ...]:
    """The samples with their ids, in the order given: new ones stored, results of known ones added to them."""
    given = tuple(samples)
    stored = {(one.county, one.number): one for one in save_samples(connection, (s for s in given if not s.id))}
    for sample in given:
        if sample.id:
            add_results(connection, sample.id, sample.results)
    return tuple(sample if sample.id else stored[sample.county, sample.number] for sample in given)


def _counts(samples: Sequence[LabSample], report: LabReport) -> dict[str, int]:
    return {
        "lab_samples": len(samples),
        "lab_results": sum(len(sample.results) for sample in samples),
        "lab_refused": len(report.refusals),
    }
