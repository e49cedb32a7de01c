"""Compiles the tests of readings in a process of its own, before anybody asks for a curve: a first one would wait for seconds.

python -m qingquan.services.compiled_tests
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qingquan.services.compiling import is_compiled

__all__ = ["compile_tests", "compiled_apart"]

READ_AT_MS = 1_780_272_000_000


def compile_tests() -> None:
    """Judge two readings of every parameter that has tests of its own, at a works that nobody has."""
    import numpy as np

    from qingquan.domain.readings import SeriesKey
    from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
    from qingquan.services.quality_flags import Stored, companions, flagged_series

    parameters = (
        "free_chlorine",
        "total_chlorine",
        "turbidity",
        "ph",
        "temperature",
        "flow",
        "sample_flow",
        "maintenance",
    )
    works = Works(
        county="000000", id="none", name="none", township="", disinfectant=Disinfectant.FREE_CHLORINE,
        equipment=Equipment.EQUIPPED, capacity_m3_d=100.0, population=1,
        points=(SamplingPoint("outlet", PointKind.OUTLET, "outlet", parameters),),
    )  # fmt: skip
    at = READ_AT_MS + 60_000 * np.arange(2, dtype=np.int64)
    values, device = np.full(2, 0.5), np.full(2, 2, np.uint8)
    # Other series come as the recorder's socket brings them, which cannot be written: that is another type to the compiler.
    others = Stored(at.copy(), values.copy(), device)
    others.times.flags.writeable = others.values.flags.writeable = False
    for parameter in ("free_chlorine", "turbidity"):
        key = SeriesKey(works.county, works.id, "outlet", parameter)
        stored = dict.fromkeys(companions(works, key).values(), others) | {key: Stored(at, values, device)}
        flagged_series(works, key, stored, 0)


@contextmanager
def compiled_apart() -> Iterator[None]:
    """Have them compiled meanwhile, unless they are; what is not done at the end is left."""
    if is_compiled("rules.quality.qartod"):
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    waiting = threading.Thread(target=process.wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        process.terminate()
        waiting.join()


if __name__ == "__main__":
    # Whoever serves or judges comes first.
    with contextlib.suppress(AttributeError, OSError):
        os.nice(19)
    compile_tests()
