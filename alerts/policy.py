"""The alert policy: ladders, channels, waits and spans as data. Pure but for reading its file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from alerts.policy_reading import Faults
from qingquan.domain.findings import Severity
from qingquan.errors import ConfigurationError

__all__ = ["CHANNELS", "Audience", "Policy", "Rung", "Subject", "default_policy", "load_policy", "parse_policy"]

SMS = "aliyun_sms"
WECOM_ROBOT = "wecom_robot"
WECOM_APP = "wecom_app"
VOICE = "aliyun_voice"
# Channels that reach a person; a robot reaches a group.
CHANNELS = (SMS, WECOM_APP, VOICE, "tencent_sms", "wechat_official", "dingtalk", "feishu", "email", "webhook")
MINUTE_MS = 60_000


class Subject(StrEnum):
    """What an incident is about, as far as telling people goes."""

    WATER = "water"
    DATA = "data"


class Audience(StrEnum):
    """To whom a rung leads, from the works upwards."""

    CARETAKER = "caretaker"
    MANAGER = "manager"
    TOWNSHIP = "township"
    COUNTY_DUTY = "county_duty"
    COUNTY_LEADER = "county_leader"
    PREFECTURE = "prefecture"
    COUNTY_GROUP = "county_group"


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of a ladder: who is told ``after_ms`` without an acknowledgement; ``ring`` are called by voice."""

    name: str
    after_ms: int
    tell: tuple[Audience, ...]
    ring: tuple[Audience, ...] = ()
    opens_problem: bool = False


@dataclass(frozen=True, slots=True)
class TownshipPolicy:
    """When incidents of a township's works become one: ``least`` of a cause opened ``within_ms`` of each other."""

    causes: tuple[str, ...] = ()
    least: int = 5
    within_ms: int = 30 * MINUTE_MS
    wait_ms: int = 90_000
    ends_below: int = 2
    severity: Severity = Severity.MAJOR


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything `policy.toml` says. Spans in ms; ``night`` is minutes of the day, from and to, local time."""

    version: str
    ladders: Mapping[tuple[Subject, Severity], tuple[Rung, ...]]
    wait_ms: Mapping[Severity, int]
    lease_ms: Mapping[Severity, int]
    night: tuple[int, int]
    channels_day: tuple[str, ...]
    channels_critical: tuple[str, ...]
    channels_night: tuple[str, ...]
    channels_ring: tuple[str, ...]
    observe_ms: Mapping[Subject, int]
    fixed_observe_ms: int = 120 * MINUTE_MS
    link_lasts_ms: int = 72 * 60 * MINUTE_MS
    township: TownshipPolicy = field(default_factory=TownshipPolicy)
    flapping_count: int = 4
    flapping_within_ms: int = 360 * MINUTE_MS
    flapping_lasts_ms: int = 30 * MINUTE_MS
    silence_most_ms: int = 72 * 60 * MINUTE_MS
    drill_most_rung: str = "county_duty"
    drill_most_ms: int = 240 * MINUTE_MS
    inhibits: tuple[tuple[str, frozenset[str]], ...] = ()

    def ladder(self, subject: Subject, severity: Severity, *, drill: bool = False) -> tuple[Rung, ...]:
        """The rungs of an incident, bottom first; empty where nobody is told. A drill ends at its highest rung."""
        rungs = self.ladders.get((subject, severity), ())
        if not drill:
            return rungs
        names = [rung.name for rung in rungs]
        last = names.index(self.drill_most_rung) + 1 if self.drill_most_rung in names else len(names)
        return rungs[:last]

    def is_night(self, minute_of_day: int) -> bool:
        """Whether a local minute of the day lies within the night, which may span midnight."""
        start, end = self.night
        if start <= end:
            return start <= minute_of_day < end
        return minute_of_day >= start or minute_of_day < end


@cache
def default_policy() -> Policy:
    """The policy that ships."""
    return parse_policy(files("alerts").joinpath("policy.toml").read_text(encoding="utf-8"), "alerts/policy.toml")


def load_policy(path: str = "") -> Policy:
    """The policy of a file, the default one for an empty path.

    Raises
    ------
    ConfigurationError
        With every fault at once: file, key, value found, values allowed.
    """
    if not path:
        return default_policy()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read: {error}"]) from error
    return parse_policy(text, path)


def parse_policy(text: str, where: str) -> Policy:
    """The policy a text states; see `load_policy`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{where}: not TOML: {error}"]) from error
    faults = Faults(where)
    policy = _policy(table, faults)
    faults.end()
    return policy


