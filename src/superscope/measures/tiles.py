"""Register tiles as LLVM vectors: the innermost loops, which Numba's own code leaves at half the speed.

Each is a Numba intrinsic, called from compiled code only; offsets and widths are the caller's to get right.
A tile's sums stay in registers over its whole loop, one vector of ``LANES`` each. All is plain LLVM, so it
runs on any processor; where vectors are shorter, LLVM takes two for one.

Numba's cache on the disk does not see a change in this file: touch the files that call it.
"""
# ruff: noqa: ARG001  (an intrinsic's arrays reach its code by their place among the arguments)

from collections.abc import Callable
from typing import Any, no_type_check

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
LANES = 16 if _WIDE else 8
"""Float32 numbers in a vector."""
ROWS = 8 if _WIDE else 4
"""Columns of the left panel that an outer tile takes, by the whole width of the right one."""
PANEL = 2 * LANES
"""Columns in a panel."""
DEPTH = 128
"""Rows in an outer tile's loop: two panels of them fill the first-level cache, and sums stay short."""

_FLOAT, _DOUBLE, _INT, _LONG = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _COUNTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_ZERO = ir.Constant(_VECTOR, [ir.Constant(_FLOAT, 0.0)] * LANES)
_FUSE = ("contract",)  # a product and a sum may become one instruction


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


@no_type_check
class _Emitter:
    """Writes the code of one call: arrays' places, vectors from and to them, sums in registers."""

    def __init__(self, context, builder, signature, args):
        self.context, self.builder, self.kinds, self.args = context, builder, signature.args, args

    def place(self, argument, *index):
        """Return the address of an element of the array that is the call's ``argument``-th."""
        kind, build = self.kinds[argument], self.builder
        array = self.context.make_array(kind)(self.context, build, self.args[argument])
        where = _long(0)
        for axis, i in enumerate(index):
            stride = cgutils.unpack_tuple(build, array.strides, kind.ndim)[axis]
            where = build.add(where, build.mul(i, stride))
        start = build.bitcast(array.data, ir.IntType(8).as_pointer())
        return build.bitcast(build.gep(start, [where]), array.data.type)

    def load(self, place, offset):
        """Return the ``LANES`` numbers from ``offset`` behind the place."""
        pointer = self.builder.gep(place, [offset])
        vector = self.builder.load(self.builder.bitcast(pointer, _VECTOR.as_pointer()))
        vector.align = 4
        return vector

    def store(self, vector, place, offset):
        pointer = self.builder.gep(place, [offset])
        self.builder.store(vector, self.builder.bitcast(pointer, _VECTOR.as_pointer())).align = 4

    def spread(self, number):
        """Return a vector that holds the number in every lane."""
        kind = ir.VectorType(number.type, LANES)
        lone = self.builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_INT, 0))
        return self.builder.shuffle_vector(lone, lone, ir.Constant(_COUNTS, [0] * LANES))

    def sums(self, count, start=_ZERO):
        """Return so many registers that begin at ``start``."""
        found = [cgutils.alloca_once(self.builder, start.type) for _ in range(count)]
        for register in found:
            self.builder.store(start, register)
        return found

    def add_product(self, register, x, y):
        product = self.builder.fmul(x, y, flags=_FUSE)
        self.builder.store(self.builder.fadd(product, self.builder.load(register), flags=_FUSE), register)

    def add(self, register, x):
        kept = self.builder.load(register)
        add = self.builder.fadd if x.type == _VECTOR else self.builder.add
        self.builder.store(add(kept, x), register)

    def total(self, register):
        """Return the sum over the lanes, halving the vector until one is left."""
        vector, lanes = self.builder.load(register), LANES
        add = self.builder.fadd if vector.type == _VECTOR else self.builder.add
        while lanes > 1:
            lanes //= 2
            kind = ir.VectorType(_INT, lanes)
            halves = [
                self.builder.shuffle_vector(
                    vector, vector, ir.Constant(kind, list(range(first, first + lanes)))
                )
                for first in (0, lanes)
            ]
            vector = add(*halves)
        return self.builder.extract_element(vector, ir.Constant(_INT, 0))

    def loop(self, stop, step):
        return cgutils.for_range_slice(self.builder, _long(0), stop, _long(step))


@no_type_check
def _void(emit: Callable[..., None], *kinds: Any):
    """Return what Numba wants of an intrinsic: its signature and what writes its code."""

    def write(context, builder, signature, args):
        emit(_Emitter(context, builder, signature, args), *args)
        return context.get_dummy_value()

    return types.void(*kinds), write


