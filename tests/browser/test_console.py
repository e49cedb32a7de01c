"""The console in a browser, over the example county served by a process of its own."""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.web.screenshots import CHROMIUM_ARGUMENTS, chromium_path, pages_of
from dashboards.web.texts import load_texts
from qingquan.testing.ports import free_port

ROOT = Path(__file__).parents[2]
WORKS = 660
STATES = ("missing", "low", "high", "unknown", "not_equipped", "idle", "ok")
ZH = load_texts()["zh"]
EN = load_texts()["en"]

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(chromium_path() is None, reason="chromium is not installed (Debian package chromium)"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "dashboards.web.example_server", "--port", str(port), "--works", str(WORKS)], cwd=ROOT
    )
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_ARGUMENTS))
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    yield from opened(browser, url, {"width": 1440, "height": 900})


@pytest.fixture
def phone(browser: Any, url: str) -> Iterator[Any]:
    yield from opened(browser, url, {"width": 390, "height": 844}, is_mobile=True, has_touch=True)


def opened(browser: Any, url: str, viewport: dict[str, int], **more: bool) -> Iterator[Any]:
    """A page that fails the test on a script error and on a request to anybody else."""
    context = browser.new_context(viewport=viewport, base_url=url, **more)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda sent: None if sent.url.startswith((url, "data:", "blob:")) else faults.append(f"request to {sent.url}"),
    )
    yield page
    context.close()
    assert faults == []


def ready(page: Any) -> None:
    page.wait_for_function("performance.getEntriesByName('county-ready').length > 0")


def rows(page: Any) -> list[dict[str, Any]]:
    """What the list holds, shown or scrolled away."""
    held: list[dict[str, Any]] = page.evaluate(
        "() => { const all = []; getElement(Number(document.querySelector('.grid').id.slice(1))).api"
        ".forEachNodeAfterFilterAndSort(n => all.push(n.data)); return all; }"
    )
    return held


def post(url: str, path: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url + path, method="POST"), timeout=5).close()


def test_the_county_page_lists_every_works_worst_first_with_its_state_in_words(page: Any) -> None:
    page.goto("/")
    ready(page)
    listed = rows(page)
    order = [row["s"] for row in listed if row["s"] in ("missing", "low", "high")]
    assert len(listed) == WORKS
    assert order == sorted(order, key=STATES.index)
    assert listed[0]["s"] == "missing"
    first = page.locator(".ag-center-cols-container .ag-row[row-index='0']")
    assert ZH["state.missing"] in first.inner_text()
    assert first.locator("svg.glyph").count() == 1


def test_the_tiles_count_every_state_in_words_and_add_up(page: Any) -> None:
    page.goto("/")
    ready(page)
    words = [tile.split("\n") for tile in page.locator(".tile").all_inner_texts()]
    assert [row[-1] for row in words] == [ZH[f"state.{state}"] for state in STATES]
    assert sum(int(row[0]) for row in words) == WORKS


def test_what_is_unknown_is_grey_and_never_the_colour_of_what_is_fine(page: Any) -> None:
    page.goto("/")
    ready(page)
    colours = {s: page.locator(f".tile[data-state={s}]").evaluate("e => getComputedStyle(e).color") for s in STATES}
    red, green, blue = (int(part) for part in colours["unknown"].removeprefix("rgb(").rstrip(")").split(","))
    assert len(set(colours.values())) == len(STATES)
    assert max(red, green, blue) - min(red, green, blue) < 30


def test_the_county_page_is_painted_soon_and_marks_what_is_simulated(page: Any) -> None:
    page.goto("/")
    ready(page)
    assert page.locator(".chip-sim").first.inner_text() == ZH["mark.simulated"]
    assert page.evaluate("performance.getEntriesByName('county-ready')[0].startTime") < 15_000


