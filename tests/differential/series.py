"""The samples both servers get: made to hurt.

Counters that start over, gaps, staleness markers, numbers that are none, series that begin late or end early, classic
histograms whose bounds are written in odd ways, native histograms of every kind, names that need quotes.
"""

import dataclasses
import math
import random

INTERVAL_MS = 15_000
STEPS = 240
"""An hour of samples, one every 15 s."""

STALE = "stale"
"""Stands for the marker that ends a series."""


@dataclasses.dataclass
class Native:
    """A native histogram: buckets are pairs of index and count; custom bounds make it one with custom buckets."""

    schema: int
    count: int
    sum: float
    positive: list
    negative: list
    zero_count: int = 0
    zero_threshold: float = 0.0
    custom: tuple = ()
    is_gauge: bool = False


@dataclasses.dataclass
class Series:
    """One label set with its samples: milliseconds and a number, `STALE` or a native histogram."""

    labels: dict
    samples: list


def make(seed, end_ms):
    """All series, in the order of their labels, which decides between equals."""
    chance = random.Random(seed)
    start_ms = end_ms - STEPS * INTERVAL_MS
    series = []

    def add(name, labels, value):
        # The targets of one scrape share their times; some targets are late by a few milliseconds.
        jitter = chance.choice([0, 0, 0, 7, 2_500])
        samples = []
        for step in range(STEPS):
            found = value(step)
            if found is not None:
                samples.append((start_ms + step * INTERVAL_MS + jitter, found))
        series.append(Series({"__name__": name, **labels}, samples))

    for part in (counters, gauges, odd_shapes, classic_histograms, native_histograms, names, infos, dates):
        part(chance, add)
    series.sort(key=lambda one: sorted(one.labels.items()))
    return series


def counter(chance, *, gaps=0.0, resets=0.01, growth=5.0, marker=0.0, fraction=False):
    """A running total that starts over now and then."""
    total = [chance.choice([0.0, 0.0, 17.0, 1e6])]

    def value(_):
        if chance.random() < gaps:
            return None
        if chance.random() < marker:
            return STALE
        if chance.random() < resets:
            total[0] = 0.0
        grown = chance.expovariate(1 / growth)
        total[0] += grown if fraction else float(int(grown))
        return total[0]

    return value


def counters(chance, add):
    for job in ("api", "web"):
        for instance in ("a:1", "b:1", "c:1"):
            for code in ("200", "404", "500"):
                if (job, instance) == ("web", "c:1") and code != "200":
                    continue
                labels = {"job": job, "instance": instance, "code": code}
                gaps, marker = chance.choice([(0.0, 0.0), (0.1, 0.0), (0.02, 0.01)])
                add("requests_total", labels, counter(chance, gaps=gaps, marker=marker))
            labels = {"job": job, "instance": instance}
            add("errors_total", labels, counter(chance, growth=0.3, resets=0.02))
            add("cpu_seconds_total", {**labels, "mode": "idle"}, counter(chance, fraction=True, resets=0.005))
            add("cpu_seconds_total", {**labels, "mode": "user"}, counter(chance, fraction=True, growth=0.01))


def gauges(chance, add):
    for instance in ("a:1", "b:1", "c:1"):
        for zone in ("x", "y"):
            labels = {"instance": instance, "zone": zone}
            add("temperature", labels, lambda _: round(chance.gauss(5, 20), chance.choice([0, 1, 3])))
        add("queue", {"instance": instance, "job": "api"}, lambda _: float(chance.randint(0, 4)))
        add("up", {"instance": instance, "job": "api"}, lambda _: float(chance.random() < 0.9))
    odd = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 2.5]
    add("odd", {"kind": "mostly_numbers"}, lambda step: chance.choice(odd) if step % 9 == 0 else float(step % 7))
    add("odd", {"kind": "any"}, lambda _: chance.choice(odd))
    add("odd", {"kind": "nan"}, lambda _: math.nan)
    add("odd", {"kind": "inf"}, lambda _: math.inf)
    add("constant", {"instance": "a:1"}, lambda _: 3.0)
    add("constant", {"instance": "b:1"}, lambda _: -3.0)
    add("large", {"sign": "both"}, lambda _: chance.choice([1e308, -1e308, 1.7e308, 1.0]))
    add("large", {"sign": "small"}, lambda _: chance.choice([1e-308, 5e-324, 1e-9]))
    add("large", {"sign": "exact"}, lambda step: 9_007_199_254_740_992.0 + 2 * step)


