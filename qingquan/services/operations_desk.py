"""The console's view of the platform, from what the watchdog left in the database; and the door for other installations' heartbeats."""

import hmac
import re

import msgspec
import structlog
from sqlalchemy import Engine

from alerts.channels.webhook import signed
from alerts.operations import load_operations
from alerts.operations_words import PHRASES, cause_words, value_words
from dashboards.web.operations_port import HeartbeatAnswer, OperationsView, WatchView
from qingquan.config import Config
from qingquan.domain.operations import Measure, Side, Watch
from qingquan.errors import ConfigurationError, StoreUnavailable
from qingquan.services.metrics import exposition
from qingquan.services.watchdog import CONDITION
from qingquan.services.watching import Watched, wall_ms
from qingquan.store.sql.engine import check_schema, reading, writing
from qingquan.store.sql.operations import load_measures, load_signs, open_operations, receive_heartbeat
from qingquan.store.sql.progress import counts
from qingquan.store.sql.quarantine import counts_by_reason

__all__ = ["OperationsDesk"]

LANGUAGES = ("zh", "en")
STALE_MS = 30_000
# A signature older or newer than this is refused; the rows themselves refuse what was overheard and repeated.
CLOCKS_APART_S = 300
BODY_MOST = 4096
DETAIL_MOST = 200
_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")

_log = structlog.get_logger("web")


class OperationsDesk:
    """Over the relational store.

    Raises
    ------
    ConfigurationError
        If the table of operations is faulty.
    """

    def __init__(self, config: Config, engine: Engine) -> None:
        self._config, self._engine = config, engine
        self._plan = load_operations(config.operations_file)

    def view(self) -> OperationsView:
        """See `OperationsPort.view`."""
        now = wall_ms()
        with reading(self._engine) as connection:
            measures, taken = load_measures(connection)
            signs, totals, incidents = load_signs(connection), counts(connection), open_operations(connection)
        conditions = {value: word for word, value in CONDITION.items()}
        values = {(one.name, one.label): one.value for one in measures}
        by_cause = {watch.cause: watch for watch in self._plan.watches}
        shown = []
        for one in measures:
            cause, _, label = one.label.partition(":")
            if one.name == "watch_condition" and cause in by_cause:
                watch = by_cause[cause]
                value = values.get((watch.measure, label))
                word = conditions.get(one.value, "unknown")
                shown.append(_watch_view(one.label, watch, word, value, incidents.get(one.label)))
        return OperationsView(
            taken, now, taken is None or now - taken > STALE_MS, shown, [one for one in measures if one.name != "watch_condition"],
            signs, totals, [one.name for one in self._plan.contacts], bool(self._config.heartbeat_url),
        )  # fmt: skip

    def metrics(self) -> bytes:
        """See `OperationsPort.metrics`."""
        now = wall_ms()
        try:
            with reading(self._engine) as connection:
                measures, taken = load_measures(connection)
                watched = Watched(measures, counts(connection), counts_by_reason(connection), load_signs(connection))
        except StoreUnavailable:
            return exposition(Watched([Measure("database_up", 0.0)]), now)
        return exposition(watched, now, 0 if taken is None else taken)

    def readiness(self) -> str:
        """See `OperationsPort.readiness`."""
        try:
            check_schema(self._engine)
        except (StoreUnavailable, ConfigurationError) as error:
            return str(error).splitlines()[0]
        return ""

    def receive(self, sender: str, signature: str, body: bytes) -> HeartbeatAnswer:
        """See `OperationsPort.receive`."""
        expected = next((one for one in self._plan.senders if one.name == sender), None)
        found = _SIGNATURE.fullmatch(signature)
        sent_s = int(found[1]) if found else 0
        # Unknown senders cost the same as known ones: nobody learns who is expected here.
        secret = expected.secret if expected else "x" * 16
        is_genuine = found is not None and hmac.compare_digest(signed(secret, sent_s, body), signature)
        if expected is None or not is_genuine:
            _log.warning("heartbeat_refused", sender=sender[:64], why="unknown sender or wrong signature")
            return HeartbeatAnswer(401, "unknown sender or wrong signature")
        now = wall_ms()
        if abs(now / 1000 - sent_s) > CLOCKS_APART_S:
            return HeartbeatAnswer(401, f"clocks are more than {CLOCKS_APART_S} s apart")
        with writing(self._engine) as connection:
            is_new = receive_heartbeat(connection, sender, sent_s * 1000, now, _detail(body))
        return HeartbeatAnswer(200, "noted") if is_new else HeartbeatAnswer(409, "not later than the last one")


def _detail(body: bytes) -> str:
    try:
        document = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return str(document.get("status", ""))[:DETAIL_MOST] if isinstance(document, dict) else ""


def _watch_view(cause: str, watch: Watch, condition: str, value: float | None, incident_id: int | None) -> WatchView:
    name = watch.cause
    return WatchView(
        cause, watch, condition, value,
        {language: cause_words(cause, value, watch.measure, language) for language in LANGUAGES},
        {language: PHRASES[language][name].action for language in LANGUAGES},
        {language: "" if value is None else value_words(watch.measure, value, language) for language in LANGUAGES},
        {language: _bound_words(watch, language) for language in LANGUAGES},
        incident_id,
    )  # fmt: skip


def _bound_words(watch: Watch, language: str) -> str:
    if watch.measure.endswith("_up"):
        return ""
    sign = ">" if watch.side is Side.ABOVE else "<"
    return f"{sign} {value_words(watch.measure, watch.bound, language)}"
