"""The watchdog's table (TOML): what is watched, who is told, whose heartbeats are expected. Read once, all faults at once."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from alerts.channels.build import CHANNELS
from alerts.operations_words import PHRASES
from qingquan.domain.findings import Severity
from qingquan.domain.operations import Side, Watch
from qingquan.errors import ConfigurationError

__all__ = ["MEASURES", "OperationsContact", "OperationsPlan", "Sender", "load_operations"]

SHIPPED = "alerts/operations.toml"
MEASURES = frozenset(
    {
        "clock_step_seconds", "compliance_age_seconds", "database_up", "detector_age_seconds", "disk_free_bytes", "disk_free_ratio",
        "edge_age_seconds", "edge_refused", "edge_waiting_messages",
        "evaluator_age_seconds", "evaluator_lag_messages", "heartbeat_failures", "heartbeat_overdue_ratio", "log_self_test_failures",
        "log_up", "log_used_ratio", "outbox_age_seconds", "recorder_age_seconds", "recorder_lag_messages", "series_store_up",
        "service_age_seconds", "uplink_age_seconds", "uplink_up",
    }
)  # fmt: skip
"""What may be watched; the meaning of each stands in docs/operations.md."""

_SEVERITIES = {severity.word: severity for severity in Severity}
_TOP_KEYS = ("contact", "disks", "sender", "services", "watch")
_WATCH_KEYS = {"measure", "above", "below", "clear", "for_s", "clear_s", "severity", "heartbeat"}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SECRET_LEAST = 16
NAME_MOST = 40


@dataclass(frozen=True, slots=True)
class OperationsContact:
    """Who keeps the platform running; ``ways`` are (channel, receiver), the first before the others."""

    name: str
    ways: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sender:
    """An installation whose heartbeats we expect every ``every_s`` seconds; overdue after ``late_after_s``."""

    name: str
    secret: str
    every_s: float
    late_after_s: float


@dataclass(frozen=True, slots=True)
class OperationsPlan:
    """The table."""

    services: tuple[str, ...]
    watches: tuple[Watch, ...]
    contacts: tuple[OperationsContact, ...] = ()
    senders: tuple[Sender, ...] = ()
    disks: tuple[str, ...] = ()


def load_operations(path: str = "") -> OperationsPlan:
    """The table of ``path``; empty = the one that ships. Sections that a file leaves out are those of the shipped one.

    Raises
    ------
    ConfigurationError
        One line per fault: file, key, value, what is allowed.
    """
    shipped = _shipped()
    if not path:
        return _plan(shipped, SHIPPED)
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"operations_file = {path}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: not valid TOML: {error}"]) from error
    if given.get("sender") and Path(path).stat().st_mode & 0o077:
        raise ConfigurationError([f"{path}: holds secrets of [[sender]]: allowed: mode 0600"])
    return _plan({"services": shipped["services"], "watch": shipped["watch"], **given}, path)


@cache
def _shipped() -> dict[str, Any]:
    return tomllib.loads(files("alerts").joinpath("operations.toml").read_text(encoding="utf-8"))


def _plan(table: Mapping[str, Any], where: str) -> OperationsPlan:
    faults = [
        f"{where}: unknown key {key!r}; known keys: {', '.join(_TOP_KEYS)}" for key in table if key not in _TOP_KEYS
    ]
    services = table["services"]
    if not isinstance(services, list) or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in services):
        faults.append(f"{where}: services = {services!r}: allowed: a list of names")
        services = []
    disks = table.get("disks", [])
    if not isinstance(disks, list) or not all(isinstance(one, str) and one for one in disks):
        faults.append(f"{where}: disks = {disks!r}: allowed: a list of folders")
        disks = []
    watches = [_watch(cause, row, where, faults) for cause, row in _rows(table, "watch", where, faults).items()]
    contacts = [
        _contact(row, n, where, faults) for n, row in enumerate(_listed(table, "contact", where, faults), start=1)
    ]
    senders = [_sender(row, n, where, faults) for n, row in enumerate(_listed(table, "sender", where, faults), start=1)]
    for kind, names in (("contact", [c.name for c in contacts if c]), ("sender", [s.name for s in senders if s])):
        faults += [
            f"{where}: [[{kind}]] name = {name!r}: stands twice" for name in {n for n in names if names.count(n) > 1}
        ]
    if faults:
        raise ConfigurationError(faults)
    return OperationsPlan(
        tuple(services), tuple(one for one in watches if one), tuple(one for one in contacts if one), tuple(one for one in senders if one), tuple(disks)
    )  # fmt: skip


def _rows(table: Mapping[str, Any], key: str, where: str, faults: list[str]) -> Mapping[str, Any]:
    found = table.get(key, {})
    if isinstance(found, dict):
        return found
    faults.append(f"{where}: {key} = {found!r}: allowed: a table")
    return {}


def _listed(table: Mapping[str, Any], key: str, where: str, faults: list[str]) -> list[dict[str, Any]]:
    found = table.get(key, [])
    if isinstance(found, list) and all(isinstance(one, dict) for one in found):
        return found
    faults.append(f"{where}: {key}: allowed: tables written [[{key}]]")
    return []


def _watch(cause: str, row: Any, where: str, faults: list[str]) -> Watch | None:
    at = f"{where}: watch.{cause}"
    if cause not in PHRASES["zh"]:
        faults.append(f"{at}: unknown cause; known: {', '.join(sorted(PHRASES['zh']))}")
        return None
    if not isinstance(row, dict):
        faults.append(f"{at} = {row!r}: allowed: a table")
        return None
    before = len(faults)
    faults += [
        f"{at}: unknown key {key!r}; known keys: {', '.join(sorted(_WATCH_KEYS))}"
        for key in row
        if key not in _WATCH_KEYS
    ]
    sides = [side for side in Side if side.value in row]
    if len(sides) != 1:
        faults.append(f"{at}: allowed: one of above, below")
    if row.get("measure") not in MEASURES:
        faults.append(f"{at}.measure = {row.get('measure')!r}: allowed: {', '.join(sorted(MEASURES))}")
    if row.get("severity") not in _SEVERITIES:
        faults.append(f"{at}.severity = {row.get('severity')!r}: allowed: {', '.join(_SEVERITIES)}")
    if not isinstance(row.get("heartbeat", False), bool):
        faults.append(f"{at}.heartbeat = {row['heartbeat']!r}: allowed: true, false")
    for key in ("clear", "for_s", "clear_s", *(side.value for side in sides)):
        if not _is_number(row.get(key)) or (key.endswith("_s") and row[key] < 0):
            faults.append(
                f"{at}.{key} = {row.get(key)!r}: allowed: a number{' of 0 or more' if key.endswith('_s') else ''}"
            )
    if len(faults) > before:
        return None
    side = sides[0]
    bound, clear = float(row[side.value]), float(row["clear"])
    if clear > bound if side is Side.ABOVE else clear < bound:
        faults.append(f"{at}.clear = {clear:g}: allowed: {bound:g} or {'less' if side is Side.ABOVE else 'more'}")
        return None
    return Watch(
        cause, row["measure"], side, bound, clear, float(row["for_s"]), float(row["clear_s"]), _SEVERITIES[row["severity"]],
        row.get("heartbeat", False),
    )  # fmt: skip


def _contact(row: Mapping[str, Any], n: int, where: str, faults: list[str]) -> OperationsContact | None:
    at = f"{where}: [[contact]] {n}"
    before = len(faults)
    faults += [f"{at}: unknown key {key!r}; known keys: name, ways" for key in row if key not in ("name", "ways")]
    name, given = row.get("name"), row.get("ways")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= NAME_MOST:
        faults.append(f"{at}: name = {name!r}: allowed: 1 to {NAME_MOST} characters")
    if not isinstance(given, list) or not given:
        faults.append(f"{at}: ways = {given!r}: allowed: a list such as ['aliyun_sms:13800000000']")
        given = []
    ways = []
    for way in given:
        channel, _, receiver = way.partition(":") if isinstance(way, str) else ("", "", "")
        if channel not in CHANNELS or (not receiver and channel not in _NO_RECEIVER):
            faults.append(f"{at}: ways: {way!r}: allowed: channel:receiver, channels {', '.join(CHANNELS)}")
        ways.append((channel, receiver or channel))
    return OperationsContact(str(name), tuple(ways)) if len(faults) == before else None


# A group robot speaks to its one group.
_NO_RECEIVER = ("wecom_robot", "dingtalk", "feishu", "webhook", "apprise")


def _sender(row: Mapping[str, Any], n: int, where: str, faults: list[str]) -> Sender | None:
    at = f"{where}: [[sender]] {n}"
    before = len(faults)
    known = ("name", "secret", "every_s", "late_after_s")
    faults += [f"{at}: unknown key {key!r}; known keys: {', '.join(known)}" for key in row if key not in known]
    name, secret = row.get("name"), row.get("secret")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        faults.append(f"{at}: name = {name!r}: allowed: 1 to 64 of A-Z a-z 0-9 _ -")
    if not isinstance(secret, str) or len(secret) < SECRET_LEAST:
        faults.append(f"{at}: secret = ***: allowed: {SECRET_LEAST} characters or more")
    every = row.get("every_s", 60)
    late = row.get("late_after_s", every * 3 if _is_number(every) else 180)
    if not _is_number(every) or every < 1:
        faults.append(f"{at}: every_s = {every!r}: allowed: 1 or more")
    elif not _is_number(late) or late < every:
        faults.append(f"{at}: late_after_s = {late!r}: allowed: every_s ({every:g}) or more")
    return Sender(str(name), str(secret), float(every), float(late)) if len(faults) == before else None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
