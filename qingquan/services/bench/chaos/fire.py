"""Does to the system what the script says, when its time has come, and puts it right again afterwards."""

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from qingquan.services.bench.chaos.schedule import Fault
from qingquan.services.bench.chaos.stage import NODES, Stage

__all__ = ["Done", "Fire"]

# Beyond what a process writes about itself, below what a store writes.
FULL_AT = 1 << 18


@dataclass(frozen=True, slots=True)
class Done:
    """A fault as it happened: from ``began_s`` to ``ended_s`` after the first message."""

    kind: str
    target: str
    share: float
    began_s: float
    ended_s: float


@dataclass
class Fire:
    """Faults of a script. Who is hit already is left until it stands again."""

    stage: Stage
    faults: Sequence[Fault]
    done: list[Done] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._waiting = list(self.faults)
        self._under_way: list[tuple[float, float, Fault]] = []
        self.light()

    def light(self) -> None:
        """The first message goes out now."""
        self._began = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether everything has happened and been put right."""
        return not self._waiting and not self._under_way

    @property
    def under_way(self) -> str:
        """What has begun and not ended, in words."""
        return ", ".join(f"{fault.kind} {fault.target}" for _, _, fault in self._under_way)

    def spread(self, share: float) -> None:
        """Begin what is due at this share of the messages, end what has lasted long enough."""
        now = time.monotonic()
        for began, ends, fault in [one for one in self._under_way if one[1] <= now]:
            self._under_way.remove((began, ends, fault))
            self._end(fault)
            self.done.append(
                Done(fault.kind, fault.target, fault.at, round(began - self._began, 2), round(now - self._began, 2))
            )
        for fault in [one for one in self._waiting if one.at <= share]:
            if self._hit(fault) & {name for _, _, one in self._under_way for name in self._hit(one)}:
                continue
            self._waiting.remove(fault)
            self._begin(fault)
            self._under_way.append((now, now + fault.for_s, fault))

    def put_right(self) -> None:
        """End everything under way at once."""
        for _, _, fault in self._under_way:
            self._end(fault)
        self._under_way, self._waiting = [], []

    def _hit(self, fault: Fault) -> set[str]:
        return set(NODES) if fault.target == "broker" else {fault.target}

    def _begin(self, fault: Fault) -> None:
        processes, target = self.stage.processes, fault.target
        if fault.kind == "restart" or target == "influx":
            self._crash(fault)
        elif fault.kind == "kill":
            processes[target].kill()
        elif fault.kind == "stop":
            processes[target].signal(signal.SIGSTOP)
        elif fault.kind == "cut":
            self.stage.network.cut(target)
        elif target in self.stage.disks:
            self.stage.disks[target].fill()
        elif target == "sqlite":
            self.stage.databases.hold(fault.for_s)
        else:
            processes[target].limit_files(FULL_AT)

    def _end(self, fault: Fault) -> None:
        processes, target = self.stage.processes, fault.target
        if fault.kind == "restart" or target == "influx":
            if target == "broker":
                for node in NODES:
                    processes[node].start()
            else:
                self.stage.databases.start(target)
        elif fault.kind == "kill":
            processes[target].start()
        elif fault.kind == "stop":
            processes[target].signal(signal.SIGCONT)
        elif fault.kind == "cut":
            self.stage.network.heal(target)
        elif target in self.stage.disks:
            self.stage.disks[target].clear()
            if target in NODES:
                # A log server whose disk was full stays without its log until it is started again (docs/operations.md).
                processes[target].kill()
                processes[target].start()
        elif target in processes:
            processes[target].limit_files(None)

    def _crash(self, fault: Fault) -> None:
        if fault.target == "broker":
            for node in NODES:
                self.stage.processes[node].kill()
        elif fault.target == "sqlite":
            self.stage.databases.hold(fault.for_s)
        else:
            self.stage.databases.crash(fault.target)
