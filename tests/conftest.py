"""For all tests."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_comes() -> Iterator[None]:
    """A command that ran in this process has set up logging for itself; the next test begins without it."""
    yield
    structlog.reset_defaults()
