#!/usr/bin/env python3
"""Asks Prometheus and Mihari the same generated questions about the same samples, and shows where they differ.

Both profiles are compared: `extended` with a Prometheus that has its feature flags on, `prometheus` with a stock one.
Fails when an answer differs without a reason that `explain.py` knows, or a reason explains more than its share.
"""

import argparse
import collections
import contextlib
import random
import sys
import tempfile
import time

import compare
import explain
import grammar
import series
import servers

HOUR = 3600
"""The samples are of one hour, which ends when the run begins."""

STEPS = [15, 30, 60, 60, 47, 300]
"""Seconds from one step of a range query to the next."""

LOOKBACKS = [None] * 12 + ["15s", "1m", "20m", "0.5"]
"""How far back a query looks for a sample, mostly as far as usual."""

ATTEMPTS = 6
"""How often Prometheus is asked again: where it contradicts itself, its answer is one of several right ones."""


def questions(seed, profile, count, end):
    """Half of them at one time, half over a range."""
    start = end - HOUR
    source = grammar.Grammar(seed, profile == "extended", start, end)
    chance = random.Random(f"{seed}/times")
    for _ in range((count + 1) // 2):
        text = source.expression()
        at = chance.choice([end, end - chance.randint(0, HOUR), end - HOUR // 2, end + chance.randint(0, 400)])
        lookback = chance.choice(LOOKBACKS)
        yield servers.Question(text, at, at, lookback=lookback)
        first, step = end - chance.randint(600, HOUR), chance.choice(STEPS)
        yield servers.Question(text, first, min(first + step * chance.randint(1, 40), end + 300), step, lookback)


class Report:
    """What became of the questions of each profile."""

    def __init__(self):
        self.counts = {profile: collections.Counter() for profile in servers.PROFILES}
        self.reasons = collections.Counter()

    def add(self, profile, kind):
        self.counts[profile]["queries"] += 1
        self.counts[profile][kind] += 1

    def show(self):
        columns = ["queries", "equal", "errors equal", "explained", "different"]
        print(f"\n{'profile':<12}" + "".join(f"{column:>14}" for column in columns))
        for profile, counts in self.counts.items():
            if counts["queries"]:
                print(f"{profile:<12}" + "".join(f"{counts[column]:>14}" for column in columns))
        for name, count in sorted(self.reasons.items()):
            print(f"  {name.replace('_', ' ')}: {count}")

    def problems(self):
        """What makes the run fail."""
        total = sum(counts["queries"] for counts in self.counts.values())
        different = sum(counts["different"] for counts in self.counts.values())
        found = [f"{different} answers differ without a reason"] if different else []
        for name, count in self.reasons.items():
            allowed = max(8, explain.SHARES[name] * total)
            if count > allowed:
                found.append(f"{name} explains {count} differences, allowed are {allowed:.0f}")
        return found


def contradicts_itself(prometheus, question, answer):
    """Whether the answer of Prometheus changes when it is asked again."""
    again = (prometheus.ask(question) for _ in range(ATTEMPTS))
    return any(compare.difference(one, answer, explain.is_ordered(question.query)) for one in again)


def judge(report, profile, question, prometheus, mihari):
    theirs, ours = prometheus.ask(question), mihari.ask(question)
    difference = compare.difference(ours, theirs, explain.is_ordered(question.query))
    if difference is None:
        report.add(profile, "equal" if ours["status"] == "success" else "errors equal")
        return
    reason = explain.explain(question, ours, theirs, difference)
    if reason is None and contradicts_itself(prometheus, question, theirs):
        reason = explain.PROMETHEUS_VARIES
    if reason is None:
        report.add(profile, "different")
        when = question.start if question.step is None else (question.start, question.end, question.step)
        print(f"[{profile}] {question.query}\n    at {when}, {question.lookback}\n    {difference[:600]}", flush=True)
        return
    report.add(profile, "explained")
    report.reasons[reason] += 1


def compare_profile(options, folder, profile, samples, end, report):
    with contextlib.ExitStack() as stack:
        prometheus = stack.enter_context(servers.prometheus(options.prometheus, folder, profile))
        mihari = stack.enter_context(servers.mihari(options.mihari, folder, profile))
        for server in (prometheus, mihari):
            server.write(samples)
        for question in questions(options.seed, profile, options.queries // 2, end):
            judge(report, profile, question, prometheus, mihari)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mihari", required=True, help="the program")
    parser.add_argument("--prometheus", required=True, nargs="+", help="the program, with what starts it before it")
    parser.add_argument("--queries", type=int, default=2000, help="how many, over both profiles")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end = int(time.time()) // 60 * 60
    samples = series.make(options.seed, end * 1000)
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for profile in servers.PROFILES:
            compare_profile(options, folder, profile, samples, end, report)
    report.show()
    problems = report.problems()
    print("\n".join(problems) or f"seed {options.seed}: no difference without a reason")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
