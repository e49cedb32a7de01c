"""Compile once, before many test processes start and each would do it for itself: the rule loop (some 30 s of processor time), the tests
of readings (8 s, or else beside every console that a test starts), and the tests themselves, whose asserts pytest rewrites (30 s).

python -m qingquan.testing.compiled
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qingquan.services.compiled_tests import compile_tests
from qingquan.testing.engine import START, Account, Row, make_works, plan_of

__all__ = ["compile_loop", "rewritten_apart"]

ROOT = Path(__file__).resolve().parents[2]


def compile_loop() -> None:
    """Judge one reading. What is compiled is kept beside the source and found there from then on."""
    Account(plan_of(make_works())).feed([Row(0, START, 0.4)])


@contextmanager
def rewritten_apart(root: Path = ROOT) -> Iterator[None]:
    """Have pytest rewrite the tests below ``root`` meanwhile, unless it has; the end waits for it.

    What is wrong with a test is not said here: the run that follows says it.
    """
    if sys.dont_write_bytecode or any(root.glob("tests/*/__pycache__/*-pytest-*.pyc")):
        yield
        return
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        except BaseException:
            process.terminate()
            raise


if __name__ == "__main__":
    print("tests: compiling the rule loop and the tests, some 60 s the first time", flush=True)
    began = time.monotonic()
    with rewritten_apart():
        compile_loop()
        compile_tests()
    print(f"tests: compiled after {time.monotonic() - began:.0f} s", flush=True)
