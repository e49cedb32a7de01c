"""A simulated county that publishes to a running system over real MQTT, at the pace of the system's clock."""

from collections.abc import Callable, Sequence

from qingquan.domain.works import Works
from qingquan.testing.system import System
from simulators.devices import Devices
from simulators.generate import messages
from simulators.scenario import Scenario

__all__ = ["Story"]

CONNECTIONS = 4
MINUTE = 60_000


class Story:
    """Devices of a county whose story began ``begun_min`` minutes ago; until then it comes at once, then as it happens.

    ``sent`` holds topic and payload of everything given to the devices.
    """

    def __init__(self, system: System, works: Sequence[Works], scenario: Scenario, begun_min: float, seed: int) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.devices = Devices(system.config, CONNECTIONS, window=50)
        self._clock = system.config.clock
        self._owner = {(one.county, one.id): number % CONNECTIONS for number, one in enumerate(works)}
        self._start = self._clock.now_ms() - round(begun_min * MINUTE)
        self._coming = messages(works, scenario, self._start, 24.0, seed)
        self.devices.connect(20)

    def play(self, until_min: float, meanwhile: Callable[[], None]) -> None:
        """Publish up to this minute of the story, then return; ``meanwhile`` is called again and again."""
        for at, topic, payload in self._coming:
            while (ahead_ms := at - self._clock.now_ms()) > 0:
                self.devices.pump(min(ahead_ms / 1000 / self._clock.speed, 0.05))
                meanwhile()
            self.put(self._owner[topic.county, topic.works], "/".join(("wq", *topic)), payload)
            if len(self.sent) % 64 == 0:
                self.devices.pump(0.0)
            if at >= self._start + until_min * MINUTE:
                return

    def put(self, connection: int, topic: str, payload: bytes) -> None:
        """Give any message to a device's buffer."""
        self.devices.put(connection, topic, payload)
        self.sent.append((topic, payload))
