"""What the console asks of whoever keeps facts, measurements by hand and advice about disinfection."""

from typing import Protocol

from qingquan.domain.disinfection import Advice, DisinfectionFacts, HandFault, HandMeasurement, HandReport
from qingquan.domain.works import Works
from qingquan.store.sql.statements import Page

__all__ = ["DisinfectionDesk"]


class DisinfectionDesk(Protocol):
    """Methods block; callers run them in a thread. Every one raises `StoreUnavailable` when the database does not answer."""

    def advice(self, county: str, works: str) -> Advice | None:
        """What was worked out last; ``None`` if nothing was yet."""
        ...

    def facts(self, county: str, works: str) -> DisinfectionFacts:
        """What people have entered about contact, dosing and deliveries."""
        ...

    def save_facts(self, county: str, works: str, facts: DisinfectionFacts, by: str) -> None:
        """Replace them."""
        ...

    def measurements(self, county: str, works: str, limit: int, offset: int) -> Page[HandMeasurement]:
        """Measurements by hand, newest first."""
        ...

    def log(
        self, works: Works, value: str, person: str, *, point: str = "", observed_at: str | int = "",
        method: str = "dpd_colour", note: str = "", source: str = "page",
    ) -> HandMeasurement | list[HandFault]:  # fmt: skip
        """Take one measurement as entered, or say everything that is wrong with it."""
        ...

    def import_log(self, name: str, content: bytes, by: str) -> HandReport:
        """Take the good rows of a sheet."""
        ...

    def template(self, county: str = "") -> bytes:
        """An empty sheet."""
        ...
