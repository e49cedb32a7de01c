"""A province and a county edge on loopback, both with all their services, and the link between them in the test's hands."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.testing.ports import free_port
from qingquan.testing.proxy import TcpProxy, running_proxy
from qingquan.testing.system import System, running_system, system_settings

__all__ = ["EDGE", "PASSWORD", "EdgePair", "edge_settings", "edges_file", "province_settings", "running_edge_pair"]

EDGE, PASSWORD = "puding", "a-secret-of-tests"
SERVICES = ("gateway-double", "evaluator", "recorder", "alerter")


def edges_file(folder: Path, county: str, **row: Any) -> str:
    """The province's table with one edge; ``row`` adds to its row."""
    path = folder / "edges.toml"
    rows = "".join(f"{key} = {value!r}\n" for key, value in row.items())
    path.write_text(
        f'[[edge]]\nname = "{EDGE}"\ncounties = ["{county}"]\npassword = "{PASSWORD}"\n{rows}', encoding="utf-8"
    )
    path.chmod(0o600)
    return str(path)


def province_settings(folder: Path, county: str, **settings: Any) -> Config:
    """Settings of a province with one edge."""
    folder.mkdir(parents=True, exist_ok=True)
    fixed: dict[str, Any] = {
        "edges_file": edges_file(folder, county), "leaf_port": free_port(), "log_sync_interval": "always", "restart_hold_s": 0.0,
    }  # fmt: skip
    return system_settings(folder, **{**fixed, **settings})


def edge_settings(folder: Path, county: str, hub_port: int, **settings: Any) -> Config:
    """Settings of the edge, which finds the province at ``hub_port``."""
    fixed: dict[str, Any] = {
        "log_hub_url": f"nats://127.0.0.1:{hub_port}", "log_domain": EDGE, "log_hub_password": PASSWORD, "log_edge_counties": county,
        "log_sync_interval": "always", "restart_hold_s": 0.0,
    }  # fmt: skip
    return system_settings(folder, **{**fixed, **settings})


class EdgePair:
    """Both systems, and the link."""

    def __init__(self, province: System, edge: System, link: TcpProxy) -> None:
        self.province, self.edge, self.link = province, edge, link

    def wait_for(self, condition: Callable[[], object], what: str, timeout_s: float = 60.0) -> None:
        """Until the condition holds, while both supervisors look after their children."""

        def holds() -> object:
            self.province.watch()
            return condition()

        self.edge.wait_for(holds, what, timeout_s)

    def logged(self) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
        """Topic and payload of what the province's and the edge's log hold, in their order, self-tests left out."""
        return _content(self.province), _content(self.edge)


def _content(system: System) -> list[tuple[str, bytes]]:
    found = [(one.subject.split(".", 2)[2], one.payload) for one in system.logged()]
    return [(topic, payload) for topic, payload in found if not topic.startswith("wq.000000.")]


def twice(entries: Sequence[object]) -> list[object]:
    """Those that stand more than once."""
    return [one for one, times in Counter(entries).items() if times > 1]


@contextmanager
def running_edge_pair(folder: Path, works: Sequence[Works], **province: Any) -> Iterator[EdgePair]:
    """Both systems with these works in their registers; ``province`` adds to the province's settings."""
    county = works[0].county
    hub = province_settings(folder / "province", county, **province)
    with running_proxy(hub.leaf_port) as link:
        edge = edge_settings(folder / "edge", county, link.port, log_partitions=4)
        with (
            running_system(edge, works, SERVICES) as below,
            running_system(hub, works, (*SERVICES, "edges")) as above,
        ):
            yield EdgePair(above, below, link)
