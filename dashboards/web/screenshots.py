"""Takes pictures of a running console: ``python -m dashboards.web.screenshots --url http://127.0.0.1:8080 --out docs/screenshots``.

Needs Playwright (a development dependency) and Chromium. Which works and incident are shown is asked of the API: the worst.
"""

import argparse
import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM_ARGUMENTS", "SIZES", "chromium_path", "main", "pages_of"]

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SETTLE_MS = 2500


def chromium_path() -> str | None:
    """Chromium on this machine; the environment variable ``CHROMIUM`` wins."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def pages_of(url: str) -> dict[str, str]:
    """Path of each page to take, by the name of its picture."""
    pages = {
        "county": "/",
        "incidents": "/incidents",
        "messages": "/messages",
        "lab": "/lab",
        "quarantine": "/quarantine",
        "compliance": "/compliance",
        "operations": "/operations",
        "events": "/events",
        "sensors": "/sensors",
        "duty": "/duty",
        "silences": "/silences",
        "drills": "/drills",
    }
    events = _asked(url, "/api/v1/events?limit=1")["items"]
    if events:
        pages["events-works"] = f"/events?region={events[0]['county']}&works={events[0]['works']}"
    incidents = _asked(url, "/api/v1/incidents?limit=1")["items"]
    if incidents:
        worst = incidents[0]
        pages["incident"] = f"/incidents/{worst['id']}"
        pages["compliance-works"] = f"/compliance/{worst['county']}/{worst['works']}"
        pages["works"] = f"/works/{worst['county']}/{worst['works']}?window=6h"
    return pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures; exit status 0, or 2 with one line where something needed is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--languages", default="zh,en")
    given = parser.parse_args(arguments)
    executable = chromium_path()
    if executable is None:
        print("chromium is missing: install it, or set CHROMIUM to its path", file=sys.stderr)
        return 2
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is missing: install the development dependencies", file=sys.stderr)
        return 2
    try:
        pages = pages_of(given.url)
    except OSError as error:
        print(f"no console answers at {given.url}: {error}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_ARGUMENTS))
        for language in given.languages.split(","):
            for size in SIZES:
                _take(browser, given.url, given.out, pages, size, language)
        browser.close()
    return 0


def _take(browser: Any, url: str, out: Path, pages: dict[str, str], size: str, language: str) -> None:
    width, height = SIZES[size]
    is_phone = size == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height}, is_mobile=is_phone, has_touch=is_phone, device_scale_factor=2 if is_phone else 1
    )  # fmt: skip
    context.add_cookies([{"name": "qingquan_language", "value": language, "url": url}])
    page = context.new_page()
    for name, path in pages.items():
        page.goto(url + path)
        page.wait_for_timeout(SETTLE_MS)
        target = out / f"{name}-{size}-{language}.png"
        page.screenshot(path=str(target))
        print(target)
    context.close()


def _asked(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:  # noqa: S310 - an address the caller gave
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
