"""`qingquan edges`: how edges stand, and what another log server needs for them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from qingquan.cli import app
from qingquan.config import Config
from qingquan.domain.edges import EdgeLink
from qingquan.store.sql.edges import save_edge_links
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.testing.edges import EDGE, PASSWORD, edges_file


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    made = Config(data_dir=str(tmp_path / "data"), edges_file=edges_file(tmp_path, "520403"), log_replicas=3)
    monkeypatch.setenv("QINGQUAN_DATA_DIR", made.data_dir)
    monkeypatch.setenv("QINGQUAN_EDGES_FILE", made.edges_file)
    monkeypatch.setenv("QINGQUAN_LOG_REPLICAS", "3")
    Path(made.data_dir).mkdir()
    upgrade(made.sql_url)
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["edges", *arguments])


def stands(config: Config, link: EdgeLink) -> None:
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_edge_links(connection, [link])
    engine.dispose()


def test_an_edge_that_is_heard_and_taken_is_well(config: Config) -> None:
    stands(config, EdgeLink(EDGE, 1_782_000_000_000, 1_782_000_000_000, waiting=7))
    result = run("status")
    assert (result.exit_code, result.stdout) == (
        0, "puding (520403): 在线，最近联系 2026-06-21T00:00:00+00:00；待上传 7 条；告警由边缘站通知\n",
    )  # fmt: skip
    (row,) = json.loads(run("status", "--json").stdout)
    assert (row["name"], row["is_heard"], row["waiting"], row["level_at"]) == (EDGE, True, 7, None)


def test_one_that_is_not_says_why_by_its_status_too(config: Config) -> None:
    assert (run("status").exit_code, "从未" in run("status").stdout) == (1, True)
    stands(config, EdgeLink(EDGE, 2, 2, fault="its log was made anew"))
    result = run("status")
    assert result.exit_code == 1
    assert "its log was made anew" in result.stdout


def test_another_log_server_gets_users_and_listener(config: Config) -> None:
    text = run("server").stdout
    assert f'user: "{EDGE}"' in text
    assert PASSWORD in text
    assert 'listen: "127.0.0.1:7422"' in text


def test_without_a_table_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QINGQUAN_EDGES_FILE", raising=False)
    result = run("status")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("edges_file: no [[edge]]")