@intrinsic
@no_type_check
def load_tile(_, source, c, start, width, shift, mean, offset, buffer, active, sums):
    """Take four rows of ``source`` less their shift into ``buffer``, and add what they hold.

    Over ``width`` positions, a multiple of ``LANES``, from ``start`` on: buffer[c+r, offset+p] is
    source[c+r, start+p] − shift[c+r], and mean[offset+p] grows by the four values. active[c+r] is set to how
    many are above 0, and sums[c+r] to the sum after the shift.
    """

    def emit(to, source, c, start, width, shift, mean, offset, buffer, active, sums):
        build = to.builder
        rows = [build.add(c, _long(r)) for r in range(4)]
        places = [to.place(0, row, start) for row in rows]
        kept = [to.place(7, row, offset) for row in rows]
        shifts = [to.spread(build.load(to.place(4, row))) for row in rows]
        means = to.place(5, offset)
        counts, totals = to.sums(4, ir.Constant(_COUNTS, [0] * LANES)), to.sums(4)
        with to.loop(width, LANES) as (p, _):
            values = [to.load(place, p) for place in places]
            for r, value in enumerate(values):
                to.add(counts[r], build.zext(build.fcmp_ordered(">", value, _ZERO), _COUNTS))
                shifted = build.fsub(value, shifts[r])
                to.store(shifted, kept[r], p)
                to.add(totals[r], shifted)
            four = build.fadd(build.fadd(values[0], values[1]), build.fadd(values[2], values[3]))
            to.store(build.fadd(to.load(means, p), four), means, p)
        for r, row in enumerate(rows):
            build.store(build.zext(to.total(counts[r]), _LONG), to.place(8, row))
            build.store(build.fpext(to.total(totals[r]), _DOUBLE), to.place(9, row))

    return _void(
        emit, source, types.intp, types.intp, types.intp, shift, mean, types.intp, buffer, active, sums
    )


@intrinsic
@no_type_check
def dot_tile(_, rows, c, d, width, gram):
    """Add the products of rows c to c+3 with rows d to d+3 to gram[c:c+4, d:d+4].

    ``rows`` float32 [row, position], of which ``width`` positions count, a multiple of ``LANES``; ``gram`` is
    float64. Sixteen sums for eight loads.
    """

    def emit(to, rows, c, d, width, gram):
        build = to.builder
        columns = 4 if _WIDE else 2  # with half the registers, half the tile at a time
        left = [to.place(0, build.add(c, _long(r)), _long(0)) for r in range(4)]
        for first in range(0, 4, columns):
            right = [to.place(0, build.add(d, _long(first + q)), _long(0)) for q in range(columns)]
            sums = [to.sums(columns) for _ in range(4)]
            with to.loop(width, LANES) as (p, _):
                ys = [to.load(place, p) for place in right]
                for r in range(4):
                    x = to.load(left[r], p)
                    for q in range(columns):
                        to.add_product(sums[r][q], x, ys[q])
            for r in range(4):
                for q in range(columns):
                    cell = to.place(4, build.add(c, _long(r)), build.add(d, _long(first + q)))
                    total = build.fpext(to.total(sums[r][q]), _DOUBLE)
                    build.store(build.fadd(build.load(cell), total), cell)

    return _void(emit, rows, types.intp, types.intp, types.intp, gram)


@intrinsic
@no_type_check
def pack_tile(_, rows, p, left, shift, panels, panel, row, piece, sums):
    """Set panels[panel, row] to rows[p, left:left+PANEL] less its shift, and add it to sums[piece, panel]."""

    def emit(to, rows, p, left, shift, panels, panel, row, piece, sums):
        source, shifts = to.place(0, p, left), to.place(3, left)
        kept, totals = to.place(4, panel, row, _long(0)), to.place(8, piece, panel, _long(0))
        for offset in (_long(0), _long(LANES)):
            shifted = to.builder.fsub(to.load(source, offset), to.load(shifts, offset))
            to.store(shifted, kept, offset)
            to.store(to.builder.fadd(to.load(totals, offset), shifted), totals, offset)

    return _void(emit, rows, types.intp, types.intp, shift, panels, types.intp, types.intp, types.intp, sums)


@intrinsic
@no_type_check
def outer_tile(_, panels, left, i, right, row, products):
    """Add Σ_p x_p y_pᵀ to products[i:i+ROWS], over the ``DEPTH`` rows p of two panels from ``row`` on.

    ``panels`` float32 [panel, row, ``PANEL``]; x_p is panel ``left``'s row p from column i on, ``ROWS`` of
    it, and y_p all of panel ``right``'s. ``products`` float32 [``PANEL``, ``PANEL``].
    """

    def emit(to, panels, left, i, right, row, products):
        build = to.builder
        x, y = to.place(0, left, row, i), to.place(0, right, row, _long(0))
        sums = [to.sums(2) for _ in range(ROWS)]
        with to.loop(_long(DEPTH), 1) as (p, _):
            at = build.mul(p, _long(PANEL))
            halves = [to.load(y, build.add(at, _long(half * LANES))) for half in range(2)]
            for r in range(ROWS):
                number = to.spread(build.load(build.gep(x, [build.add(at, _long(r))])))
                for half in range(2):
                    to.add_product(sums[r][half], number, halves[half])
        for r in range(ROWS):
            place = to.place(5, build.add(i, _long(r)), _long(0))
            for half in range(2):
                kept = to.load(place, _long(half * LANES))
                to.store(build.fadd(kept, build.load(sums[r][half])), place, _long(half * LANES))

    return _void(emit, panels, types.intp, types.intp, types.intp, types.intp, products)
