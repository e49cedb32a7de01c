"""What was not sent at one rung makes the next one come at once: nobody waits for an hour on a person who heard nothing.

A rung counts as climbed in vain once all its messages are lost: refused, over the budget, given up, uncertain where it is critical, and
without another way left. It is then as if nobody stood on it, and the next rung's messages say whom nothing has reached.
"""

from collections.abc import Collection

from sqlalchemy import Connection

from alerts.policy import WECOM_ROBOT
from alerts.wording import Style
from alerts.words_why import not_sent_words, rung_words
from qingquan.domain.incidents import TransitionReason
from qingquan.store.sql.delivery import undelivered, unheard_rungs
from qingquan.store.sql.incident_batches import add_events
from qingquan.store.sql.rungs import give_up_rung

__all__ = ["pass_on"]


def pass_on(connection: Connection, now_ms: int, style: Style, incidents: Collection[int] | None = None) -> int:
    """Let those (of these) incidents whose last rung reached nobody be looked at now; how many there were.

    Needs a writing transaction of the caller's, after `alerts.stand_in.stand_in` in the same one: what still has another way is not
    given up. Several alerters may call it; each rung is given up once.
    """
    given_up = [
        (incident_id, rung)
        for incident_id, round_, rung in unheard_rungs(connection, now_ms, WECOM_ROBOT, incidents)
        if give_up_rung(connection, incident_id, round_, rung, now_ms)
    ]
    if not given_up:
        return 0
    lost = undelivered(connection, [incident_id for incident_id, _ in given_up])
    events = [
        (incident_id, TransitionReason.NOBODY_REACHED,
         f"{rung_words(rung, style)} {not_sent_words(lost.get(incident_id, []), style)}".strip())
        for incident_id, rung in given_up
    ]  # fmt: skip
    add_events(connection, now_ms, events)
    return len(events)