def test_a_tile_and_the_search_narrow_list_and_map(page: Any) -> None:
    page.goto("/")
    ready(page)
    page.locator(".tile[data-state=missing]").click()
    assert {row["s"] for row in rows(page)} == {"missing"}
    page.locator(".tile[data-state=missing]").click()
    page.locator("#search").fill("W0012")
    assert [row["id"] for row in rows(page)] == ["W0012"]
    assert "1" in page.locator("#shown").inner_text()


def test_a_change_shows_within_two_seconds_in_row_tile_and_headline(page: Any, url: str) -> None:
    page.goto("/")
    ready(page)
    fine = next(row["id"] for row in reversed(rows(page)) if row["s"] == "ok")
    before = int(page.locator(".tile[data-state=missing] b").inner_text())
    page.locator("#search").fill(fine)
    post(url, f"/example/state/{fine}/missing")
    page.wait_for_function(
        f"document.querySelector('.ag-center-cols-container').innerText.includes('{ZH['state.missing']}')", timeout=2000
    )
    assert int(page.locator(".tile[data-state=missing] b").inner_text()) == before + 1
    assert str(before + 1) in page.locator("#headline").inner_text()
    post(url, f"/example/state/{fine}/ok")


def test_the_language_is_kept_in_the_browser(page: Any) -> None:
    page.goto("/incidents")
    page.get_by_role("link", name=ZH["nav.language"]).click()
    page.wait_for_url("**/incidents")
    assert page.locator("h1").inner_text() == EN["nav.incidents"]
    page.goto("/")
    ready(page)
    assert EN["state.missing"] in page.locator(".tile").first.inner_text()
    assert page.evaluate("document.documentElement.lang").startswith("en")


def test_the_works_page_draws_trends_with_their_limits(page: Any) -> None:
    page.goto("/")
    ready(page)
    works = next(row["id"] for row in rows(page) if row["s"] == "missing")
    page.goto(f"/works/520425/{works}")
    page.locator(".plot canvas").first.wait_for()
    assert page.locator("#state-words").inner_text() == ZH["state_long.missing"]
    charts = page.evaluate(
        "() => [...document.querySelectorAll('.plot')].map(e => getElement(Number(e.id.slice(1))).chart.getOption().series[0])"
    )
    assert sum(len(series["data"]) > 100 for series in charts) >= 3
    bounds = [[line["yAxis"] for line in series["markLine"]["data"]] for series in charts]
    assert [1] in bounds  # turbidity, GB 5749-2022 table 1
    assert [6.5, 8.5] in bounds
    assert any(None in [point[1] for point in series["data"]] for series in charts)


def test_acknowledging_names_the_person_and_changes_the_state(page: Any) -> None:
    page.goto("/incidents?state=open")
    page.locator("a.line").first.click()
    page.wait_for_url("**/incidents/*")
    assert page.locator("#incident-state").inner_text() == ZH["incident.state.open"]
    page.get_by_label(ZH["incident.ack_name"]).fill("吴桂兰")
    page.get_by_role("button", name=ZH["incident.ack"]).click()
    page.wait_for_function(
        f"document.querySelector('#incident-state').innerText === '{ZH['incident.state.acknowledged']}'"
    )
    page.get_by_text(ZH["reason.acknowledged"].format(name="吴桂兰"), exact=True).wait_for()


def test_who_acknowledges_second_is_told_who_was_first(page: Any, browser: Any) -> None:
    page.goto("/incidents?state=open")
    page.locator("a.line").first.click()
    page.wait_for_url("**/incidents/*")
    context = browser.new_context()
    other = context.new_page()
    other.goto(page.url)
    for one, name in ((page, "吴桂兰"), (other, "韦国强")):
        one.get_by_label(ZH["incident.ack_name"]).fill(name)
    for one in (page, other):
        one.evaluate("document.querySelector('#acknowledge').click()")
    other.get_by_text(ZH["incident.ack_taken"].format(name="吴桂兰")).wait_for()
    context.close()


