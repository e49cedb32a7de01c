"""How long a chaos run waits for its devices: until everything is acknowledged, or they have ended without it."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from qingquan.services.bench.chaos import run
from qingquan.services.bench.chaos.sender import Progress
from qingquan.services.bench.system import TooSlow

TOTAL = 10


@dataclass
class Devices:
    """Acknowledged so far, and whether their process still runs."""

    acknowledged: int
    is_running: bool = True
    standing: str = "ended by themselves (1)"

    def progress(self) -> Progress:
        return Progress(TOTAL, TOTAL, self.acknowledged, 0)


@dataclass
class Fire:
    """Putting a fault right takes so long that the devices are through, or give up, meanwhile."""

    devices: Devices
    ends_with: int
    is_over: bool = True
    under_way: str = "full nats-3"
    shares: list[float] = field(default_factory=list)

    def spread(self, share: float) -> None:
        self.shares.append(share)
        self.devices.acknowledged, self.devices.is_running = self.ends_with, False

    def put_right(self) -> None: ...


class Stage:
    def watch(self) -> None: ...


def burnt(ends_with: int) -> Progress:
    devices = Devices(6)
    stage: Any = Stage()
    fire: Any = Fire(devices, ends_with)
    senders: Any = devices
    return run._under_fire(stage, fire, senders)


def test_devices_that_finish_while_a_fault_is_put_right_have_sent_everything() -> None:
    assert burnt(TOTAL).is_done


def test_devices_that_end_early_are_told_of_with_how_they_ended() -> None:
    with pytest.raises(TooSlow, match=r"7 of 10 messages .* ended by themselves \(1\); faults under way: full nats-3"):
        burnt(7)
