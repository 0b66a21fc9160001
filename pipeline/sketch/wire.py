"""The published form of one sketch (`sketch` in ModuleMetrics, base64 of these bytes; docs/sketch-format.md).

Little endian: u8 version (1), u8 bytes per bin (2 or 4), u8 bytes per count (1, 2, 4 or 8), u8 zero, u32 number of bins n,
u64 count of the value zero, n signed bins in rising order, n unsigned counts. Two sketches merge by adding equal bins.
"""

import base64
import struct
from binascii import b2a_base64

import numpy as np

from pipeline.arrays import I8
from pipeline.sketch.mapping import BIN_BITS, BIN_OFFSET, ZERO_BIN

VERSION = 1
_HEADER = struct.Struct("<BBBBIQ")
_I2 = 1 << 15
_COUNT_TYPES = ((1 << 8, "<u1"), (1 << 16, "<u2"), (1 << 32, "<u4"), (1 << 64, "<u8"))


def encode(offset_bins: I8, counts: I8) -> bytes:
    """Encode one module's cells (offset bins in rising order and their counts)."""
    zeros = 0
    if offset_bins.size and offset_bins[0] == ZERO_BIN:
        zeros, offset_bins, counts = int(counts[0]), offset_bins[1:], counts[1:]
    bins = offset_bins - BIN_OFFSET
    largest = int(counts.max()) if counts.size else 0
    count_type = next(name for limit, name in _COUNT_TYPES if largest < limit)
    wide = bool(bins.size) and (int(bins[0]) < -_I2 or int(bins[-1]) >= _I2)
    bin_type = "<i4" if wide else "<i2"
    header = _HEADER.pack(VERSION, int(bin_type[2]), int(count_type[2]), 0, bins.size, zeros)
    return header + bins.astype(bin_type).tobytes() + counts.astype(count_type).tobytes()


def decode(data: bytes) -> tuple[I8, I8]:
    """The inverse of `encode`.

    Raises:
        ValueError: not a sketch of version 1, or its length does not fit its header.
    """
    if len(data) < _HEADER.size:
        raise ValueError(f"a sketch has at least {_HEADER.size} bytes, got {len(data)}")
    version, bin_bytes, count_bytes, _, size, zeros = _HEADER.unpack_from(data)
    if version != VERSION or bin_bytes not in (2, 4) or count_bytes not in (1, 2, 4, 8):
        raise ValueError(f"not a sketch of version {VERSION}: header {data[: _HEADER.size].hex()}")
    middle = _HEADER.size + size * bin_bytes
    if len(data) != middle + size * count_bytes:
        raise ValueError(f"a sketch of {size} bins has {middle + size * count_bytes} bytes, got {len(data)}")
    bins = np.frombuffer(data, f"<i{bin_bytes}", size, _HEADER.size).astype(np.int64) + BIN_OFFSET
    counts = np.frombuffer(data, f"<u{count_bytes}", size, middle).astype(np.int64)
    if zeros:
        bins, counts = np.concatenate(([ZERO_BIN], bins)), np.concatenate(([zeros], counts))
    return bins, counts


def encode_modules(keys: I8, counts: I8) -> dict[int, str]:
    """Encode the sorted cells of many modules: module code -> base64 text of what `encode` gives.

    The columns are turned into bytes once and cut per module: one `encode` each would cost ten numpy calls a module.
    """
    if not keys.size:
        return {}
    codes = keys >> BIN_BITS
    bins = keys & ((1 << BIN_BITS) - 1)
    starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
    ends = np.append(starts[1:], keys.size)
    zeros = np.where(bins[starts] == ZERO_BIN, counts[starts], 0)
    firsts = starts + (zeros > 0)
    nonzero = np.where(bins == ZERO_BIN, 0, counts)
    widths = np.searchsorted(
        [limit - 1 for limit, _ in _COUNT_TYPES], np.maximum.reduceat(nonzero, starts).astype(np.uint64)
    )
    signed = bins - BIN_OFFSET
    wide = bool((firsts < ends).any()) and (
        int(signed[bins != ZERO_BIN].min(initial=0)) < -_I2 or int(signed.max()) >= _I2
    )
    if wide:  # values beyond 1e284 or below 1e-285: rare enough to go one by one
        return {
            int(codes[a]): base64.b64encode(encode(bins[a:b], counts[a:b])).decode("ascii")
            for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
        }
    bin_bytes = signed.astype("<i2").tobytes()
    columns = {width: counts.astype(_COUNT_TYPES[width][1]).tobytes() for width in np.unique(widths).tolist()}
    encoded = {}
    rows = zip(codes[starts].tolist(), firsts.tolist(), ends.tolist(), zeros.tolist(), widths.tolist(), strict=True)
    for code, first, end, zero, width in rows:
        size = 1 << width
        header = _HEADER.pack(VERSION, 2, size, 0, end - first, zero)
        body = header + bin_bytes[2 * first : 2 * end] + columns[width][size * first : size * end]
        encoded[code] = b2a_base64(body, newline=False).decode("ascii")
    return encoded