def odd_shapes(chance, add):
    add("sparse", {"every": "4m"}, lambda step: float(step) if step % 16 == 0 else None)
    add("sparse", {"every": "6m"}, lambda step: float(step) if step % 24 == 0 else None)
    add("late", {"job": "api"}, lambda step: float(step) if step > 150 else None)
    add("early", {"job": "api"}, lambda step: float(step) if step < 120 else None)
    add("ended", {"job": "api"}, lambda step: STALE if step == 130 else float(step) if step < 130 else None)
    add("flaky", {"job": "api"}, lambda step: STALE if step % 20 == 19 else float(step % 20))
    add("flaky", {"job": "web"}, lambda _: STALE if chance.random() < 0.3 else chance.choice([1.0, 2.0, math.nan]))
    add("once", {"job": "api"}, lambda step: 42.0 if step == 180 else None)


BOUNDS = {
    "plain": ["0.1", "0.5", "1", "5", "+Inf"],
    "written": ["0.100", "5e-1", "1.0", "+5", "Inf"],
    "no_infinity": ["0.1", "1", "10"],
    "negative": ["-1", "0", "2", "+Inf"],
    "nonsense": ["0.1", "many", "1", "+Inf"],
    "infinity_only": ["+Inf"],
    "twice": ["1", "1.0", "2", "+Inf"],
}


def classic_histograms(chance, add):
    for kind, bounds in BOUNDS.items():
        for job in ("api", "web"):
            counts = [0.0] * len(bounds)

            def observe(index, counts=counts, kind=kind):
                def value(step):
                    if index == 0 and step == 140:
                        counts[:] = [0.0] * len(counts)
                    if index == 0:
                        hit = chance.choices(range(len(counts)), k=chance.randint(0, 5))
                        for number in range(len(counts)):
                            counts[number] += sum(1 for one in hit if one <= number)
                    if kind == "twice" and step % 17 == 0 and index == 1:
                        return counts[index] - 1.0
                    return counts[index]

                return value

            columns = [[] for _ in bounds]
            reads = [observe(index) for index in range(len(bounds))]
            for step in range(STEPS):
                for index, read in enumerate(reads):
                    columns[index].append(read(step))
            for index, bound in enumerate(bounds):
                labels = {"kind": kind, "job": job, "le": bound}
                add("latency_seconds_bucket", labels, columns[index].__getitem__)
    add("latency_seconds_bucket", {"kind": "no_bound", "job": "api"}, counter(chance))


def exponential(chance, schema, *, gauge=False, reset=0.02, narrow=None):
    """A histogram that takes observations; its schema changes in between when `narrow` says when.

    It begins, and starts over, with a hundred observations: Prometheus 3.5 extrapolates below zero, newer ones do not,
    and with so many none of them needs to.
    """
    positive, negative, state = {}, {}, {}

    def start():
        positive.clear()
        negative.clear()
        positive.update({1: 60, 3: 20})
        negative.update({0: 10})
        state.update(count=100, sum=100.0, zero=10)

    def value(step):
        if not state or chance.random() < reset:
            start()
        for _ in range(chance.randint(0, 4)):
            where = chance.choice(["up", "up", "up", "down", "zero"])
            observed = 0.0 if where == "zero" else chance.choice([0.3, 1.0, 1.5, 2.0, 7.0, 80.0])
            state["count"] += 1
            if where == "zero":
                state["zero"] += 1
                continue
            index = math.ceil(math.log2(observed) * 2**schema - 1e-12)
            buckets = positive if where == "up" else negative
            buckets[index] = buckets.get(index, 0) + 1
            state["sum"] += observed if where == "up" else -observed
        shown = schema
        pairs = [sorted(positive.items()), sorted(negative.items())]
        if narrow is not None and step >= narrow:
            shown = schema - 1
            pairs = [coarser(one) for one in pairs]
        threshold = 0.001 if step < 120 or gauge else 0.25
        return Native(shown, state["count"], state["sum"], *pairs, state["zero"], threshold, is_gauge=gauge)

    return value


