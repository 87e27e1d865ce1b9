"""Feeds three servers the same samples, asks them the same, and prints what each answer took of the processor."""

import argparse
import json
import math
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "aws"))
from remote_write import _as_varint, _field, snappy  # noqa: E402

STEP = 15
SAMPLES = 230
INSTANCES = 100
MODES = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"]

# Name, expression, whether it is asked at 81 steps of 15 s, else once.
QUERIES = [
    ("sum of rates, 81 steps", "sum(rate(x_total[5m]))", True),
    ("sum of rates, instant", "sum(rate(x_total[5m]))", False),
    ("sum by instance, 81 steps", "sum by (instance) (rate(x_total[5m]))", True),
    ("one series, 81 steps", 'x_total{instance="10.0.0.7:9100",cpu="0",mode="idle"}', True),
    ("all series, 81 steps", "x_total", True),
    ("all series, instant", "x_total", False),
    ("top five, 81 steps", "topk(5, rate(x_total[5m]))", True),
    ("join, 81 steps", "x_total / on (instance) group_left () sum by (instance) (x_total)", True),
    ("averages, 81 steps", "avg by (mode) (avg_over_time(x_total[5m]))", True),
    ("subquery, instant", "max_over_time(sum(rate(x_total[5m]))[10m:15s])", False),
    ("quantile of buckets, 81 steps", "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))", True),
]
BOUNDS = ["0.01", "0.1", "0.5", "1", "5", "+Inf"]


def series():
    """Labels and the value of each sample."""
    for instance in range(INSTANCES):
        host = f"10.0.0.{instance}:9100"
        for cpu in range(2):
            for number, mode in enumerate(MODES):
                slope = 0.37 * (number + 1) + 0.01 * instance + 0.13 * cpu
                labels = {"__name__": "x_total", "job": "node", "instance": host, "cpu": str(cpu), "mode": mode}
                # Every counter is reset once.
                reset = (instance * 7 + number) % SAMPLES
                yield labels, [round((step if step < reset else step - reset) * slope, 2) for step in range(SAMPLES)]
        for number, bound in enumerate(BOUNDS):
            labels = {"__name__": "h_bucket", "job": "api", "instance": host, "le": bound}
            yield labels, [float(step * (number + 1) * (1 + instance % 3)) for step in range(SAMPLES)]


def bodies(start_ms, per_body=40):
    """Remote writes in the order of time, as a sender would have sent them."""
    names = []
    for labels, values in series():
        texts = b"".join(
            _field(0x0A, _field(0x0A, name.encode()) + _field(0x12, labels[name].encode())) for name in sorted(labels)
        )
        names.append((texts, values))
    for first in range(0, SAMPLES, per_body):
        body = bytearray()
        for texts, values in names:
            samples = b"".join(
                _field(0x12, b"\x09" + struct.pack("<d", values[step]) + b"\x10" + _as_varint(start_ms + step * STEP * 1000))
                for step in range(first, min(first + per_body, SAMPLES))
            )
            body += _field(0x0A, texts + samples)
            if len(body) > 500_000:
                yield snappy(bytes(body))
                body = bytearray()
        if body:
            yield snappy(bytes(body))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, command, port, write, query):
        self.name, self.url = name, f"http://127.0.0.1:{port}"
        self.write_path, self.query_path = write, query
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.get("/-/healthy")
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{name} does not answer")

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return reply.read()

    def write(self, body):
        headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        request = urllib.request.Request(self.url + self.write_path, body, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            assert reply.status // 100 == 2, reply.status

    def ask(self, expr, is_range, end):
        params = {"query": expr, "nocache": "1"}
        if is_range:
            params |= {"start": end - 80 * STEP, "end": end, "step": STEP}
        else:
            params["time"] = end
        path = "/api/v1/query_range?" if is_range else "/api/v1/query?"
        return self.get(self.query_path + path + urllib.parse.urlencode(params))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_all(mihari, folder):
    ports = [free_port() for _ in range(3)]
    config = folder / "prometheus.yml"
    config.write_text("global:\n  scrape_interval: 1h\n")
    return [
        Server(
            "mihari",
            [mihari, "serve", "--listen", f"127.0.0.1:{ports[0]}", "--data-dir", folder / "mihari", "--no-host-metrics"],
            ports[0], "/api/v1/write", "",
        ),
        Server(
            "prometheus",
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}",
             f"--web.listen-address=127.0.0.1:{ports[1]}", "--web.enable-remote-write-receiver"],
            ports[1], "/api/v1/write", "",
        ),
        Server(
            "victoria",
            ["victoria-metrics", f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{ports[2]}",
             "-search.latencyOffset=0s", "-search.disableCache"],
            ports[2], "/api/v1/write", "/prometheus",
        ),
    ]


