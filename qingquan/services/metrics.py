"""Prometheus metrics: names, kinds and meaning as a table, and the text made from what the watchdog measured.

Names begin with ``qingquan_``. All of them come from one place and bear few labels: a works or a point is never one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qingquan.domain.operations import Measure
from qingquan.services.watching import Watched

__all__ = ["CONTENT_TYPE", "METRICS", "PREFIX", "MetricRow", "exposition"]

PREFIX = "qingquan_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """``label`` names what tells its values apart, empty for a single value."""

    text: str
    label: str = ""
    is_counter: bool = False


METRICS: dict[str, MetricRow] = {
    "log_up": MetricRow("1 while the reading log answers"),
    "log_messages": MetricRow("messages the log holds"),
    "log_bytes": MetricRow("bytes the log holds"),
    "log_max_bytes": MetricRow("bytes the log may hold"),
    "log_used_ratio": MetricRow("part of the log's size in use, 0 to 1"),
    "log_first_sequence": MetricRow("oldest message of the log"),
    "log_last_sequence": MetricRow("newest message of the log"),
    "log_self_test_failures": MetricRow("failed self-tests of the log since the last round"),
    "log_quiet_seconds": MetricRow("since the last message came into the log"),
    "evaluator_lag_messages": MetricRow("messages of the log not judged yet"),
    "evaluator_age_seconds": MetricRow("for how long messages have waited without the evaluator moving on"),
    "snapshot_lag_messages": MetricRow("messages a restarted evaluator would have to read again"),
    "recorder_lag_messages": MetricRow("messages of the log not recorded yet"),
    "recorder_age_seconds": MetricRow("the same of the recorder"),
    "detector_lag_messages": MetricRow("messages of the log not looked at by the event detector yet"),
    "detector_age_seconds": MetricRow("the same of the event detector"),
    "compliance_days_waiting": MetricRow("days of works whose compliance waits to be reckoned"),
    "compliance_age_seconds": MetricRow("for how long they have waited without one being reckoned"),
    "database_up": MetricRow("1 while the relational database answers"),
    "series_store_up": MetricRow("1 while the series store answers"),
    "recorded_series": MetricRow("series the series store holds"),
    "recorded": MetricRow(
        "what the series store has taken: messages, readings, duplicates, conflicts", "name", is_counter=True
    ),
    "outbox_messages": MetricRow("messages in the outbox; ended ones of the last day", "state"),
    "outbox_age_seconds": MetricRow("by how much the longest due message is overdue"),
    "service_age_seconds": MetricRow("since the last sign of life of a service", "service"),
    "service_memory_bytes": MetricRow("resident memory of a process", "instance"),
    "service_cpu_seconds": MetricRow("processor time of a process", "instance", is_counter=True),
    "service_start_seconds": MetricRow("when a process started, Unix time", "instance"),
    "service_caught_up": MetricRow("1 once a reader has caught up with the log since its start", "instance"),
    "disk_free_bytes": MetricRow("room on the disk of a folder", "folder"),
    "disk_free_ratio": MetricRow("the same as a part of its size, 0 to 1", "folder"),
    "clock_step_seconds": MetricRow("by how much the wall clock jumped since the last round"),
    "heartbeat_failures": MetricRow("heartbeats in a row that did not reach the watcher outside"),
    "heartbeat_sent_age_seconds": MetricRow("since the last heartbeat that did"),
    "heartbeat_received_age_seconds": MetricRow("since the last heartbeat of another installation", "sender"),
    "heartbeat_overdue_ratio": MetricRow("the same as a part of the time after which it is overdue", "sender"),
    "edge_up": MetricRow("1 while the log server of a county edge answers", "edge"),
    "edge_age_seconds": MetricRow("since a county edge was last heard", "edge"),
    "edge_waiting_messages": MetricRow("messages of a county edge that the province has not taken yet", "edge"),
    "edge_last_sequence": MetricRow("newest message of a county edge's log, as last heard", "edge"),
    "edge_refused": MetricRow("1 while a county edge's readings are not taken", "edge"),
    "uplink_up": MetricRow("at a county edge: 1 while the province takes its readings"),
    "uplink_waiting_messages": MetricRow("at a county edge: messages that the province has not taken yet"),
    "uplink_age_seconds": MetricRow("for how long they have waited without one being taken, while the link is up"),
    "uplink_confirmed_sequence": MetricRow(
        "at a county edge: message of the log up to which the province has taken all"
    ),
    "watch_condition": MetricRow("how a watched measure stands: 0 ok, 1 pending, 2 firing, -1 unknown", "cause"),
    "watchdog_age_seconds": MetricRow("since the watchdog's last round"),
    "totals": MetricRow(
        "running totals by name: evaluated, bridge, refused at the MQTT door, ...", "name", is_counter=True
    ),
    "quarantined": MetricRow("items set aside, by reason", "reason", is_counter=True),
}


def exposition(watched: Watched, now_ms: int, taken_ms: int | None = None) -> bytes:
    """Text for Prometheus. ``taken_ms`` is when the measures were taken, ``None`` = just now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(watched, now_ms, now_ms if taken_ms is None else taken_ms))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, watched: Watched, now_ms: int, taken_ms: int) -> None:
        self._watched, self._age_s, self._now_ms = watched, (now_ms - taken_ms) / 1000, now_ms

    def collect(self) -> Iterable[Metric]:
        """One family per name that has a value."""
        values: dict[str, list[tuple[str, float]]] = {}
        for one in _all(self._watched, self._age_s, self._now_ms):
            values.setdefault(one.name, []).append((one.label, one.value))
        for name, row in METRICS.items():
            if name in values:
                yield _family(name, row, values[name])


def _all(watched: Watched, age_s: float, now_ms: int) -> Iterator[Measure]:
    yield from watched.measures
    yield Measure("watchdog_age_seconds", age_s)
    yield from _labelled("totals", watched.totals)
    yield from _labelled("quarantined", watched.quarantined)
    for sign in watched.signs:
        if now_ms - sign.seen_at > 60_000:
            continue
        instance = f"{sign.service}@{sign.instance}"
        yield Measure("service_memory_bytes", sign.rss_bytes, instance)
        yield Measure("service_cpu_seconds", sign.cpu_s, instance)
        yield Measure("service_start_seconds", sign.started_at / 1000, instance)
        if sign.is_caught_up is not None:
            yield Measure("service_caught_up", float(sign.is_caught_up), instance)


def _labelled(name: str, values: Mapping[str, int]) -> Iterator[Measure]:
    return (Measure(name, value, label) for label, value in sorted(values.items()))


def _family(name: str, row: MetricRow, values: Sequence[tuple[str, float]]) -> Metric:
    kind = CounterMetricFamily if row.is_counter else GaugeMetricFamily
    labels = [row.label] if row.label else []
    family = kind(f"{PREFIX}{name}", row.text, labels=labels)
    for label, value in values:
        family.add_metric([label] if labels else [], value)
    return family
