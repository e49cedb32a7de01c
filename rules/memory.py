"""Large arrays of zeros: such of which little is used, and such as are walked all the time."""

import mmap

import numpy as np
import numpy.typing as npt

__all__ = ["in_use", "release", "untouched"]

# Below this size it does not matter.
SMALL_BYTES = 1 << 20


def untouched(count: int, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """``count`` zeros that take no memory, page by page, until they are written.

    numpy asks for huge pages for large arrays, and a huge page is taken whole at the first write.
    """
    return _mapped(count, dtype, getattr(mmap, "MADV_NOHUGEPAGE", None))


def in_use(count: int, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    """``count`` zeros that begin at a page, so that rows of whole cache lines are whole cache lines, in huge pages where the
    system has them: works are visited in any order, and each visit would otherwise wait for the address, too."""
    return _mapped(count, dtype, getattr(mmap, "MADV_HUGEPAGE", None))


def release(array: npt.NDArray[np.void], rows: npt.NDArray[np.int64]) -> None:
    """Give back the pages of an `untouched` array on which none of these ``rows`` (ascending) lies; they are zeros again."""
    memory = array.base
    while memory is not None and not isinstance(memory, mmap.mmap):
        memory = getattr(memory, "obj", None) if isinstance(memory, memoryview) else getattr(memory, "base", None)
    if memory is None or not hasattr(mmap, "MADV_DONTNEED"):
        return
    size, page = array.dtype.itemsize, mmap.PAGESIZE
    used = np.zeros(-(-array.nbytes // page) + 1, np.bool_)
    used[rows * size // page] = True
    used[((rows + 1) * size - 1) // page] = True
    used[-1] = True
    edges = np.flatnonzero(np.diff(np.r_[True, used]))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        memory.madvise(mmap.MADV_DONTNEED, first * page, min(last * page, array.nbytes) - first * page)


def _mapped(count: int, dtype: np.dtype[np.void], advice: int | None) -> npt.NDArray[np.void]:
    size = count * dtype.itemsize
    if size < SMALL_BYTES:
        return np.zeros(count, dtype)
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, size, **private)
    if advice is not None:
        memory.madvise(advice)
    return np.frombuffer(memory, dtype)
