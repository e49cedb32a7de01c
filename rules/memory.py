"""Large arrays of zeros of which little is used."""

import mmap

import numpy as np
import numpy.typing as npt

__all__ = ["untouched"]

# Below this size it does not matter.
SMALL_BYTES = 1 << 20


def untouched(count: int, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """``count`` zeros that take no memory, page by page, until they are written.

    numpy asks for huge pages for large arrays, and a huge page is taken whole at the first write.
    """
    size = count * dtype.itemsize
    if size < SMALL_BYTES:
        return np.zeros(count, dtype)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, size, **private)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype)
