#!/usr/bin/env python3
"""Prometheus and vmagent deliver to Mihari; Mihari answers as Prometheus does, and a breach reaches its webhook."""

import argparse
import contextlib
import http.server
import json
import math
import multiprocessing
import pathlib
import subprocess
import tempfile
import threading
import time

from machine import fetch, fetch_json, free_port, running, start_mihari, wait_for

RULES = """
groups:
- name: load
  interval: 15s
  rules:
  - alert: Busy
    expr: 100 * (1 - avg by (job) (rate(node_cpu_seconds_total{job="node", mode="idle"}[30s]))) > 95
    for: 1m
    labels: {severity: critical, team: ops}
    annotations:
      summary: 'CPU {{ $value | printf "%.0f" }} %'
      description: 'CPU使用率が95%を超えています'
      impact: '応答が遅くなります'
      action: '負荷を確認してください'
"""

ROUTES = """
route: {{receiver: desk, group_wait: 0s, group_interval: 15s, repeat_interval: 4h}}
receivers:
- name: desk
  webhook_configs: [{{url: 'http://127.0.0.1:{port}/generic', send_resolved: true}}]
  slack_configs: [{{api_url: 'http://127.0.0.1:{port}/slack', channel: '#alerts-critical', send_resolved: true}}]
  email_configs: [{{to: ops@example.com, from: mihari@example.com, send_resolved: true}}]
"""