_TABLES = (
    "wait_s", "lease_min", "answers", "night", "channels", "observe_s", "township", "flapping", "silence", "drill", "inhibit", "ladder",
)  # fmt: skip
_SEVERITIES = {severity.word: severity for severity in Severity}


def _policy(table: dict[str, Any], faults: Faults) -> Policy:
    faults.only(table, "", _TABLES)
    part = {name: faults.table(table, name) for name in _TABLES if name not in ("inhibit", "ladder")}
    words = tuple(_SEVERITIES)
    for name, keys in _KEYS.items():
        faults.only(part[name], name, keys)
    channels = {name: faults.words(part["channels"], f"channels.{name}", CHANNELS) for name in _KEYS["channels"]}
    township = part["township"]
    ladders = _ladders(faults.rows(table, "ladder"), faults)
    return Policy(
        version=str(table.get("version", "1")),
        ladders=ladders,
        wait_ms={_SEVERITIES[word]: faults.span(part["wait_s"], f"wait_s.{word}", 1000) for word in words},
        lease_ms={_SEVERITIES[word]: faults.span(part["lease_min"], f"lease_min.{word}", MINUTE_MS, least=1) for word in words},
        night=(faults.hour(part["night"], "night.from"), faults.hour(part["night"], "night.to")),
        channels_day=channels["day"], channels_critical=channels["critical"], channels_night=channels["night"], channels_ring=channels["ring"],
        observe_ms={subject: faults.span(part["observe_s"], f"observe_s.{subject}", 1000) for subject in Subject},
        fixed_observe_ms=faults.span(part["answers"], "answers.fixed_observe_min", MINUTE_MS, least=1),
        link_lasts_ms=faults.span(part["answers"], "answers.link_h", 60 * MINUTE_MS, least=1),
        township=TownshipPolicy(
            causes=faults.words(township, "township.causes", ("silent", "power", "instrument")),
            least=faults.number(township, "township.least", least=2),
            within_ms=faults.span(township, "township.within_min", MINUTE_MS, least=1),
            wait_ms=faults.span(township, "township.wait_s", 1000),
            ends_below=faults.number(township, "township.ends_below", least=1),
            severity=_SEVERITIES.get(faults.word(township, "township.severity", words), Severity.MAJOR),
        ),
        flapping_count=faults.number(part["flapping"], "flapping.count", least=2),
        flapping_within_ms=faults.span(part["flapping"], "flapping.within_min", MINUTE_MS, least=1),
        flapping_lasts_ms=faults.span(part["flapping"], "flapping.lasts_min", MINUTE_MS, least=1),
        silence_most_ms=faults.span(part["silence"], "silence.most_h", 60 * MINUTE_MS, least=1),
        drill_most_rung=faults.word(part["drill"], "drill.most_rung", _rung_names(ladders)),
        drill_most_ms=faults.span(part["drill"], "drill.most_min", MINUTE_MS, least=1),
        inhibits=_inhibits(faults.rows(table, "inhibit"), faults),
    )  # fmt: skip


_KEYS = {
    "wait_s": tuple(_SEVERITIES), "lease_min": tuple(_SEVERITIES), "answers": ("fixed_observe_min", "link_h"), "night": ("from", "to"), "channels": ("day", "critical", "night", "ring"),
    "observe_s": tuple(Subject), "township": ("causes", "least", "within_min", "wait_s", "ends_below", "severity"),
    "flapping": ("count", "within_min", "lasts_min"), "silence": ("most_h",), "drill": ("most_rung", "most_min"),
}  # fmt: skip
_CAUSES = ("power", "silent", "instrument", "maintenance", "disinfection", "disinfection_unknown", "exceedance", "lab")


