"""The web service as a process: serves with stores silent, stops cleanly, refuses a taken port in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import example_works

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def started(folder: Path, port: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "QINGQUAN_DATA_DIR": str(folder), "QINGQUAN_WEB_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-m", "qingquan", "run", "web"], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def fetched(url: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url + path, timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def wait_until_up(url: str, process: "subprocess.Popen[str]") -> None:
    for _ in range(900):
        assert process.poll() is None, process.communicate()[0]
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the console did not come up")


@pytest.fixture
def served(tmp_path: Path) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    database = f"sqlite:///{tmp_path / 'qingquan.db'}"
    upgrade(database)
    engine = open_database(database)
    with writing(engine) as connection:
        save_works(connection, [example_works()])
    engine.dispose()
    port = free_port()
    process = started(tmp_path, port)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, process)
        yield url, process
    finally:
        process.kill()
        process.communicate()


def test_without_log_and_recorder_it_serves_the_register_and_says_what_is_missing(
    served: "tuple[str, subprocess.Popen[str]]", tmp_path: Path
) -> None:
    url, process = served
    # Who serves has said so before anybody is answered.
    assert (tmp_path / "run" / "web.ready").read_text() == f"{process.pid}\n"
    status, health = fetched(url, "/api/v1/health")
    parts = {part["name"]: part["is_up"] for part in json.loads(health)["parts"]}
    assert (status, parts) == (503, {"database": True, "series_store": False, "ruleset": True, "reading_log": False})
    works = json.loads(fetched(url, "/api/v1/works")[1])["items"]
    assert [(entry["id"], entry["state"]) for entry in works] == [(example_works().id, None)]
    assert fetched(url, "/")[0] == 200
    counts = json.loads(fetched(url, "/api/v1/counts")[1])
    assert (counts["logged"], counts["recorded"], counts["evaluated"]) == (None, None, 0)


def test_a_page_of_nothing_is_words_and_not_a_fault(served: "tuple[str, subprocess.Popen[str]]") -> None:
    url, process = served
    works = example_works()
    for path in ("/incidents", "/messages", "/lab", "/quarantine", f"/works/{works.county}/{works.id}", "/works/520425/none",
                 "/county/999999", "/incidents/7"):  # fmt: skip
        assert fetched(url, path)[0] == 200, path
    process.send_signal(signal.SIGTERM)
    assert "Traceback" not in process.communicate(timeout=10)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told_to(served: "tuple[str, subprocess.Popen[str]]", number: signal.Signals) -> None:
    _, process = served
    process.send_signal(number)
    output = process.communicate(timeout=10)[0]
    assert (process.returncode, "Traceback" in output) == (0, False), output


def test_a_taken_port_is_one_line_and_nobody_is_ready(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'qingquan.db'}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "web.ready").write_text("1\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = started(tmp_path, port)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert output.splitlines() == [
        f"web_port = {port}: in use by another program: end it, or set web_port (`qingquan up`: --port)"
    ]
    assert not (tmp_path / "run" / "web.ready").exists(), "left by an earlier run"
