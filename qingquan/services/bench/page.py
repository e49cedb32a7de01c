"""`qingquan bench page`: the county page in a browser over a running system. First paint, and how late a reading is seen.

Needs Playwright (a development dependency) and Chromium; without them one line says so.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dashboards.web.screenshots import CHROMIUM_ARGUMENTS, chromium_path
from qingquan.config import Config
from qingquan.services.bench.alarms import topic
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.machine import describe
from qingquan.services.bench.sender import Order, Sender, sending
from qingquan.services.bench.system import READERS, MeasuredSystem, TooSlow, measured_system
from qingquan.store.reading_log.credentials import free_port
from simulators.devices import Devices

__all__ = ["missing", "run_page"]

WAIT_S = 300.0
PAGE_WAIT_MS = 60_000
UPDATE_WAIT_MS = 20_000
# Works that report in between, so that their rows change at moments we know.
MARKED = 5
VIEWPORT = {"width": 1440, "height": 900}
CONNECT_S, DRAIN_S = 10.0, 5.0

_READY = "performance.getEntriesByName('county-ready').length > 0"
_PAINTED = """() => {
  const first = performance.getEntriesByName('first-contentful-paint')[0];
  const whole = performance.getEntriesByName('county-ready')[0];
  return [first ? first.startTime : whole.startTime, whole.startTime];
}"""
_ROWS = """() => {
  let n = 0;
  getElement(Number(document.querySelector('.grid').id.slice(1))).api.forEachNode(() => n += 1);
  return n;
}"""
# When the line of a works shows a reading at least as new as the one asked for [ms of the wall].
_SHOWN = """([id, at, waitMs]) => new Promise(done => {
  const api = getElement(Number(document.querySelector('.grid').id.slice(1))).api;
  const began = Date.now();
  const look = () => {
    const node = api.getRowNode(id);
    if (node && node.data.a >= at) done(Date.now());
    else if (Date.now() - began > waitMs) done(null);
    else setTimeout(look, 10);
  };
  look();
})"""


def missing() -> str:
    """Why this cannot be measured here; empty if it can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is missing: it comes with the development set-up, make setup-dev"
    return "" if chromium_path() else "chromium is missing: install it, or set CHROMIUM to its path"


def run_page(
    config: Config, works: int = 660, repeats: int = 5, marks: int = 40, *, folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Measure. Keys: `first_paint_ms` and `whole_page_ms` (medians of repeats in new, empty browser profiles), `p50_ms` and
    `p99_ms` (reading published → its line on the open page shows it), `lost`, `rss_mb`."""
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        machine = describe()
        now_ms = config.clock.now_ms()
        load = Load(works, now_ms)
        config = replace(config, web_port=free_port())
        with (
            measured_system(Path(name) / "data", load.register, config, say, (*READERS, "web")) as system,
            sending(system.config) as sender,
        ):
            first = system.last_sequence()
            sender.prepare(Order(works, now_ms - 2 * STEP_MS, STEP_MS, 0, 2))
            sender.go()
            system.wait_covered(first + sender.result(WAIT_S).acknowledged, WAIT_S)
            url = f"http://127.0.0.1:{config.web_port}"
            with _browser() as browser:
                say(f"首屏 first paint, {repeats} times")
                painted = [_painted(browser, url, works) for _ in range(repeats + 1)][1:]
                say(f"刷新 live update, {marks} readings")
                delays = _delays(browser, url, system, sender, load, marks)
            memory = system.memory_mb()
        return _figures(painted, delays, marks) | {"machine": machine, "works": works, "rss_mb": memory}


def _figures(painted: Sequence[tuple[float, float]], delays: Sequence[float], marks: int) -> dict[str, Any]:
    if not delays:
        raise TooSlow(f"none of {marks} readings was seen on the page within {UPDATE_WAIT_MS / 1000:.0f} s")
    p50, p99 = np.percentile(delays, [50, 99])
    return {
        "first_paint_ms": round(float(np.median([first for first, _ in painted]))),
        "first_paint_most_ms": round(max(first for first, _ in painted)),
        "whole_page_ms": round(float(np.median([whole for _, whole in painted]))),
        "whole_page_most_ms": round(max(whole for _, whole in painted)),
        "updates": len(delays),
        "lost": marks - len(delays),
        "p50_ms": round(float(p50)),
        "p99_ms": round(float(p99)),
        "max_ms": round(max(delays)),
    }


@contextmanager
def _browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_ARGUMENTS))
        yield browser
        browser.close()


def _opened(browser: Any, url: str) -> Any:
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(PAGE_WAIT_MS)
    page.goto(url)
    page.wait_for_function(_READY)
    return page


def _painted(browser: Any, url: str, works: int) -> tuple[float, float]:
    """First paint and whole page [ms] in a profile that has seen nothing before."""
    page = _opened(browser, url)
    first, whole = page.evaluate(_PAINTED)
    rows = page.evaluate(_ROWS)
    page.context.close()
    if rows != works:
        raise AssertionError(f"the page lists {rows} works instead of {works}")
    return first, whole


def _delays(
    browser: Any, url: str, system: MeasuredSystem, sender: Sender, load: Load, marks: int
) -> list[float]:  # fmt: skip
    """From handing a reading to the socket until its line shows it [ms], while all other works report once a minute."""
    page = _opened(browser, url)
    others = len(load) - MARKED
    # Long enough for all marks; what is left of it is not waited for.
    sender.prepare(Order(others, load.start_ms, STEP_MS, 1, 2 + marks * 3 * others // (60 * others), rate=others / 60))
    devices = Devices(system.config, 1, is_lean=True)
    delays: list[float] = []
    try:
        devices.connect(CONNECT_S)
        sender.go()
        dice = np.random.default_rng(3)
        for number in range(marks):
            time.sleep(float(dice.random()))
            one = load.register[len(load) - 1 - number % MARKED]
            at = int(time.time() * 1000)
            values = dict(
                zip(PARAMETERS, (0.6 + number % 7 / 100, 0.4 + number % 3 / 50, 7.2, 17.0, 12.0), strict=True)
            )
            devices.put(0, topic(one), json.dumps({"t": at, "v": values}).encode())
            devices.drain(DRAIN_S)
            shown = page.evaluate(_SHOWN, [one.id, at, UPDATE_WAIT_MS])
            if shown is not None:
                delays.append(shown - at)
    finally:
        devices.close()
    return delays
