"""Recorded remote-write bodies, sent as if they had been recorded at another time."""

import struct


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _as_varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unsnappy(data):
    size, at = _varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at : at + extra], "little")
                at += extra
            out += data[at : at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, offset, step = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[at], 1
        else:
            step = 2 if tag & 3 == 2 else 4
            length, offset = (tag >> 2) + 1, int.from_bytes(data[at : at + step], "little")
        at += step
        for _ in range(length):
            out.append(out[-offset])
    assert len(out) == size, "a broken recording"
    return bytes(out)


def snappy(data):
    """The same bytes as literals: legal, if not small."""
    out = bytearray(_as_varint(len(data)))
    for start in range(0, len(data), 1 << 16):
        piece = data[start : start + (1 << 16)]
        out += bytes([61 << 2]) + (len(piece) - 1).to_bytes(2, "little") + piece
    return bytes(out)


def _fields(data):
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 2:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        else:
            value, at = _varint(data, at)
        yield key, value


def _field(key, value):
    if key & 7 == 2:
        return _as_varint(key) + _as_varint(len(value)) + value
    return _as_varint(key) + (value if key & 7 == 1 else _as_varint(value))


def _series(body):
    return [series for key, series in _fields(body) if key >> 3 == 1]


def _labels(series):
    pairs = [dict(_fields(label)) for key, label in _fields(series) if key >> 3 == 1]
    return {pair[10].decode(): pair.get(18, b"").decode() for pair in pairs}


def label_sets(recorded):
    """The labels of every series of a recording."""
    return [_labels(series) for series in _series(unsnappy(recorded))]


def moved(recorded, newest_ms):
    """The recording with its newest sample at a time, and all others as far before it as they were."""
    body = unsnappy(recorded)
    samples = [dict(_fields(sample)) for series in _series(body) for key, sample in _fields(series) if key >> 3 == 2]
    by_ms = newest_ms - max(sample[16] for sample in samples)

    def move(sample):
        return b"".join(_field(key, value + by_ms if key == 16 else value) for key, value in _fields(sample))

    def move_all(series):
        return b"".join(_field(key, move(value) if key >> 3 == 2 else value) for key, value in _fields(series))

    return snappy(b"".join(_field(key, move_all(value) if key >> 3 == 1 else value) for key, value in _fields(body)))


def written(*all_series):
    """A body with these series: of each its labels, and pairs of milliseconds and value."""
    body = b""
    for labels, samples in all_series:
        series = b"".join(_field(10, _field(10, n.encode()) + _field(18, v.encode())) for n, v in sorted(labels.items()))
        series += b"".join(_field(18, _field(9, struct.pack("<d", value)) + _field(16, ms)) for ms, value in samples)
        body += _field(10, series)
    return snappy(body)
