"""Writes series as bodies of remote write 1.0, by hand: protobuf in snappy's block format."""

import struct

from series import STALE, Native

STALE_BITS = 0x7FF0000000000002
NAN_BITS = 0x7FF8000000000001


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def double(number, value):
    if value == STALE:
        bits = struct.pack("<Q", STALE_BITS)
    elif value != value:
        bits = struct.pack("<Q", NAN_BITS)
    else:
        bits = struct.pack("<d", value)
    return varint(number << 3 | 1) + bits


def integer(number, value):
    return varint(number << 3) + varint(value)


def sample(milliseconds, value):
    return field(2, double(1, value) + integer(2, milliseconds))


def buckets(pairs):
    """Spans and deltas: a span is the distance from the end of the one before, and a length."""
    spans, deltas, next_index, before = [], [], 0, 0
    for index, count in pairs:
        if spans and index == next_index:
            spans[-1][1] += 1
        else:
            spans.append([index - next_index, 1])
        deltas.append(count - before)
        next_index, before = index + 1, count
    return spans, deltas


def native(milliseconds, histogram):
    body = integer(1, histogram.count) + double(3, histogram.sum)
    body += varint(4 << 3) + zigzag(histogram.schema)
    body += double(5, histogram.zero_threshold) + integer(6, histogram.zero_count)
    for number, pairs in ((8, histogram.negative), (11, histogram.positive)):
        spans, deltas = buckets(pairs)
        for offset, length in spans:
            body += field(number, varint(1 << 3) + zigzag(offset) + integer(2, length))
        body += field(number + 1, b"".join(zigzag(delta) for delta in deltas)) if deltas else b""
    body += integer(14, 3 if histogram.is_gauge else 0)
    body += integer(15, milliseconds)
    if histogram.custom:
        body += field(16, b"".join(struct.pack("<d", bound) for bound in histogram.custom))
    return field(4, body)


def time_series(series):
    body = bytearray()
    for name, value in sorted(series.labels.items()):
        body += field(1, field(1, name.encode()) + field(2, value.encode())) if value else b""
    for milliseconds, value in series.samples:
        body += native(milliseconds, value) if isinstance(value, Native) else sample(milliseconds, value)
    return field(1, bytes(body))


def snappy(body):
    """Snappy's block format without any compression: literals only."""
    out = bytearray(varint(len(body)))
    for start in range(0, len(body), 1 << 16):
        piece = body[start : start + (1 << 16)]
        out += bytes([61 << 2]) + struct.pack("<H", len(piece) - 1) + piece
    return bytes(out)


def request(series):
    """A body with all samples of the series."""
    return snappy(b"".join(time_series(one) for one in series))


HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
