# mypy: disable-error-code="no-untyped-call"
"""How the loop is compiled; see docs/decisions/0009."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = ["compiled", "inlined", "prefetch"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without reference counts: nothing compiled here allocates, and counting cost more than the judging (5 x).

    numba keeps the result beside the source and looks only at that one file for changes: who changes a compiled function that
    another file calls must change the calling file, too.
    """
    return njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload, no-any-return]


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into the caller. A call hands over every array field by field, which costs more than judging a usual reading."""
    return njit(cache=True, _nrt=False, inline="always")(function)  # type: ignore[call-overload, no-any-return]


def _prefetch(typing_context: Any, array: Any, index: Any, offset: Any) -> Any:  # noqa: ARG001
    """Ask the processor for the cache line ``offset`` bytes into ``array[index]``, to be written soon; waits for nothing.

    A hint and no access: an index beyond the array does no harm. ``offset`` is a constant.
    """
    if not isinstance(array, types.Array) or array.ndim != 1 or array.layout != "C":
        raise TypingError(f"prefetch of {array}")
    size = array.dtype.size if isinstance(array.dtype, types.Record) else array.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = context.cast(builder, arguments[1], signature.args[1], types.intp)
        further = context.cast(builder, arguments[2], signature.args[2], types.intp)
        step = context.get_constant(types.intp, size)
        byte, word = ir.IntType(8), ir.IntType(32)
        at = builder.gep(
            builder.bitcast(values.data, byte.as_pointer()), [builder.add(builder.mul(place, step), further)]
        )
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # 1 = for writing, 3 = to be kept in all caches, 1 = data.
        builder.call(function, [at, ir.Constant(word, 1), ir.Constant(word, 3), ir.Constant(word, 1)])
        return context.get_dummy_value()

    return types.void(array, index, offset), generate


prefetch: Any = intrinsic(_prefetch)
