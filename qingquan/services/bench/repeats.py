"""One measurement several times: the middle one is shown, with the range of what it is told by."""

from collections.abc import Callable
from typing import Any

from qingquan.services.bench.machine import describe

__all__ = ["middle_of", "on_this_machine"]


def on_this_machine(measure: Callable[[], dict[str, Any]], repeats: int = 1, by: str = "") -> dict[str, Any]:
    """The measurement, or the middle one of ``repeats`` by its key ``by``, with `machine` as it was before."""
    machine = describe()
    results = [measure() for _ in range(repeats)]
    return {"machine": machine} | (middle_of(results, by) if len(results) > 1 else results[0])


def middle_of(results: list[dict[str, Any]], by: str) -> dict[str, Any]:
    """The median by ``by`` (of an even number the lower one); what was lost is added up, least and most stand beside."""
    in_order = sorted(results, key=lambda one: one[by])
    middle = in_order[(len(in_order) - 1) // 2]
    lost = {"lost": sum(one["lost"] for one in results)} if "lost" in middle else {}
    return {
        **middle, **lost, "repeats": len(results), f"{by}_least": in_order[0][by], f"{by}_most": in_order[-1][by],
    }  # fmt: skip
