"""Why a message did not go out, or is not known to have: the words of pages, figures and the next rung."""

from enum import StrEnum

__all__ = ["MEANT", "TRY_ANOTHER_WAY", "NotSent"]


class NotSent(StrEnum):
    """The reasons, one of which stands at every message that is ``refused``, ``not_sent`` or ``unknown``."""

    BUDGET = "budget"
    CHANNEL_OFF = "channel_off"
    GIVEN_UP = "given_up"
    PROVIDER_LIMIT = "provider_limit"
    ACCOUNT = "account"
    CONTENT = "content"
    NUMBER = "number"
    NO_ANSWER = "no_answer"
    REFUSED = "refused"
    LATE_FINDING = "late_finding"
    UNCERTAIN = "uncertain"
    OVER = "over"
    TOGETHER = "together"
    OTHER_WAY = "other_way"
    NOT_TOLD = "not_told"


# Meant so: over before it was sent, told with its township or another way, muted, or nobody there to be told.
MEANT = frozenset({NotSent.LATE_FINDING, NotSent.OVER, NotSent.TOGETHER, NotSent.OTHER_WAY, NotSent.NOT_TOLD})
# What another channel may still mend.
TRY_ANOTHER_WAY = frozenset(NotSent) - MEANT - {NotSent.UNCERTAIN}
