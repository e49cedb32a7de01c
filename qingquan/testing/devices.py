"""Devices that publish over MQTT as real ones do."""

import time
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

__all__ = ["Device"]

PUBACK_S = 3.0
TURNS = 200


class Device:
    """Publishes at QoS 1, keeps what was not acknowledged, and goes to the next server when one is gone."""

    def __init__(self, ports: Sequence[int], user: str, password: str) -> None:
        self._ports, self._user, self._password = ports, user, password
        self._client: mqtt.Client | None = None

    def publish(self, topic: str, payload: bytes) -> None:
        """Returns with the PUBACK."""
        for turn in range(TURNS):
            try:
                client = self._client or self._connected(self._ports[turn % len(self._ports)])
                message = client.publish(topic, payload, qos=1)
                message.wait_for_publish(PUBACK_S)
                if message.is_published():
                    return
            except (OSError, RuntimeError, ValueError):
                time.sleep(0.2)
            self.close()
        raise AssertionError(f"{topic}: no server acknowledged")

    def close(self) -> None:
        """Leave."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _connected(self, port: int) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.username_pw_set(self._user, self._password)
        client.connect("127.0.0.1", port)
        client.loop_start()
        self._client = client
        return client