def answers(reply):
    """Values by labels and time."""
    found = {}
    for one in json.loads(reply)["data"]["result"]:
        labels = tuple(sorted(one["metric"].items()))
        for time_, value in one.get("values") or [one["value"]]:
            found[labels, float(time_)] = float(value)
    return found


def differences(ours, theirs):
    """How many samples differ by more than rounding, or are on one side only."""
    def same(key):
        left, right = ours.get(key), theirs.get(key)
        if left is None or right is None:
            return False
        return math.isclose(left, right, rel_tol=1e-9) or (math.isnan(left) and math.isnan(right))
    return sum(not same(key) for key in ours.keys() | theirs.keys())


def timed(server, query, end, runs):
    """CPU and wall milliseconds of one answer."""
    _, expr, is_range = query
    cpu, wall = server.cpu_seconds(), time.monotonic()
    for _ in range(runs):
        server.ask(expr, is_range, end)
    return [(after - before) * 1000 / runs for after, before in
            ((server.cpu_seconds(), cpu), (time.monotonic(), wall))]


def measure(servers, query, end, runs, rounds=3):
    """The best round of each server, the servers taking turns."""
    best = {}
    for _ in range(rounds):
        for server in servers:
            cpu, wall = timed(server, query, end, runs)
            known = best.get(server.name, (math.inf, math.inf))
            best[server.name] = (min(known[0], cpu), min(known[1], wall))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mihari", required=True)
    parser.add_argument("--runs", type=int, default=20)
    args = parser.parse_args()
    # No sample, no step and no step of a subquery falls on the edge of a window: old servers count both edges in, new
    # ones only the later one.
    end = int(time.time()) // STEP * STEP - STEP + 2
    start_ms = (end - 6 - (SAMPLES - 1) * STEP) * 1000
    with tempfile.TemporaryDirectory() as folder:
        servers = []
        try:
            servers = start_all(args.mihari, pathlib.Path(folder))
            for body in bodies(start_ms):
                for server in servers:
                    server.write(body)
            time.sleep(3)
            failed = report(servers, end, args.runs)
        finally:
            for server in servers:
                server.process.kill()
                server.process.wait()
    return failed


def report(servers, end, runs):
    """Prints the table; how many answers differ from those of Prometheus."""
    mihari, prometheus, victoria = servers
    print(f"CPU ms an answer with its JSON (wall ms), best of 3 rounds of {runs}; {INSTANCES * 16} series of a counter")
    print(f"{'query':32}{'mihari':>16}{'prometheus':>18}{'victoria':>18}{'prom/mihari':>13}{'vm/mihari':>11}  differ")
    failed = 0
    for query in QUERIES:
        found = [answers(server.ask(query[1], query[2], end)) for server in servers]
        assert found[0], f"no answer to {query[1]}"
        differ = differences(found[0], found[1])
        failed += differ > 0
        best = measure(servers, query, end, runs)
        cpu = [max(best[server.name][0], 1e-3) for server in (mihari, prometheus, victoria)]
        cells = [f"{best[server.name][0]:.2f} ({best[server.name][1]:.1f})" for server in servers]
        print(f"{query[0]:32}{cells[0]:>16}{cells[1]:>18}{cells[2]:>18}{cpu[1] / cpu[0]:>13.1f}{cpu[2] / cpu[0]:>11.1f}"
              f"  {differ}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