def coarser(pairs):
    """The same buckets in a schema one lower: two neighbours become one."""
    merged = {}
    for index, count in pairs:
        merged[(index + 1) // 2] = merged.get((index + 1) // 2, 0) + count
    return sorted(merged.items())


def custom(chance, bounds, change=None):
    """A histogram with bounds of its own, which may change in between."""
    counts = dict.fromkeys(range(len(bounds) + 1), 30)
    state = {"sum": 100.0}

    def value(step):
        for _ in range(chance.randint(0, 4)):
            index = chance.randint(0, len(bounds))
            counts[index] = counts.get(index, 0) + 1
            state["sum"] += (bounds + (bounds[-1] * 2,))[index]
        shown = change if change and step >= 130 else bounds
        return Native(-53, sum(counts.values()), state["sum"], sorted(counts.items()), [], custom=shown)

    return value


def native_histograms(chance, add):
    for instance in ("a:1", "b:1"):
        add("native_seconds", {"job": "api", "instance": instance}, exponential(chance, 1))
    add("native_seconds", {"job": "web", "instance": "a:1"}, exponential(chance, 2, narrow=100))
    add("native_gauge", {"job": "api"}, exponential(chance, 0, gauge=True, reset=0.1))
    add("native_gauge", {"job": "web"}, exponential(chance, 3, gauge=True, reset=0.1))
    add("native_custom", {"job": "api"}, custom(chance, (0.5, 1.0, 5.0)))
    add("native_custom", {"job": "web"}, custom(chance, (0.5, 1.0, 5.0)))
    add("native_bounds", {"job": "web"}, custom(chance, (0.5, 1.0, 5.0), (0.5, 2.0, 5.0)))
    add("native_bounds", {"job": "zoo"}, custom(chance, (1.0, 5.0)))
    native, number = exponential(chance, 1, reset=0.0), counter(chance)
    add("mixed_seconds", {"job": "api"}, lambda step: native(step) if step % 40 < 20 else number(step))
    ended = exponential(chance, 0)
    add("mixed_seconds", {"job": "web"}, lambda step: STALE if step % 50 == 49 else ended(step))
    add("mixed_seconds", {"job": "zoo"}, counter(chance))


def names(chance, add):
    for path in ("/", "/ü", 'say "hi"\n', "a\\b"):
        add("http.requests", {"http.path": path, "job": "api"}, counter(chance))
    add("温度", {"場所": "東京"}, lambda _: round(chance.gauss(15, 5), 1))
    add("rule:requests:rate5m", {"job": "api"}, lambda _: round(chance.random(), 3))
    add("no_labels", {}, lambda _: float(chance.randint(0, 9)))


def infos(chance, add):
    for instance, version in (("a:1", "1.0"), ("b:1", "1.1"), ("c:1", "")):
        for job in ("api", "web"):
            add("target_info", {"job": job, "instance": instance, "version": version, "data": job[0]}, lambda _: 1.0)
        add("build_info", {"job": "api", "instance": instance, "revision": instance[0]}, lambda _: 1.0)
        add("owner", {"instance": instance, "team": instance[0] * 2}, lambda _: 1.0)
    # Two versions at once for a while.
    replaced = {"job": "api", "instance": "a:1", "version": "2.0", "data": "a"}
    add("target_info", replaced, lambda step: 1.0 if step > 200 else None)


def dates(chance, add):
    times = [0.0, -1.0, 951_782_400.0, 1_709_251_199.5, 4_102_444_800.0, 1e11, 86_399.999, -86_401.0]
    for number, time in enumerate(times):
        add("moment", {"n": str(number)}, lambda step, time=time: time + 86_400.0 * 31 * (step // 30))
    add("moment", {"n": "none"}, lambda _: chance.choice([math.nan, math.inf, 0.0]))