def _rung_names(ladders: Mapping[tuple[Subject, Severity], tuple[Rung, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rung.name for rungs in ladders.values() for rung in rungs))


def _inhibits(rows: list[dict[str, Any]], faults: Faults) -> tuple[tuple[str, frozenset[str]], ...]:
    found = []
    for number, row in enumerate(rows, start=1):
        faults.only(row, f"inhibit[{number}]", ("parent", "mutes"))
        parent = faults.word(row, f"inhibit[{number}].parent", _CAUSES)
        mutes = faults.words(row, f"inhibit[{number}].mutes", _CAUSES)
        if parent in mutes:
            faults.add(f"inhibit[{number}].mutes", parent, "causes other than the parent itself")
        found.append((parent, frozenset(mutes)))
    return tuple(found)


def _ladders(rows: list[dict[str, Any]], faults: Faults) -> dict[tuple[Subject, Severity], tuple[Rung, ...]]:
    ladders: dict[tuple[Subject, Severity], tuple[Rung, ...]] = {}
    for number, row in enumerate(rows, start=1):
        where = f"ladder[{number}]"
        faults.only(row, where, ("subject", "severity", "rungs", "repeat_h", "repeat_most", "repeat_tell"))
        subject = faults.word(row, f"{where}.subject", tuple(Subject))
        severity = faults.word(row, f"{where}.severity", tuple(_SEVERITIES))
        rungs = _rungs(faults.rows(row, "rungs", where), where, faults)
        if not rungs:
            faults.add(f"{where}.rungs", "[]", "at least one rung")
        if subject and severity:
            key = Subject(subject), _SEVERITIES[severity]
            if key in ladders:
                faults.add(where, f"{subject}/{severity}", "each subject and severity once")
            ladders[key] = rungs + _repeats(row, where, rungs, faults)
    return ladders


def _rungs(rows: list[dict[str, Any]], where: str, faults: Faults) -> tuple[Rung, ...]:
    rungs: list[Rung] = []
    for number, row in enumerate(rows, start=1):
        at = f"{where}.rungs[{number}]"
        faults.only(row, at, ("name", "after_min", "tell", "ring", "opens_problem"))
        name = faults.name(row, f"{at}.name")
        after = faults.span(row, f"{at}.after_min", MINUTE_MS)
        tell = faults.words(row, f"{at}.tell", tuple(Audience))
        ring = faults.words(row, f"{at}.ring", tell) if "ring" in row else ()
        if not tell:
            faults.add(f"{at}.tell", "[]", f"at least one of {', '.join(Audience)}")
        if rungs and after <= rungs[-1].after_ms:
            faults.add(f"{at}.after_min", row.get("after_min"), "later than the rung before")
        if not rungs and after:
            faults.add(f"{at}.after_min", row.get("after_min"), "0 for the first rung")
        if name in [rung.name for rung in rungs]:
            faults.add(f"{at}.name", name, "each name once within a ladder")
        rungs.append(
            Rung(name, after, tuple(map(Audience, tell)), tuple(map(Audience, ring)), row.get("opens_problem") is True)
        )
    return tuple(rungs)


def _repeats(row: dict[str, Any], where: str, rungs: tuple[Rung, ...], faults: Faults) -> tuple[Rung, ...]:
    """Repeats are rungs like the others: each is taken once, and an acknowledgement stops them."""
    if "repeat_h" not in row or not rungs:
        return ()
    every = faults.span(row, f"{where}.repeat_h", 60 * MINUTE_MS, least=1)
    most = faults.number(row, f"{where}.repeat_most", least=1)
    tell = tuple(Audience(word) for word in faults.words(row, f"{where}.repeat_tell", tuple(Audience)))
    last = rungs[-1].after_ms
    return tuple(Rung(f"repeat_{n}", last + n * every, tell) for n in range(1, most + 1))
