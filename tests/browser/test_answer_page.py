"""The page behind a link, in a phone's browser: pressed, written, photographed; small, and without a request to anybody else."""

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from alerts.apply import AlertSettings, apply_findings
from alerts.links import Linker
from dashboards.web.example import ExampleData
from dashboards.web.example_county import make_county
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.page_answer import add_answer_pages
from dashboards.web.ports import ConsoleActions
from dashboards.web.screenshots import CHROMIUM_ARGUMENTS, chromium_path
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.answers import AnswerKind
from qingquan.domain.incidents import MessageState
from qingquan.services.answer_desk import PhoneDesk
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.outbox import list_messages, record_result
from qingquan.store.sql.register import save_works
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.ports import free_port

# A picture of 2,400 by 2,400 points that no format makes small.
NOISE = """(() => {
    const canvas = document.createElement('canvas'); canvas.width = canvas.height = 2400;
    const pen = canvas.getContext('2d'), image = pen.createImageData(2400, 2400);
    for (let n = 0; n < image.data.length; n++) image.data[n] = n % 4 == 3 ? 255 : Math.random() * 255;
    pen.putImageData(image, 0, 0); return canvas.toDataURL('image/jpeg', .6) })()"""
PHONE = {"width": 360, "height": 640}

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(chromium_path() is None, reason="chromium is not installed (Debian package chromium)"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[str, PhoneDesk]]:
    """The address of a caretaker's link, and the desk behind it."""
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    config = Config(data_dir=str(tmp_path / "data"), database_url=url)
    now, works = Clock().now_ms(), example_works()
    with writing(engine) as connection:
        save_works(connection, [works])
        finding = example_finding(start=now - 45 * 60_000, evidence_at=now)
        apply_findings(connection, [finding], register_of(works), now, AlertSettings.from_config(config))
        message = next(one for one in list_messages(connection) if one.receiver == "13800000001")
        record_result(connection, message.id, MessageState.ACCEPTED, sent_at_ms=now)
    data = ExampleData(make_county(time.time_ns() // 1_000_000, 2))
    phones = PhoneDesk(engine, config)
    app = FastAPI()
    add_answer_pages(app, Console(data, ConsoleActions(answers=phones), Clock(), CountyFeed(data, Clock())))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Linker(engine, f"http://127.0.0.1:{port}", 72 * 3_600_000).link(message), phones
    server.should_exit = True
    thread.join()
    engine.dispose()


@pytest.fixture
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_ARGUMENTS))
        yield running
        running.close()


def opened(browser: Any, url: str, faults: list[str], **options: Any) -> Any:
    page = browser.new_context(
        viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2, **options
    ).new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    page.on("websocket", lambda socket: faults.append(f"websocket {socket.url}"))
    page.on(
        "request",
        lambda sent: faults.append(sent.url) if not sent.url.startswith((url[:20], "data:", "blob:")) else None,
    )
    page.goto(url)
    return page


def test_a_caretaker_answers_with_a_photo_and_goes_on_in_english(
    browser: Any, desk: tuple[str, PhoneDesk], tmp_path: Path
) -> None:
    url, phones = desk
    faults: list[str] = []
    page = opened(browser, url, faults)
    assert page.locator("h1").inner_text().startswith("城东水厂")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out of a small screen"
    first = page.get_by_role("button", name="已知悉")
    assert first.bounding_box()["height"] >= 44
    assert first.bounding_box()["y"] + first.bounding_box()["height"] < PHONE["height"], "seen without scrolling"
    page.fill("textarea", "药桶空了，正在加药")
    large = tmp_path / "large.jpg"
    large.write_bytes(base64.b64decode(page.evaluate(NOISE).partition(",")[2]))
    page.set_input_files("[type=file]", str(large))
    # The page's policy forbids what Playwright would wait by.
    sizes: list[int] = []
    while not sizes or (sizes[-1] >= large.stat().st_size and len(sizes) < 100):
        page.wait_for_timeout(100)
        sizes.append(page.evaluate("document.querySelector('[type=file]').files[0].size"))
    page.get_by_role("button", name="已处理").click()
    page.wait_for_selector(".good")
    assert "已记录：您已处理" in page.locator(".good").inner_text()
    page.get_by_role("link", name="English").click()
    page.get_by_role("button", name="I need help").click()
    page.wait_for_selector("text=you asked for help")
    token = url.rpartition("/")[2]
    view = phones.view(token)
    assert view is not None
    assert [(one.kind, one.text) for one in view.answers] == [
        (AnswerKind.FIXED, "药桶空了，正在加药"), (AnswerKind.HELP, ""),
    ]  # fmt: skip
    photo = view.answers[0].photo
    assert photo is not None
    assert photo.size < large.stat().st_size, "made smaller on the phone"
    assert faults == []


def test_it_works_without_script(browser: Any, desk: tuple[str, PhoneDesk]) -> None:
    url, _ = desk
    faults: list[str] = []
    page = opened(browser, url, faults, java_script_enabled=False)
    page.get_by_role("button", name="需要支援").click()
    page.wait_for_selector("text=已通知上一级")
    assert faults == []
