"""The county page measured in miniature: a real browser over a real system sees every reading. No times."""

from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.page import missing, run_page


@pytest.mark.proof
@pytest.mark.debian
@pytest.mark.skipif(bool(missing()), reason="needs playwright and chromium")
def test_every_reading_is_seen_on_the_open_page(tmp_path: Path) -> None:
    result = run_page(Config(), 20, 1, 3, folder=tmp_path)
    assert result["updates"] == 3
    assert result["lost"] == 0
    assert 0 < result["first_paint_ms"] <= result["whole_page_ms"]
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert result["rss_mb"].keys() == {"log-server", "evaluator", "recorder", "web"}


def test_what_is_missing_is_said_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing().startswith("chromium is missing")
