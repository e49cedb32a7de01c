"""Answers to messages: what each does to its incident, in the caller's transaction, once however often it comes.

* Acknowledged: the ladder rests until the lease ends; again by anybody extends the lease.
* Fixed: the same, and the observation begins. Nothing is resolved by a word: data or a laboratory show that it is over. Where they
  do not within the policy's span, the ladder goes on.
* Help: the next rung is climbed at once, whoever had taken the incident on.
* Note, photo: somebody is at it, so an acknowledgement that holds is extended, up to when the work is meant to be done.

What cannot count is kept as well, with the reason: an answer never vanishes.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from alerts.ladder import Lookup, climb_for_help
from alerts.lifecycle import Change, transition_of
from alerts.messages import AlertSettings
from qingquan.clock import from_ms
from qingquan.domain.answers import Answer, AnswerKind, AnswerOutcome, Photo
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.store.sql.answers import answer_of_key, insert_answer
from qingquan.store.sql.incidents import acknowledge, add_event, extend_lease, get_incident, update_incident

__all__ = ["LONGEST_TEXT", "LONGEST_WORK_MS", "Given", "Taken", "refuse_answer", "take_answer"]

LONGEST_TEXT = 200
# What somebody promises beyond a day belongs into the ledger of problems.
LONGEST_WORK_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as it comes in; ``sender`` has been shown to be ``person`` by the door it came through."""

    incident_id: int
    kind: AnswerKind
    channel: str
    sender: str
    person: str
    repeat_key: str
    text: str = ""
    photo: Photo | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an answer. ``is_new`` is whether it had not come before, ``climbed`` whether help had a rung to go to."""

    answer: Answer
    is_new: bool
    climbed: bool = False


def take_answer(connection: Connection, given: Given, lookup: Lookup, now_ms: int, settings: AlertSettings) -> Taken:
    """Put an answer to its incident. Needs a writing transaction of the caller's; a repetition changes nothing."""
    incident = get_incident(connection, given.incident_id)
    if incident is None:
        return _kept(connection, given, AnswerOutcome.NO_INCIDENT, now_ms)
    if incident.state is IncidentState.CLOSED or (incident.state.is_over and given.kind is not AnswerKind.NOTE):
        return _kept(connection, given, AnswerOutcome.OVER, now_ms)
    kept = _kept(connection, given, AnswerOutcome.TAKEN, now_ms)
    if not kept.is_new:
        return kept
    if given.kind is AnswerKind.HELP:
        return replace(kept, climbed=_help(connection, incident, given, lookup, now_ms, settings))
    if given.kind is AnswerKind.NOTE:
        _note(connection, incident, given, now_ms, settings)
    else:
        _take_on(connection, incident, given, now_ms, settings)
    return kept


def refuse_answer(
    connection: Connection, outcome: AnswerOutcome, channel: str, sender: str, text: str, repeat_key: str, now_ms: int,
    incident_id: int | None = None,
) -> bool:  # fmt: skip
    """Keep an answer that counts for nothing, with the reason; whether it had not come before."""
    refused = Answer(
        0, incident_id, None, channel, sender, "", now_ms, outcome, repeat_key, text[:LONGEST_TEXT]
    )  # fmt: skip
    return insert_answer(connection, refused) is not None


def _kept(connection: Connection, given: Given, outcome: AnswerOutcome, now_ms: int) -> Taken:
    incident_id = None if outcome is AnswerOutcome.NO_INCIDENT else given.incident_id
    answer = Answer(
        0, incident_id, given.kind, given.channel, given.sender, given.person, now_ms, outcome, given.repeat_key,
        given.text.strip()[:LONGEST_TEXT], given.photo, given.until,
    )  # fmt: skip
    number = insert_answer(connection, answer)
    if number is None:
        before = answer_of_key(connection, given.repeat_key)
        return Taken(before or answer, False)
    return Taken(replace(answer, id=number), True)


def _take_on(connection: Connection, incident: Incident, given: Given, now_ms: int, settings: AlertSettings) -> None:
    is_fixed = given.kind is AnswerKind.FIXED
    policy = settings.policy
    lease = policy.fixed_observe_ms if is_fixed else policy.lease_ms[incident.severity]
    had = incident.state is IncidentState.ACKNOWLEDGED
    held = acknowledge(connection, incident.id, given.person, now_ms, lease)
    if had:
        extend_lease(connection, incident.id, now_ms + lease)
    if is_fixed:
        held = get_incident(connection, incident.id) or held
        summary = {**held.summary, "fixed_by": given.person, "fixed_at": str(now_ms)}
        update_incident(connection, replace(held, summary=summary))
        add_event(connection, incident.id, now_ms, TransitionReason.REPORTED_FIXED, given.person, _said(given))
    elif had or given.text or given.photo:
        add_event(connection, incident.id, now_ms, TransitionReason.NOTED, given.person, _said(given))


def _note(connection: Connection, incident: Incident, given: Given, now_ms: int, settings: AlertSettings) -> None:
    until = now_ms + settings.policy.lease_ms[incident.severity]
    if given.until is not None:
        until = max(until, min(given.until, now_ms + LONGEST_WORK_MS))
    extend_lease(connection, incident.id, until)
    add_event(connection, incident.id, now_ms, TransitionReason.NOTED, given.person, _said(given))


def _help(
    connection: Connection, incident: Incident, given: Given, lookup: Lookup, now_ms: int, settings: AlertSettings
) -> bool:
    row = transition_of(incident.state, Change.HELP_WANTED)
    assert row is not None
    assert row.after is not None
    summary = {name: text for name, text in incident.summary.items() if name not in ("fixed_by", "fixed_at", "muted")}
    wanted = replace(
        incident, state=row.after, lease_until=None, next_at=from_ms(now_ms), summary={**summary, "help_by": given.person},
        ladder_at=incident.ladder_at or from_ms(now_ms),
    )  # fmt: skip
    update_incident(connection, wanted)
    add_event(connection, incident.id, now_ms, row.reasons[0], given.person, _said(given))
    return climb_for_help(connection, incident.id, lookup, now_ms, settings)


def _said(given: Given) -> str:
    """What else was said, for the history: the text, and the beginning of the photo's digest."""
    photo = f"[{given.photo.digest[:12]}]" if given.photo else ""
    return " ".join(part for part in (given.text.strip()[:LONGEST_TEXT], photo) if part)
