"""Telegraf, where its program is on the PATH: MQTT consumer, limit check in Starlark, InfluxDB output; its own batching."""

import json
import shutil
from pathlib import Path

__all__ = ["command", "configuration", "missing"]

_CHECK = """
def apply(metric):
    low = metric.fields.get("free_chlorine", 1.0) < 0.3
    if low or metric.fields.get("turbidity", 0.0) > 1.0:
        alarm = deepcopy(metric)
        alarm.name = "alarm"
        return [metric, alarm]
    return metric
"""


def missing() -> str:
    """Why it cannot be had; empty if it can."""
    return "" if shutil.which("telegraf") else "telegraf is not on the PATH"


def command(work: Path, mqtt_port: int, influx_url: str, database: str) -> list[str]:
    """The command that runs it; ``work`` gets its configuration."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "telegraf.conf"
    file.write_text(configuration(mqtt_port, influx_url, database), encoding="utf-8")
    return ["telegraf", "--config", str(file)]


def configuration(mqtt_port: int, influx_url: str, database: str) -> str:
    """QoS 1, persistent session; a message is acknowledged once its metrics are written out (Telegraf's own promise)."""
    return f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 1000
  metric_buffer_limit = 100000
  omit_hostname = true

[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:{mqtt_port}"]
  topics = ["wq/#"]
  topic_tag = ""
  qos = 1
  persistent_session = true
  client_id = "telegraf"
  max_undelivered_messages = 1000
  data_format = "json_v2"
  [[inputs.mqtt_consumer.topic_parsing]]
    topic = "wq/+/+/+/+"
    tags = "_/county/works/point/_"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "reading"
    timestamp_path = "t"
    timestamp_format = "unix_ms"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "v"

[[processors.starlark]]
  source = '''{_CHECK}'''

[[outputs.influxdb]]
  urls = [{json.dumps(influx_url)}]
  database = {json.dumps(database)}
  skip_database_creation = true
"""
