"""Eight numbers as one value in compiled code: every operation is done to all of them at once.

Numba has no such type. In LLVM it is a vector of eight doubles, which becomes one register of
AVX-512, two of AVX2 or four of NEON. Products are fused with sums only where `plus` and `minus` say
so: left to the compiler, one loop would round differently from another, and a matrix' bits would
depend on its lane.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
ZERO = ir.Constant(VECTOR, [0.0] * LANES)


class Lanes(types.Type):
    """Numba's type of eight numbers, with arithmetic lane by lane."""

    def __init__(self) -> None:
        super().__init__(name=f"lanes{LANES}")


lanes = Lanes()


@register_model(Lanes)
class LanesModel(models.PrimitiveModel):
    """In LLVM, a vector."""

    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, VECTOR)


def _operator(symbol: Any, instruction: str) -> None:
    def lower(context, builder, signature, args):
        return getattr(builder, instruction)(*args)

    type_callable(symbol)(lambda context: lambda a, b: lanes if a == lanes and b == lanes else None)
    lower_builtin(symbol, Lanes, Lanes)(lower)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")


def _call(builder, name, result, *arguments):
    function = ir.FunctionType(result, [VECTOR] * len(arguments))
    return builder.call(
        get_or_insert_function(builder.module, function, f"llvm.{name}.v{LANES}f64"), arguments
    )


def _address(context, builder, signature, args):
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    start = builder.mul(args[1], ir.Constant(args[1].type, LANES))
    return builder.bitcast(builder.gep(data, [start]), VECTOR.as_pointer())


@intrinsic
def get(typing, array, index):
    """Vector number index of a flat array."""
    return lanes(array, types.intp), lambda c, b, s, args: b.load(_address(c, b, s, args), align=8)


@intrinsic
def put(typing, array, index, value):
    """Replace vector number index of a flat array."""

    def emit(context, builder, signature, args):
        builder.store(args[2], _address(context, builder, signature, args), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@intrinsic
def every(typing, number):
    """The same number in every lane."""

    def emit(context, builder, signature, args):
        first = builder.insert_element(ZERO, args[0], ir.Constant(ir.IntType(32), 0))
        return builder.shuffle_vector(
            first, ZERO, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        )

    return lanes(types.float64), emit


@intrinsic
def root(typing, x):
    """√x."""
    return lanes(lanes), lambda c, b, s, args: _call(b, "sqrt", VECTOR, args[0])


@intrinsic
def size(typing, x):
    """|x|."""
    return lanes(lanes), lambda c, b, s, args: _call(b, "fabs", VECTOR, args[0])


@intrinsic
def plus(typing, x, a, b):
    """x + ab, rounded once where the processor can.

    This is not left to the compiler, which chooses anew in every loop.
    """
    return lanes(lanes, lanes, lanes), lambda c, b, s, args: _call(
        b, "fmuladd", VECTOR, *args[1:], args[0]
    )


@intrinsic
def minus(typing, x, a, b):
    """x − ab, like `plus`."""

    def emit(context, builder, signature, args):
        return _call(builder, "fmuladd", VECTOR, builder.fneg(args[1]), args[2], args[0])

    return lanes(lanes, lanes, lanes), emit


@intrinsic
def largest(typing, x):
    """Largest of the lanes."""
    return types.float64(lanes), lambda c, b, s, args: _call(
        b, "vector.reduce.fmax", ir.DoubleType(), args[0]
    )


@intrinsic
def where(typing, x, yes, no):
    """Yes in lanes with x > 0, no in others."""
    return lanes(lanes, lanes, lanes), lambda c, b, s, args: b.select(
        b.fcmp_ordered(">", args[0], ZERO), *args[1:]
    )
