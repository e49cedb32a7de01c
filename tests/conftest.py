"""For all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

HEAVY = ("acceptance", "browser", "faults")
# Of the run: the last part is for light files, so that no long one is left running alone.
HEAVY_UNTIL = 0.75


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """A command that ran in this process has set up logging for itself; the next test begins without it."""
    yield
    structlog.reset_defaults()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole files, those that start servers spread among the others: several of them at once would wait for each other."""
    files = list(dict.fromkeys(item.path for item in items))
    heavy = [file for file in files if file.parent.name in HEAVY]
    light = [file for file in files if file.parent.name not in HEAVY]
    place: dict[Path, float] = {file: HEAVY_UNTIL * n / len(heavy) for n, file in enumerate(heavy)}
    place |= {file: n / len(light) for n, file in enumerate(light)}
    items.sort(key=lambda item: place[item.path])
