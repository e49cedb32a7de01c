"""A service loads at its start what it works with, and nothing that only others or later questions need."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("service", "unneeded"),
    [
        ("alerter", {"alembic", "numba", "scipy.optimize"}),
        ("evaluator", {"alembic", "scipy.optimize"}),
        ("recorder", {"alembic", "numba", "scipy.optimize"}),
        ("web", {"alembic", "numba", "scipy.optimize"}),
        # The health test of every container, every half minute.
        ("alive", {"sqlalchemy", "structlog", "natsrpy", "numpy", "asyncio"}),
    ],
)
def test_a_service_does_not_load_what_it_does_not_need(service: str, unneeded: set[str]) -> None:
    program = f"import sys, qingquan.services.{service}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"qingquan.services.{service}" in done.stdout.split()
    assert unneeded & set(done.stdout.split()) == set()