class Desk(http.server.ThreadingHTTPServer):
    """Keeps what the webhooks bring."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), DeskHandler)
        self.received = []


class DeskHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers.get("Idempotency-Key"), json.loads(body)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def burn(stop):
    while not stop.is_set():
        for _ in range(100_000):
            math.sqrt(2.0)


def write_configs(folder, mihari, exporter_port, prometheus_port, desk_port):
    (folder / "config/rules").mkdir(parents=True)
    (folder / "config/rules/load.yml").write_text(RULES)
    (folder / "config/alertmanager.yml").write_text(ROUTES.format(port=desk_port))
    scrape = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s"},
        "scrape_configs": [
            {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter_port}"]}]},
            {"job_name": "prometheus", "static_configs": [{"targets": [f"127.0.0.1:{prometheus_port}"]}]},
        ],
    }
    write = {"remote_write": [{"url": f"{mihari}/api/v1/write", "queue_config": {"batch_send_deadline": "1s"}}]}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(scrape | write))
    agent = {"global": scrape["global"], "scrape_configs": [scrape["scrape_configs"][0] | {"job_name": "vmagent-node"}]}
    (folder / "vmagent.yml").write_text(json.dumps(agent))


def expressions():
    lines = (pathlib.Path(__file__).parent / "expressions.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def answer(url, expr, at):
    data = fetch_json(f"{url}/api/v1/query", {"query": expr, "time": str(at)})["data"]
    assert data["resultType"] == "vector", (expr, data["resultType"])
    return {tuple(sorted(item["metric"].items())): float(item["value"][1]) for item in data["result"]}


def difference(left, right):
    if left.keys() != right.keys():
        return f"series differ: only one side has {sorted(left.keys() ^ right.keys())[:3]}"
    for series, value in left.items():
        other = right[series]
        same = value == other or math.isclose(value, other, rel_tol=1e-9) or (math.isnan(value) and math.isnan(other))
        if not same:
            return f"{dict(series)}: {value} and {other}"
    return None


def compare(mihari, prometheus):
    at, patience = math.floor(time.time()) - 10, time.time() + 60
    asked = expressions()
    # What is a while ago has arrived everywhere; on a busy machine a little later.
    while failures := disagreements(mihari, prometheus, asked, at):
        if time.time() > patience:
            break
        time.sleep(5)
    print(f"expressions that agree with Prometheus: {len(asked) - len(failures)} of {len(asked)}")
    assert not failures, "\n".join(failures)


def disagreements(mihari, prometheus, asked, at):
    found = ((expr, difference(answer(mihari, expr, at), answer(prometheus, expr, at))) for expr in asked)
    return [f"{expr}\n    {what}" for expr, what in found if what]


def compare_ranges(mihari, prometheus):
    end = math.floor(time.time()) - 10
    form = {"query": 'sum by (mode) (rate(node_cpu_seconds_total{job="node"}[30s]))', "start": end - 40, "end": end, "step": 5}
    sides = [fetch_json(f"{url}/api/v1/query_range", form)["data"]["result"] for url in (mihari, prometheus)]
    flat = [
        {(tuple(sorted(item["metric"].items())), at): float(value) for item in side for at, value in item["values"]}
        for side in sides
    ]
    found = difference(*flat)
    assert not found, found
    print(f"range query agrees with Prometheus: {len(flat[0])} points")


def remote_read(mihari, folder):
    """A Prometheus that has no samples of its own answers every expression as Mihari does."""
    port = free_port()
    config = folder / "reader.yml"
    config.write_text(json.dumps({"remote_read": [{"url": f"{mihari}/api/v1/read", "read_recent": True}]}))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'reader'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    reader = f"http://127.0.0.1:{port}"
    with running("reader", command, folder):
        wait_for("samples read back", lambda: answer(reader, 'up{job="node"}', time.time()))
        compare(mihari, reader)
    print("a Prometheus reads all of it back by remote read")


def promtool(url):
    now = int(time.time())
    queries = [
        ["instant", url, "up"],
        ["range", url, "up", f"--start={now - 60}", f"--end={now}", "--step=15s"],
        ["series", url, '--match=up{job="node"}'],
        ["labels", url, "job"],
    ]
    for words in queries:
        done = subprocess.run(["promtool", "query", *words], capture_output=True, text=True)
        assert done.returncode == 0 and "node" in done.stdout, (words, done.stdout, done.stderr)
    # What newer versions of promtool ask with `check healthy` and `check ready`.
    for check in ("healthy", "ready"):
        assert fetch(f"{url}/-/{check}")[0] == 200, check
    rules = sorted(str(path) for path in pathlib.Path("infra/config/rules").glob("*.yml"))
    units = sorted(str(path) for path in pathlib.Path("infra/config/rules/tests").glob("*.yml"))
    for words in (["check", "rules", *rules], ["test", "rules", *units]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
    print(f"promtool: {len(queries)} queries; check rules and {len(units)} files of unit tests pass")


def breach(mihari, desk, outbox):
    stop = multiprocessing.Event()
    workers = [multiprocessing.Process(target=burn, args=(stop,)) for _ in range(multiprocessing.cpu_count())]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    try:
        state = lambda name: [a for a in fetch_json(f"{mihari}/api/v1/alerts")["data"]["alerts"] if a["state"] == name]
        wait_for("a pending alert", lambda: state("pending") or state("firing"), 300)
        print(f"pending after {time.monotonic() - began:.0f} s of load")
        wait_for("a firing alert", lambda: state("firing"), 300)
        print(f"firing after {time.monotonic() - began:.0f} s of load")
        wait_for("both webhooks", lambda: {path for path, _, _ in desk.received} >= {"/generic", "/slack"}, 60)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    firing = [body for path, _, body in desk.received if path == "/generic"][0]
    assert (firing["status"], firing["version"]) == ("firing", "4"), firing
    assert firing["alerts"][0]["annotations"]["description"] == "CPU使用率が95%を超えています", firing
    wait_for("a mail", lambda: list(outbox.glob("*.eml")), 30)
    resolved = lambda: [b for path, _, b in desk.received if path == "/generic" and b["status"] == "resolved"]
    wait_for("the resolved notification", resolved, 300)
    print(f"resolved {time.monotonic() - began:.0f} s after the load began")
    keys = [(path, key) for path, key, _ in desk.received]
    assert len(keys) == len(set(keys)), f"a notification came twice: {keys}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mihari", required=True)
    parser.add_argument("--mode", choices=["short", "full"], default="short")
    options = parser.parse_args()
    seconds_of_traffic = {"short": 75, "full": 420}[options.mode]

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        desk = Desk()
        threading.Thread(target=desk.serve_forever, daemon=True).start()
        exporter_port, prometheus_port, vmagent_port = free_port(), free_port(), free_port()
        flags = ["--config", str(folder / "config"), "--no-host-metrics"]
        mihari_process, mihari, data = start_mihari(options.mihari, folder, flags)
        write_configs(folder, mihari, exporter_port, prometheus_port, desk.server_address[1])
        stack.enter_context(mihari_process)
        wait_for("mihari", lambda: fetch_json(f"{mihari}/api/v1/status/buildinfo"))

        exporter = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{exporter_port}"]
        stack.enter_context(running("node-exporter", exporter, folder))
        prometheus = f"http://127.0.0.1:{prometheus_port}"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{prometheus_port}",
        ]
        stack.enter_context(running("prometheus", command, folder))
        agent = [
            "vmagent",
            f"-promscrape.config={folder / 'vmagent.yml'}",
            f"-remoteWrite.url={mihari}/api/v1/write",
            f"-remoteWrite.tmpDataPath={folder / 'vmagent'}",
            f"-httpListenAddr=127.0.0.1:{vmagent_port}",
        ]
        stack.enter_context(running("vmagent", agent, folder))

        wait_for("samples of Prometheus", lambda: answer(mihari, 'up{job="node"}', time.time()))
        wait_for("samples of vmagent", lambda: answer(mihari, 'up{job="vmagent-node"}', time.time()))
        print(f"Prometheus and vmagent deliver; {seconds_of_traffic} s of traffic")
        time.sleep(seconds_of_traffic)
        compare(mihari, prometheus)
        compare_ranges(mihari, prometheus)
        remote_read(mihari, folder)
        promtool(mihari)
        breach(mihari, desk, data / "outbox")
        compare(mihari, prometheus)
    print("peers: passed")


if __name__ == "__main__":
    main()
