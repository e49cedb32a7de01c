"""What most projects write: paho receives, one reading after the other goes to InfluxDB. A rival, so nothing of ours in it.

``python -m qingquan.services.bench.compare.plain_script MQTT_PORT INFLUX_URL DATABASE one|batches``

``one`` writes each message by itself and returns to paho only then, so its acknowledgement follows the write. ``batches`` hands
messages to the client's own batching (1,000 points or one second): much faster, but acknowledged before they are written.

The client speaks the write door of InfluxDB 2; before a 1.x server its requests are addressed to that server's ``/write``.
"""

import json
import signal
import sys
from typing import Any

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.domain.write_precision import WritePrecision
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

LEAST_CHLORINE, MOST_TURBIDITY = 0.3, 1.0
PRECISION: Any = WritePrecision.MS


def address_v1(rest: Any) -> None:
    """Let the client's requests go to the write door of a 1.x server."""
    request = rest.request

    def to_v1(method: str, url: str, query_params: Any = None, **rest_of: Any) -> Any:
        names = {"bucket": "db"}
        asked = [(names.get(name, name), value) for name, value in query_params or [] if name != "org"]
        return request(method, url.replace("/api/v2/write", "/write"), query_params=asked, **rest_of)

    rest.request = to_v1


def main(arguments: list[str]) -> int:
    port, url, database, how = int(arguments[0]), arguments[1], arguments[2], arguments[3]
    influx = InfluxDBClient(url=url, token="", org="-")
    address_v1(influx.api_client.rest_client)
    options = SYNCHRONOUS if how == "one" else WriteOptions(batch_size=1_000, flush_interval=1_000)
    writer = influx.write_api(write_options=options)

    def point(measurement: str, topic: str, reading: dict[str, Any]) -> dict[str, Any]:
        _, county, works, place, _ = topic.split("/")
        return {
            "measurement": measurement,
            "tags": {"county": county, "works": works, "point": place},
            "fields": {name: float(value) for name, value in reading["v"].items()},
            "time": reading["t"],
        }

    def on_connect(client: Client, *_: Any) -> None:
        client.subscribe("wq/#", qos=1)

    def on_message(_client: Client, _data: Any, message: Any) -> None:
        reading = json.loads(message.payload)
        writer.write(bucket=database, record=point("reading", message.topic, reading), write_precision=PRECISION)
        values = reading["v"]
        if values["free_chlorine"] < LEAST_CHLORINE or values["turbidity"] > MOST_TURBIDITY:
            writer.write(bucket=database, record=point("alarm", message.topic, reading), write_precision=PRECISION)

    client = Client(CallbackAPIVersion.VERSION2, client_id="plain-script", clean_session=False)
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", port, 60)
    signal.signal(signal.SIGTERM, lambda *_: client.disconnect())
    client.loop_forever()
    writer.close()  # type: ignore[no-untyped-call]
    influx.close()  # type: ignore[no-untyped-call]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
