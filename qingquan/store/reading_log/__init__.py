"""The reading log: one durable JetStream stream behind an MQTT listener. A PUBACK means that it holds the message."""

from qingquan.store.reading_log.client import LogInfo, ReadingLog
from qingquan.store.reading_log.credentials import connectable, resolve_log_config
from qingquan.store.reading_log.partition import partition_of
from qingquan.store.reading_log.reader import LogReader
from qingquan.store.reading_log.selftest import CANARY_TOPIC, LogFull, self_test
from qingquan.store.reading_log.server import EmbeddedServer
from qingquan.store.reading_log.streams import ensure_streams

__all__ = [
    "CANARY_TOPIC",
    "EmbeddedServer",
    "LogFull",
    "LogInfo",
    "LogReader",
    "ReadingLog",
    "connectable",
    "ensure_streams",
    "partition_of",
    "resolve_log_config",
    "self_test",
]
