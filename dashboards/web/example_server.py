"""Serves the console over the example county: ``python -m dashboards.web.example_server --port 8080``.

For developing pages and for browser tests; the routes under ``/example`` change the county as its services would.
"""

import argparse
import time
from dataclasses import replace

import uvicorn
from fastapi import FastAPI

from dashboards.web.app import build_app
from dashboards.web.example import ExampleData
from dashboards.web.example_compliance import ExampleCompliance
from dashboards.web.example_county import make_county
from dashboards.web.example_events import ExampleEvents
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions, QuarantineQuery
from qingquan.clock import Clock
from qingquan.domain.findings import DisinfectionState
from qingquan.store.sql.quarantine import QuarantineEntry
from qingquan.store.sql.statements import Page

__all__ = ["main"]


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--works", type=int, default=660)
    arguments = parser.parse_args()
    data = ExampleData(make_county(time.time_ns() // 1_000_000, arguments.works))
    clock = Clock()
    console = Console(
        data,
        ConsoleActions(
            upload=data.upload,
            redrive=data.redrive,
            phone_messages=data.phone_messages,
            compliance=ExampleCompliance(data),
            events=ExampleEvents(data),
        ),
        clock,
        CountyFeed(data, clock),
    )
    front = FastAPI()
    _add_controls(front, data)
    app = build_app(console)
    app.router.routes[:0] = front.router.routes
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning")


def _add_controls(app: FastAPI, data: ExampleData) -> None:
    @app.post("/example/state/{works}/{state}")
    async def put_state(works: str, state: DisinfectionState) -> dict[str, str]:
        data.put_state(replace(data.county.states[works], disinfection=state, since=data.county.now))
        return {"works": works, "state": state}

    @app.post("/example/fault")
    async def put_fault() -> dict[str, str]:
        """From now on the quarantine page fails as a programming error would make it fail."""

        def fault(query: QuarantineQuery) -> Page[QuarantineEntry]:  # noqa: ARG001
            raise ZeroDivisionError("inner detail")

        data.quarantine = fault  # type: ignore[method-assign]
        return {"page": "/quarantine"}


if __name__ == "__main__":
    main()
