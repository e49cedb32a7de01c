"""`qingquan up` calls the console ready once the console itself has said so, not once somebody answers on its port."""

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.services.topology import Part, Topology
from qingquan.services.up import _Up
from qingquan.store.sql.engine import upgrade
from qingquan.testing.ports import free_port


class Stranger(BaseHTTPRequestHandler):
    """A program that says yes to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stranger_on(port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def status_of(url: str) -> int:
    with urllib.request.urlopen(f"{url}/healthz", timeout=20) as answer:
        return int(answer.status)


@contextmanager
def console_alone(config: Config) -> Iterator[tuple[_Up, Topology, list[str]]]:
    """An `up` that has found its port free and starts no other service; what it tells."""
    upgrade(config.sql_url)
    told: list[str] = []
    up = _Up(config, False, False, lambda event, _: told.append(event))
    try:
        yield up, Topology(config, (), (Part("web", "web", config),)), told
    finally:
        up._supervisor.stop()


def test_a_stranger_on_the_consoles_port_is_not_taken_for_the_console(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), web_port=free_port(), log_url="nats://127.0.0.1:1")
    # An earlier run was ready; whoever it was has ended.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "web.ready").write_text("1\n")
    with console_alone(config) as (up, topology, told), stranger_on(config.web_port):
        assert status_of(f"http://127.0.0.1:{config.web_port}") == 200
        with pytest.raises(ConfigurationError) as refused:
            up._start(topology, threading.Event())
    assert "ready" not in told
    (line,) = refused.value.faults
    assert f"web_port = {config.web_port}" in line
    assert "end it, or set web_port" in line
    assert "--port" in line


def test_a_console_that_is_called_ready_answers(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), web_port=free_port(), log_url="nats://127.0.0.1:1")
    with console_alone(config) as (up, topology, told):
        up._start(topology, threading.Event())
        assert status_of(f"http://127.0.0.1:{config.web_port}") == 200
        assert [event for event in told if event != "waiting"] == ["services", "ready"]
