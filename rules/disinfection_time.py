"""How long a works' disinfection was in each state within a period. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import DisinfectionState

__all__ = ["known_spans", "state_times"]

Spans = Sequence[tuple[int, int]]

# Where several hold at once the first one counts: what must be acted upon, then what is not known, then rest.
_PRECEDENCE = (
    DisinfectionState.NOT_EQUIPPED, DisinfectionState.MISSING, DisinfectionState.LOW, DisinfectionState.HIGH,
    DisinfectionState.UNKNOWN, DisinfectionState.IDLE, DisinfectionState.OK,
)  # fmt: skip


def known_spans(
    observed_at: npt.NDArray[np.int64], usable: npt.NDArray[np.bool_], hold_ms: int, start: int, end: int
) -> list[tuple[int, int]]:
    """Stretches of the period for which usable readings speak, joined where they touch. Times ascend."""
    until = np.minimum(observed_at + hold_ms, end)
    if len(until):
        until[:-1] = np.minimum(until[:-1], observed_at[1:])
    begin = np.maximum(observed_at, start)
    chosen = usable & (until > begin)
    begin, until = begin[chosen], until[chosen]
    if not len(begin):
        return []
    breaks = np.flatnonzero(begin[1:] > until[:-1])
    firsts = begin[np.concatenate([[0], breaks + 1])]
    lasts = until[np.concatenate([breaks, [len(until) - 1]])]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def state_times(start: int, end: int, spans: Mapping[DisinfectionState, Spans]) -> dict[str, int]:
    """Time in each state [ms]; together they are the whole period.

    ``spans`` gives by state when it held, in any order; for ``OK`` when the residual was known. What nothing speaks for
    is unknown.
    """
    edges = {start, end}
    for held in spans.values():
        edges.update(min(max(edge, start), end) for span in held for edge in span)
    marks = np.array(sorted(edges), np.int64)
    state = np.full(len(marks) - 1, -1, np.int64)
    for rank, name in enumerate(_PRECEDENCE):
        for begin, until in spans.get(name, ()):
            low, high = np.searchsorted(marks, [max(begin, start), min(until, end)])
            part = state[low:high]
            part[part < 0] = rank
    times: dict[str, int] = {}
    for length, rank in zip(np.diff(marks).tolist(), state.tolist(), strict=True):
        name = DisinfectionState.UNKNOWN if rank < 0 else _PRECEDENCE[rank]
        times[name.value] = times.get(name.value, 0) + length
    return {name: length for name, length in times.items() if length}
