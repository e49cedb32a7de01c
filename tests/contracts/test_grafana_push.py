"""`push` against a double that keeps what Grafana's HTTP API would keep and checks the credential as it does."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dashboards.grafana.build import dashboards
from dashboards.grafana.push import GrafanaRefused, push
from qingquan.errors import WrongUse

TOKEN = "glsa_test"
INFLUX = {"influx_url": "http://influxdb:8086", "influx_token": "t0ken", "influx_database": "qingquan"}


class GrafanaDouble(ThreadingHTTPServer):
    """The endpoints that push calls, by uid as in Grafana 13; anything else is 404."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.datasources: dict[str, Any] = {}
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, Any] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: GrafanaDouble

    def do_GET(self) -> None:
        kept = {f"/api/datasources/uid/{uid}": value for uid, value in self.server.datasources.items()}
        kept |= {f"/api/folders/{uid}": {"uid": uid, "title": title} for uid, title in self.server.folders.items()}
        kept["/api/health"] = {"database": "ok", "version": "13.0.1"}
        self.answer(kept.get(self.path))

    def do_POST(self) -> None:
        body = self.body()
        if self.path == "/api/datasources":
            self.server.datasources[body["uid"]] = body
        elif self.path == "/api/folders":
            self.server.folders[body["uid"]] = body["title"]
        elif self.path == "/api/dashboards/db":
            if body["folderUid"] not in self.server.folders:
                return self.answer({"message": "folder not found"}, 400)
            if body["dashboard"]["uid"] in self.server.dashboards and not body["overwrite"]:
                return self.answer({"message": "A dashboard with the same uid already exists"}, 412)
            self.server.dashboards[body["dashboard"]["uid"]] = body
        else:
            return self.answer(None)
        return self.answer({"status": "success"})

    def do_PUT(self) -> None:
        body = self.body()
        uid = self.path.removeprefix("/api/datasources/uid/")
        if uid not in self.server.datasources:
            return self.answer(None)
        self.server.datasources[uid] = body
        return self.answer({"message": "Datasource updated"})

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def answer(self, value: Any, status: int = 200) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            value, status = {"message": "Invalid API key"}, 401
        elif value is None:
            value, status = {"message": "Not found"}, 404
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[GrafanaDouble]:
    pytest.importorskip("grafana_client", reason="needs the optional package grafana-client")
    with GrafanaDouble() as double:
        thread = threading.Thread(target=double.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield double
        double.shutdown()
        thread.join()


def test_push_creates_data_source_folders_and_dashboards(grafana: GrafanaDouble) -> None:
    done = push(grafana.url, TOKEN, **INFLUX)
    assert grafana.folders == {"qingquan": "清泉", "qingquan-en": "Qingquan"}
    assert set(grafana.dashboards) == {"qingquan-county", "qingquan-works", "qingquan-county-en", "qingquan-works-en"}
    assert grafana.dashboards["qingquan-county"]["folderUid"] == "qingquan"
    assert grafana.dashboards["qingquan-county"]["dashboard"] == dashboards("zh")["county"]
    source = grafana.datasources["qingquan-influx"]
    assert (source["url"], source["jsonData"]["dbName"]) == ("http://influxdb:8086", "qingquan")
    assert source["secureJsonData"] == {"httpHeaderValue1": "Token t0ken"}
    assert len(done) == 1 + 2 + 4


def test_a_second_push_replaces_what_the_first_one_made(grafana: GrafanaDouble) -> None:
    push(grafana.url, TOKEN, **INFLUX)
    grafana.asked.clear()
    push(grafana.url, TOKEN, **{**INFLUX, "influx_url": "http://elsewhere:8086"})
    assert grafana.datasources["qingquan-influx"]["url"] == "http://elsewhere:8086"
    assert "PUT /api/datasources/uid/qingquan-influx" in grafana.asked
    assert not [line for line in grafana.asked if line in ("POST /api/datasources", "POST /api/folders")]


def test_one_language_can_be_pushed_alone(grafana: GrafanaDouble) -> None:
    push(grafana.url, TOKEN, **INFLUX, languages=("zh",))
    assert set(grafana.dashboards) == {"qingquan-county", "qingquan-works"}


def test_a_wrong_token_is_refused_in_grafanas_own_words(grafana: GrafanaDouble) -> None:
    with pytest.raises(GrafanaRefused, match="Unauthorized"):
        push(grafana.url, "wrong", **INFLUX)
    assert grafana.dashboards == {}


def test_a_grafana_that_does_not_answer_is_named(grafana: GrafanaDouble) -> None:
    address = grafana.url
    grafana.server_close()
    with pytest.raises(GrafanaRefused, match=address):
        push(address, TOKEN, **INFLUX)


def test_a_missing_client_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grafana_client", "grafana_client.api"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(WrongUse, match="needs the package grafana-client"):
        push("http://127.0.0.1:3000", TOKEN, **INFLUX)


def test_settings_that_are_missing_are_named_all_at_once() -> None:
    with pytest.raises(WrongUse, match="token, influx_token"):
        push("http://127.0.0.1:3000", "", influx_url="http://x", influx_token="", influx_database="d")
