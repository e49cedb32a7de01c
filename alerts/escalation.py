"""The ladder of an incident: which rungs are due, who stands on them, when to look again. Pure: facts and `now` in.

Rungs are climbed in order, each once. A rung is due so long after the ladder began; one on which nobody can be reached hands
on to the next at once. While an acknowledgement holds, nothing is due; when its lease runs out, the next rung is.
The clock is ours, never a device's: what counts is how long people have known, not when the water turned bad.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from alerts.policy import SMS, VOICE, WECOM_APP, WECOM_ROBOT, Audience, Policy, Rung
from alerts.roster import Roster
from qingquan.clock import from_ms, to_ms
from qingquan.domain.findings import Severity
from qingquan.domain.works import Role, Works

__all__ = [
    "Address",
    "Climb",
    "Climbed",
    "Outcome",
    "Place",
    "Taken",
    "Unreached",
    "climb",
    "due_at",
    "resumed_base",
    "seated",
]


class Outcome(StrEnum):
    """How a rung ended."""

    TOLD = "told"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Taken:
    """A rung that has been climbed, and when [ms]."""

    rung: str
    at: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Address:
    """A person or group on one channel; ``fallback`` are further (channel, receiver) in order; ``not_before`` [ms] or 0."""

    audience: Audience
    channel: str
    receiver: str
    name: str
    fallback: tuple[tuple[str, str], ...] = ()
    not_before: int = 0


@dataclass(frozen=True, slots=True)
class Unreached:
    """An audience of a rung that cannot be told, and why (a key of the wording)."""

    audience: Audience
    why: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an incident is, and what is known of the works there."""

    county: str
    township: str
    works: Works | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class Climb:
    """A rung now due, with those who are told and those who cannot be."""

    rung: Rung
    addresses: tuple[Address, ...]
    unreached: tuple[Unreached, ...]

    @property
    def outcome(self) -> Outcome:
        """A rung counts as reached when a person stands on it, or when it was meant for a group alone."""
        people = [one for one in self.rung.tell if one is not Audience.COUNTY_GROUP]
        reached = any(address.audience is not Audience.COUNTY_GROUP for address in self.addresses)
        return Outcome.TOLD if reached or not people else Outcome.NOBODY


@dataclass(frozen=True, slots=True)
class Climbed:
    """The rungs due now, in order, and when the next one will be [ms], ``None`` at the ladder's end."""

    climbs: tuple[Climb, ...]
    next_at: int | None


def due_at(rungs: Sequence[Rung], base_at: int, taken: Mapping[str, Taken]) -> tuple[Rung, int] | None:
    """The next rung and the moment it is due [ms]; ``None`` when all have been climbed."""
    before: Taken | None = None
    for rung in rungs:
        if rung.name not in taken:
            if before is not None and before.outcome is Outcome.NOBODY:
                return rung, before.at
            return rung, base_at + rung.after_ms
        before = taken[rung.name]
    return None


def climb(
    rungs: Sequence[Rung],
    base_at: int,
    taken: Mapping[str, Taken],
    place: Place,
    severity: Severity,
    roster: Roster,
    policy: Policy,
    now_ms: int,
) -> Climbed:
    """Everything due by ``now_ms``, rung by rung. ``base_at`` is when the ladder began, ``taken`` what was climbed already."""
    known = dict(taken)
    climbs: list[Climb] = []
    while (following := due_at(rungs, base_at, known)) is not None and following[1] <= now_ms:
        rung = following[0]
        one = seated(rung, place, severity, roster, policy, now_ms)
        climbs.append(one)
        known[rung.name] = Taken(rung.name, now_ms, one.outcome)
    return Climbed(tuple(climbs), None if following is None else following[1])


def seated(rung: Rung, place: Place, severity: Severity, roster: Roster, policy: Policy, at_ms: int) -> Climb:
    """A rung with the people who stand on it at a moment; each person once per channel."""
    addresses: dict[tuple[str, str], Address] = {}
    unreached: list[Unreached] = []
    for audience in rung.tell:
        found, why = _addresses(audience, rung, place, severity, roster, policy, at_ms)
        if not found:
            unreached.append(Unreached(audience, why))
        for address in found:
            addresses.setdefault((address.channel, address.receiver), address)
    return Climb(rung, tuple(addresses.values()), tuple(unreached))


def _addresses(
    audience: Audience, rung: Rung, place: Place, severity: Severity, roster: Roster, policy: Policy, at_ms: int
) -> tuple[list[Address], str]:
    if audience is Audience.COUNTY_GROUP:
        return [Address(audience, WECOM_ROBOT, f"group:{place.county}", "")], ""
    people, why = _people(audience, place, roster, at_ms)
    channels, not_before = _channels(audience in rung.ring, place, severity, policy, at_ms)
    found = []
    for name, phone, wecom_id in people:
        ways = [(channel, to) for channel in channels if (to := _receiver(channel, phone, wecom_id))]
        if ways:
            found.append(Address(audience, *ways[0], name, tuple(ways[1:]), not_before))
    return found, why if not people else "no_address"


def _people(audience: Audience, place: Place, roster: Roster, at_ms: int) -> tuple[list[tuple[str, str, str]], str]:
    """Name, phone and WeCom id of everybody who answers, or why nobody does."""
    if audience in (Audience.CARETAKER, Audience.MANAGER):
        contacts = place.works.contacts if place.works is not None else ()
        role = Role.CARETAKER if audience is Audience.CARETAKER else Role.MANAGER
        reachable = [one for one in contacts if one.phone or one.wecom_id]
        # A works whose caretaker has no phone on file is not left alone: whoever answers for it is told instead.
        chosen = [one for one in reachable if one.role is role and one.phone]
        chosen = chosen or [one for one in reachable if one.phone] or reachable
        return [(one.name, one.phone, one.wecom_id) for one in chosen], "no_contact"
    members = roster.members(audience, place.county, place.township)
    on_duty = roster.on_duty(audience, place.county, place.township, at_ms)
    why = "nobody_on_duty" if members else "nobody_on_file"
    return [(one.name, one.phone, one.wecom_id) for one in on_duty], why


def _channels(rings: bool, place: Place, severity: Severity, policy: Policy, at_ms: int) -> tuple[tuple[str, ...], int]:
    """Channels in order for this hour, and the moment before which nothing rings, 0 for at once."""
    local = from_ms(at_ms).astimezone(ZoneInfo(place.time_zone))
    is_night, is_critical = policy.is_night(local.hour * 60 + local.minute), severity is Severity.CRITICAL
    if rings and (is_critical or not is_night):
        return policy.channels_ring, 0
    if is_critical:
        return (policy.channels_night if is_night else policy.channels_critical), 0
    if not is_night:
        return policy.channels_day, 0
    end = policy.night[1]
    morning = local.replace(hour=end // 60, minute=end % 60, second=0, microsecond=0)
    if morning <= local:
        morning += timedelta(days=1)
    return policy.channels_day, to_ms(morning)


def _receiver(channel: str, phone: str, wecom_id: str) -> str:
    if channel == WECOM_APP:
        return wecom_id
    return phone if channel in (SMS, VOICE, "tencent_sms") else ""


def resumed_base(rungs: Sequence[Rung], base_at: int, taken: Mapping[str, Taken], now_ms: int) -> int:
    """Where the ladder must have begun for its next rung to be due now: an acknowledgement has run out without a result."""
    following = due_at(rungs, base_at, taken)
    return base_at if following is None else now_ms - following[0].after_ms
