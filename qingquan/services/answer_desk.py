"""Answers for the console's pages: links followed, photos kept, notes written."""

import re
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import Connection, Engine

from alerts.answers import LONGEST_TEXT, Given, take_answer
from alerts.links import followed, token_digest
from alerts.messages import AlertSettings
from dashboards.web.answer_port import PHOTO_MOST_BYTES, AnswerFault, AnswerView
from qingquan.config import Config
from qingquan.domain.answers import Answer, AnswerKind, AnswerOutcome, Photo
from qingquan.errors import NotFound, TransitionRefused
from qingquan.services.escalating import WorksLookup
from qingquan.services.photos import PhotoFolder, media_type_of
from qingquan.store.sql.answers import answers_of, has_photo, list_answers, messages_carried
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import get_findings
from qingquan.store.sql.incidents import get_incident

__all__ = ["PHOTOS_EACH", "PhoneDesk"]

# Photos that one receiver may send in for one incident.
PHOTOS_EACH = 12
_NONCE = re.compile(r"[0-9a-f]{8,32}")
_REFUSED = (AnswerOutcome.UNKNOWN_SENDER, AnswerOutcome.UNCLEAR, AnswerOutcome.NO_INCIDENT)
HOUR_MS = 3_600_000


class PhoneDesk:
    """The console's desk for answers. Safe to use from several threads."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine, self._clock = engine, config.clock
        self._settings = AlertSettings.from_config(config)
        self._photos = PhotoFolder(config.data_path / "photos")

    def view(self, token: str) -> AnswerView | None:
        with reading(self._engine) as connection:
            link = followed(connection, token, self._clock.now_ms())
            incident = None if link is None else get_incident(connection, link.incident_id)
            if link is None or incident is None:
                return None
            works = WorksLookup().of(connection)((incident.county, incident.works))
            findings = tuple(get_findings(connection, incident.finding_ids)) if incident.finding_ids else ()
            carried = messages_carried(connection, link.message_id)
            action = carried[0].params.get("action", "") if carried else ""
            answers = tuple(answers_of(connection, incident.id))
            return AnswerView(incident, works, findings, answers, link.person, link.receiver, action)

    def answer(
        self, token: str, kind: AnswerKind, text: str, photo: bytes | None, nonce: str
    ) -> tuple[Answer | None, AnswerFault | None] | None:
        now = self._clock.now_ms()
        with reading(self._engine) as connection:
            # Nobody fills our disk with photos before the link is known to be good.
            link = followed(connection, token, now)
            if link is None:
                return None
            sent = answers_of(connection, link.incident_id)
        mine = sum(one.photo is not None and one.sender == link.receiver for one in sent)
        kept, fault = self._kept(photo, mine)
        if fault is not None and kind is AnswerKind.NOTE and not text.strip():
            return None, fault
        name = nonce if _NONCE.fullmatch(nonce) else uuid4().hex
        with writing(self._engine) as connection:
            if followed(connection, token, now) is None:
                return None
            given = Given(
                link.incident_id, kind, "link", link.receiver, link.person, f"link:{token_digest(token)[:32]}:{name}", text, kept
            )  # fmt: skip
            return self._taken(connection, given, now), fault

    def answers(self, incident_id: int) -> Sequence[Answer]:
        with reading(self._engine) as connection:
            return answers_of(connection, incident_id)

    def refused(self, limit: int) -> Sequence[Answer]:
        with reading(self._engine) as connection:
            return list_answers(connection, outcomes=_REFUSED, limit=limit).items

    def photo(self, incident_id: int, digest: str) -> tuple[bytes, str] | None:
        with reading(self._engine) as connection:
            media_type = has_photo(connection, incident_id, digest)
        content = None if media_type is None else self._photos.read(digest)
        return None if content is None or media_type is None else (content, media_type)

    def note(self, incident_id: int, by: str, text: str, hours: float | None) -> Answer:
        if not by.strip() or not text.strip():
            raise TransitionRefused("a note needs the name of its author, and something to say")
        now = self._clock.now_ms()
        until = None if hours is None else now + round(hours * HOUR_MS)
        name = f"page:{uuid4().hex}"
        given = Given(
            incident_id, AnswerKind.NOTE, "page", "", by.strip(), name, text.strip()[:LONGEST_TEXT], until=until
        )
        with writing(self._engine) as connection:
            answer = self._taken(connection, given, now)
        if answer.outcome is AnswerOutcome.NO_INCIDENT:
            raise NotFound(f"incident {incident_id}")
        if answer.outcome is AnswerOutcome.OVER:
            raise TransitionRefused(f"incident {incident_id} is closed")
        return answer

    def _taken(self, connection: Connection, given: Given, now_ms: int) -> Answer:
        lookup = WorksLookup().of(connection)
        return take_answer(connection, given, lookup, now_ms, self._settings).answer

    def _kept(self, content: bytes | None, sent_before: int) -> tuple[Photo | None, AnswerFault | None]:
        if content is None:
            return None, None
        if len(content) > PHOTO_MOST_BYTES:
            return None, AnswerFault.PHOTO_TOO_LARGE
        if not media_type_of(content):
            return None, AnswerFault.PHOTO_TYPE
        if sent_before >= PHOTOS_EACH:
            return None, AnswerFault.PHOTO_TOO_MANY
        try:
            return self._photos.keep(content), None
        except OSError:
            return None, AnswerFault.PHOTO_NOT_KEPT
