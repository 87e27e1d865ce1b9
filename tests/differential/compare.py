"""Whether two answers are the same, and if not, in what they differ."""

import json
import math

TOLERANCE = 1e-9
"""How far numbers may be apart, relative to the greater one."""


def close(left, right):
    texts = left, right
    left, right = float(left), float(right)
    if left == right and texts[0] != texts[1]:
        # The same number is written in the same way.
        return left == 0
    if left == right or (math.isnan(left) and math.isnan(right)):
        return True
    return math.isclose(left, right, rel_tol=TOLERANCE)


def difference(ours, theirs, is_ordered):
    """What differs first, as a text; nothing when the answers are the same."""
    if ours["status"] != theirs["status"]:
        return f"status: {brief(ours)} and {brief(theirs)}"
    if ours["status"] == "error":
        return error_difference(ours, theirs)
    return data_difference(ours["data"], theirs["data"], is_ordered) or note_difference(ours, theirs)


def error_difference(ours, theirs):
    for what in ("code", "errorType", "error"):
        if ours[what] != theirs[what]:
            return f"{what}: {ours[what]!r} and {theirs[what]!r}"
    return None


def note_difference(ours, theirs):
    for what in ("warnings", "infos"):
        left, right = sorted(ours.get(what) or []), sorted(theirs.get(what) or [])
        # Of more than ten each server shows ten, and Prometheus not always the same.
        if left != right and not (len(left) == len(right) > 10):
            return f"{what}: {[one for one in left if one not in right]} and {[one for one in right if one not in left]}"
    return None


def data_difference(ours, theirs, is_ordered):
    kind = ours["resultType"]
    if kind != theirs["resultType"]:
        return f"type: {kind} and {theirs['resultType']}"
    left, right = ours["result"], theirs["result"]
    if kind == "string":
        return None if left == right else f"string: {left} and {right}"
    if kind == "scalar":
        return None if left[0] == right[0] and close(left[1], right[1]) else f"scalar: {left} and {right}"
    if kind == "vector" and is_ordered:
        names = [[json.dumps(one["metric"], sort_keys=True) for one in side] for side in (left, right)]
        values = [[one.get("value", [None])[-1] for one in side] for side in (left, right)]
        # Of equal numbers either may come first, where numbers decide.
        by_number = is_ordered != "sort_by_label" and values[0] == values[1]
        if names[0] != names[1] and sorted(names[0]) == sorted(names[1]) and not by_number:
            return f"order: {names[0]} and {names[1]}"
    return series_difference(left, right)


def series_difference(left, right):
    sides = [by_labels(side) for side in (left, right)]
    missing = sorted(sides[1].keys() - sides[0].keys())
    surplus = sorted(sides[0].keys() - sides[1].keys())
    if missing or surplus:
        return f"series: only ours {surplus[:2]}, only theirs {missing[:2]}"
    if len(left) != len(right):
        return f"series: {len(left)} and {len(right)}, some twice"
    for labels, ours in sides[0].items():
        theirs = sides[1][labels]
        for time in sorted(ours.keys() | theirs.keys()):
            found = sample_difference(ours.get(time), theirs.get(time))
            if found:
                return f"{found} of {labels} at {time}"
    return None


def by_labels(result):
    return {json.dumps(one["metric"], sort_keys=True, ensure_ascii=False): samples(one) for one in result}


def samples(one):
    """Of one series: time to number or histogram."""
    numbers = one.get("values") or ([one["value"]] if "value" in one else [])
    histograms = one.get("histograms") or ([one["histogram"]] if "histogram" in one else [])
    return {time: value for time, value in [*numbers, *histograms]}


def sample_difference(ours, theirs):
    if ours is None or theirs is None:
        return f"sample: {ours} and {theirs}"
    if isinstance(ours, dict) != isinstance(theirs, dict):
        return f"kind of sample: {ours} and {theirs}"
    if isinstance(ours, dict):
        return histogram_difference(ours, theirs)
    return None if close(ours, theirs) else f"value: {ours} and {theirs}"


def histogram_difference(ours, theirs):
    for what in ("count", "sum"):
        if not close(ours[what], theirs[what]):
            return f"histogram {what}: {ours[what]} and {theirs[what]}"
    left, right = ours.get("buckets") or [], theirs.get("buckets") or []
    if len(left) != len(right):
        return f"histogram buckets: {left} and {right}"
    for one, other in zip(left, right):
        if one[0] != other[0] or not all(close(*pair) for pair in zip(one[1:], other[1:])):
            return f"histogram bucket: {one} and {other}"
    return None


def brief(answer):
    if answer["status"] == "error":
        return f"{answer['code']} {answer['errorType']} {answer['error']!r}"
    return json.dumps(answer["data"], ensure_ascii=False)[:200]
