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


# What threads free lies in a heap of each one's own, below memory that is still in use.
_THREADS = """
import sys, threading
from qingquan.services.spare_memory import keep_little

if sys.argv[1] == "little":
    assert keep_little()

def heaps():
    with open("/proc/self/smaps") as maps:
        # Heaps of threads are mapped 64 MB at a time.
        sizes = [line.split()[0] for line in maps if line[0] in "0123456789abcdef" and "-" in line.split()[0]]
    return sum(int(end, 16) - int(begin, 16) <= 64 << 20 and int(begin, 16) % (64 << 20) == 0
               for begin, end in (one.split("-") for one in sizes))

begin = threading.Barrier(12)
def work():
    begin.wait()
    kept.append([bytes(5000) for _ in range(50)])
    begin.wait()

kept = []
threads = [threading.Thread(target=work) for _ in range(12)]
for one in threads: one.start()
for one in threads: one.join()
print(heaps())
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library cannot be told"
)
def test_threads_share_few_heaps() -> None:
    found = {
        how: int(
            subprocess.run([sys.executable, "-c", _THREADS, how], capture_output=True, text=True, check=True).stdout
        )
        for how in ("usual", "little")
    }
    # The main heap is not among them; another mapping may lie by chance where heaps do.
    assert 2 * found["little"] < found["usual"]


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


_LEFT_OUT = """
import importlib, sys
from qingquan.services.spare_memory import UNUSED, leave_out
import qingquan.cli
assert not {"structlog", *UNUSED} & sys.modules.keys(), "commands are there before libraries are"
leave_out()
for name in ("evaluator", "detector", "recorder", "alerter", "adviser", "compliance", "watchdog", "log_server", "edges", "bridge"):
    importlib.import_module(f"qingquan.services.{name}")
assert not any(sys.modules[name] for name in UNUSED)
"""


def test_services_run_without_libraries_of_the_console() -> None:
    done = subprocess.run([sys.executable, "-c", _LEFT_OUT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