def test_an_acknowledgement_without_a_name_is_refused_in_words(page: Any) -> None:
    page.goto("/incidents?state=open")
    page.locator("a.line").first.click()
    page.get_by_role("button", name=ZH["incident.ack"]).click()
    page.get_by_text(ZH["incident.ack_needs_name"]).wait_for()
    assert page.locator("#incident-state").inner_text() == ZH["incident.state.open"]


def test_an_uploaded_sheet_is_answered_cell_by_cell(page: Any, tmp_path: Path) -> None:
    sheet = tmp_path / "results.csv"
    sheet.write_text("ERR", encoding="utf-8")
    page.goto("/lab")
    page.get_by_label(ZH["lab.uploader"]).fill("检测中心")
    page.locator("input[type=file]").set_input_files(sheet)
    page.locator(".lab-report td", has_text="D7").wait_for()
    assert "UP-" in page.locator(".lab-report table.lab").inner_text()


def test_redriving_quarantine_says_how_many_went(page: Any) -> None:
    page.goto("/quarantine")
    page.locator("#redrive").click()
    page.get_by_text(ZH["quarantine.redrive_done"].format(n=23)).wait_for()


def test_a_lost_connection_is_said_in_words(page: Any) -> None:
    page.goto("/")
    ready(page)
    page.evaluate("window.socket.disconnect()")
    banner = page.evaluate("getComputedStyle(document.getElementById('popup'), '::before').content")
    assert ZH["lost.title"] in banner


def test_no_page_scrolls_sideways_on_a_phone(phone: Any, url: str) -> None:
    for language in ("zh", "en"):
        phone.goto(f"/language/{language}")
        for path in (*pages_of(url).values(), "/works/520425/W0001", "/works/520425/none", "/incidents/999999"):
            phone.goto(path)
            phone.wait_for_timeout(400)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390, (language, path)


def test_the_language_link_leads_nowhere_else(url: str) -> None:
    class Kept(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    for to in ("//evil.example", "https://evil.example", "/%5Cevil.example"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(Kept).open(f"{url}/language/en?to={to}", timeout=5)
        assert (caught.value.code, caught.value.headers["location"]) == (303, "/")
        caught.value.close()


def answered(url: str, path: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url + path, timeout=5)
    with caught.value as answer:
        return answer.code, answer.read().decode()


def test_an_address_that_leads_nowhere_is_answered_in_our_words(url: str) -> None:
    status, text = answered(url, "/nowhere")
    assert status == 404
    assert ZH["page.not_found_hint"] in text


def test_a_page_that_fails_says_so_without_telling_its_insides(url: str) -> None:
    post(url, "/example/fault")
    status, text = answered(url, "/quarantine")
    assert status == 500
    assert ZH["page.failed_hint"] in text
    assert "inner detail" not in text
    assert "ZeroDivisionError" not in text


def test_an_event_is_marked_by_somebody_with_a_name_and_its_detector_can_be_silenced(page: Any) -> None:
    page.goto("/events?verdict=none")
    marks = page.get_by_role("button", name=ZH["event.mark_false"])
    marks.first.wait_for()
    before = marks.count()
    marks.first.click()
    page.get_by_text(ZH["event.name_first"]).wait_for()
    assert marks.count() == before
    page.get_by_label(ZH["event.your_name"]).fill("王建国")
    marks.first.click()
    page.get_by_text(ZH["event.saved"]).wait_for()
    page.goto("/events?verdict=false")
    line = page.locator(".event-rows .line:not(.head)").first
    assert "王建国" in line.inner_text()
    line.locator("a").first.click()
    page.locator("#do_silence").click()
    page.get_by_text(ZH["event.is_silent"]).wait_for()
    page.locator("#do_speak").click()
    page.get_by_text(ZH["event.speaks"]).wait_for()
    assert ZH["event.did.mark_false"] in page.locator("#main").inner_text()
