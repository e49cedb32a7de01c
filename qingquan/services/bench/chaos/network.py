"""Where the processes of a run live on the network, and how one of them is cut off.

With root and Linux every process that can be cut off has a network namespace of its own on a bridge; a cut takes its cable away, so
that packets vanish as they do when a mountain link drops. Elsewhere everything is on loopback and proxies stand in every way to a
log server; a cut makes them hold what is under way and let nothing new through.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Protocol

from qingquan.services.bench.chaos.proxies import Proxies
from qingquan.testing.ports import free_port

__all__ = ["Namespaces", "Network", "Proxied", "network"]

HUB = "10.77.0.1"
MARK = "QQ_CHAOS_OWN_NETWORK"
"""Set in the environment of a process that has network and mounts to itself."""


class Network(Protocol):
    """``kind`` is what the report calls it; ``hub`` is the address at which everybody reaches the bench's own servers."""

    kind: str
    hub: str

    def ports(self, place: str, names: Sequence[str]) -> dict[str, int]:
        """Ports on which the process at a place listens, by name."""
        ...

    def listens(self, place: str) -> str:
        """Address on which it listens."""
        ...

    def way(self, place: str, port: int, by: str = "") -> tuple[str, int]:
        """How the process at ``by`` reaches a port of the one at ``place``."""
        ...

    def command(self, place: str, command: Sequence[str]) -> list[str]:
        """The command that runs a program at a place."""
        ...

    def can_cut(self, place: str) -> bool:
        """Whether a place can be cut off."""
        ...

    def cut(self, place: str) -> None:
        """From now on nothing goes in or out."""
        ...

    def heal(self, place: str) -> None:
        """The end of a cut."""
        ...

    def close(self) -> None:
        """Take everything down."""
        ...


def network(places: Sequence[str], nodes: Sequence[str]) -> Network:
    """Namespaces where this process has a network of its own (`own_network`), proxies elsewhere."""
    return Namespaces(places) if os.environ.get(MARK) else Proxied(nodes)


class Namespaces:
    """One network namespace a place, held open by a process that sleeps."""

    kind = "network namespaces"
    hub = HUB

    def __init__(self, places: Sequence[str]) -> None:
        self._number = {place: number for number, place in enumerate(places)}
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        _ip("link add qq-hub type bridge")
        _ip(f"addr add {HUB}/24 dev qq-hub")
        _ip("link set qq-hub up")
        for place in places:
            self._make(place)

    def _make(self, place: str) -> None:
        sleeper = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        holder = subprocess.Popen(["unshare", "-n", "--", *sleeper], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        self._holders[place] = holder
        cable = self._cable(place)
        _ip(f"link add {cable} type veth peer name qq-in")
        _ip(f"link set qq-in netns {holder.pid}")
        _ip(f"link set {cable} master qq-hub")
        _ip(f"link set {cable} up")
        inside = self.command(place, ["ip"])
        for step in ("link set lo up", f"addr add {self.listens(place)}/24 dev qq-in", "link set qq-in up"):
            subprocess.run([*inside, *step.split()], check=True)

    def ports(self, place: str, names: Sequence[str]) -> dict[str, int]:  # noqa: ARG002 - the same everywhere
        """See `Network.ports`."""
        return {name: 4222 + number for number, name in enumerate(names)}

    def listens(self, place: str) -> str:
        """See `Network.listens`."""
        return f"10.77.0.{10 + self._number[place]}"

    def way(self, place: str, port: int, by: str = "") -> tuple[str, int]:  # noqa: ARG002 - one way for all
        """See `Network.way`."""
        return self.listens(place), port

    def command(self, place: str, command: Sequence[str]) -> list[str]:
        """See `Network.command`; `nsenter` becomes the program, so its process id is the program's."""
        holder = self._holders.get(place)
        return [*(["nsenter", "-t", str(holder.pid), "-n", "--"] if holder else []), *command]

    def can_cut(self, place: str) -> bool:
        """See `Network.can_cut`."""
        return place in self._holders

    def cut(self, place: str) -> None:
        """See `Network.cut`."""
        _ip(f"link set {self._cable(place)} down")

    def heal(self, place: str) -> None:
        """See `Network.heal`."""
        _ip(f"link set {self._cable(place)} up")

    def close(self) -> None:
        """See `Network.close`; the namespaces end with what runs in them."""
        for holder in self._holders.values():
            holder.kill()
            holder.wait()
            for pipe in (holder.stdin, holder.stdout):
                if pipe is not None:
                    pipe.close()
        # A cable goes with the namespace at its other end; the kernel takes its time.
        for name in (*map(self._cable, self._holders), "qq-hub"):
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)

    def _cable(self, place: str) -> str:
        return f"qq-c{self._number[place]}"


class Proxied:
    """Loopback, with a proxy for each way to a log server."""

    kind = "TCP proxies"
    hub = "127.0.0.1"

    def __init__(self, nodes: Sequence[str]) -> None:
        self._nodes = tuple(nodes)
        self._ports: dict[tuple[str, str], int] = {}
        self._proxies = Proxies()

    def ports(self, place: str, names: Sequence[str]) -> dict[str, int]:
        """See `Network.ports`."""
        return {name: self._ports.setdefault((place, name), free_port()) for name in names}

    def listens(self, place: str) -> str:  # noqa: ARG002 - the same everywhere
        """See `Network.listens`."""
        return self.hub

    def way(self, place: str, port: int, by: str = "") -> tuple[str, int]:
        """See `Network.way`."""
        return (self.hub, self._proxies.way(by, place, port)) if place in self._nodes else (self.hub, port)

    def command(self, place: str, command: Sequence[str]) -> list[str]:  # noqa: ARG002 - as it is
        """See `Network.command`."""
        return list(command)

    def can_cut(self, place: str) -> bool:
        """See `Network.can_cut`."""
        return place in self._nodes

    def cut(self, place: str) -> None:
        """See `Network.cut`."""
        self._proxies.cut(place)

    def heal(self, place: str) -> None:
        """See `Network.heal`."""
        self._proxies.heal(place)

    def close(self) -> None:
        """See `Network.close`."""
        self._proxies.close()


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)
