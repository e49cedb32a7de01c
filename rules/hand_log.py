"""When a log by hand is overdue: none by noon of the day after, on two days running. Pure.

A works logged on day D owes the log of D + 1 by noon of D + 2, and that of D + 2 by noon of D + 3: with both owing, two days are without
evidence. So the silence lasts 60 to 84 hours before it is called.
"""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

__all__ = ["DAYS_WITHOUT", "due_at", "overdue_sentence"]

DAYS_WITHOUT = 2
NOON = time(12)

_OVERDUE = {
    "zh": "已连续{days}天没有余量检测记录（应在次日12:00前登记），消毒状态未知",
    "en": "no residual was logged for {days} days (due by noon of the next day); disinfection is unknown",
}


def due_at(last_ms: int, time_zone: str) -> int:
    """From when on a works is without evidence whose last log is of ``last_ms`` [ms]; noon counts by the works' clock.

    >>> at = lambda text: int(datetime.fromisoformat(text).timestamp() * 1000)
    >>> due_at(at("2026-05-01T08:00:00+08:00"), "Asia/Shanghai") == at("2026-05-04T12:00:00+08:00")
    True
    """
    zone = ZoneInfo(time_zone)
    day = datetime.fromtimestamp(last_ms / 1000, UTC).astimezone(zone).date() + timedelta(days=DAYS_WITHOUT + 1)
    return round(datetime.combine(day, NOON, zone).timestamp() * 1000)


def overdue_sentence(language: str = "zh") -> str:
    """Why disinfection is unknown, in words. Unknown languages are answered in Chinese."""
    return _OVERDUE["en" if language == "en" else "zh"].format(days=DAYS_WITHOUT)
