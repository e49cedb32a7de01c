"""What is shown for an address that leads nowhere, and when a page cannot be put together."""

from html import escape

from fastapi import Request, Response
from fastapi.exception_handlers import http_exception_handler
from nicegui import Client, ui
from nicegui import app as pages
from nicegui.page import page
from starlette.exceptions import HTTPException

from dashboards.web.layout import Console, empty_state, frame, html, page_texts

__all__ = ["add_error_pages"]


def add_error_pages(console: Console) -> None:
    """Put our words in the place of the framework's; what went wrong goes to the log and not to the browser."""

    @pages.exception_handler(404)
    async def not_found(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and request.url.path.startswith("/_nicegui"):
            return await http_exception_handler(request, error)
        with Client(page(""), request=request) as client:
            _show(console, request, "page.not_found", "page.not_found_hint")
        return client.build_response(request, 404)

    def failed() -> None:
        _show(console, ui.context.client.request, "page.failed", "page.failed_hint")

    pages.on_page_exception(failed)


def _show(console: Console, request: Request, title: str, hint: str) -> None:
    t = page_texts(request, console.language)
    with frame(console, request, t, "", t(title), "narrow"):
        html(
            empty_state(t(title), t(hint)) + f'<p class="empty-way"><a href="/">{escape(t("nav.county"))} →</a></p>',
            "panel",
        )
