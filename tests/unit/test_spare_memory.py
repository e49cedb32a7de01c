"""Freed memory goes back to the system, once in a while."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services import alive
from qingquan.services.spare_memory import SpareMemory

# Small pieces, of which the last stays: the C library cannot give the rest back by itself.
_PROGRAM = """
from qingquan.services.spare_memory import SpareMemory

def resident_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmRSS"))

pieces = [bytes(3000) for _ in range(40_000)]
last = pieces[-1]
del pieces
before = resident_mb()
assert SpareMemory(0.0).give_back()
print(before - resident_mb())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="the C library gives no memory back",
)
def test_what_was_freed_goes_back() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 80


def test_it_is_asked_for_now_and_then_only() -> None:
    now = 100.0
    spare = SpareMemory(60.0, lambda: now)
    assert not spare.give_back()
    now = 161.0
    assert spare.give_back()
    assert not spare.give_back()


def test_every_service_that_says_it_is_alive_gives_memory_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SpareMemory] = []
    monkeypatch.setattr(SpareMemory, "give_back", lambda spare: asked.append(spare))
    alive.beat(Config(data_dir=str(tmp_path)), "alerter")
    assert len(asked) == 1
