"""Has a process of its own compile what this one is going to run.

The compiler never gives back what it took: some 130 MB for the loop of the rules, for as long as the process lives. What it made is kept on
disk, and loading that takes a tenth of it.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from qingquan.services.spare_memory import left_out

__all__ = ["compile_apart", "is_compiled", "set_up_for_loops", "work_apart"]

LOOK_S = 1.0
UNWANTED_LOOK_S = 0.2

NOT_IN_LOOPS = ("cffi", "scipy.linalg")
"""What numba loads to see whether loops may use it. Ours call no foreign functions and multiply no matrices."""


def is_compiled(module: str) -> bool:
    """Whether numba has kept anything of a module as it is now: in its folder, or beside the source."""
    found = find_spec(module)
    if found is None or found.origin is None:
        return False
    source = Path(found.origin)
    named = os.environ.get("NUMBA_CACHE_DIR")
    kept = (
        Path(named).rglob(f"{source.stem}.*.nbi") if named else source.parent.glob(f"__pycache__/{source.stem}.*.nbi")
    )
    with contextlib.suppress(OSError):
        return any(one.stat().st_mtime >= source.stat().st_mtime for one in kept)
    return False


def compile_apart(program: str, module: str, is_unwanted: Callable[[], bool]) -> None:
    """Run ``python -m program``, which compiles ``module``, unless that is done; returns when it has ended, however it did.

    What it did not do the caller does itself when it needs it. Once ``is_unwanted()``, as when the caller is told to stop, it is ended.
    """
    if is_compiled(module) or is_unwanted():
        return
    try:
        compiler = subprocess.Popen(
            [sys.executable, "-m", program],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return
    with compiler:
        while compiler.poll() is None and not is_unwanted():
            with contextlib.suppress(subprocess.TimeoutExpired):
                compiler.wait(UNWANTED_LOOK_S)
        compiler.kill()


def set_up_for_loops() -> None:
    """Have numba set itself up for our loops, which it would do at the first of them, in 11 MB less and a third of the time."""
    from numba.core.registry import cpu_target

    with left_out(NOT_IN_LOOPS):
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()


def work_apart(work: Callable[[], object]) -> None:
    """Do the work of such a program; it ends when whoever started it has ended."""
    parent = os.getppid()

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    work()
