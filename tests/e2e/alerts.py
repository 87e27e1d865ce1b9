#!/usr/bin/env python3
"""The same breach through Mihari and through Prometheus with Alertmanager, told by both to the same receiver.

The same rule file and the same route file on both sides, the same samples by remote write. What the webhooks bring is
compared field by field. Prometheus, and vmalert beside it, send to Mihari's Alertmanager API and to Alertmanager at the
same time, and amtool lists the same on both. An Alertmanager outside, to which Mihari hands its alerts on, tells the
same of them.
"""

import argparse
import contextlib
import datetime
import http.server
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "differential"))

from machine import fetch, fetch_json, free_port, running, start_mihari, wait_for  # noqa: E402

import remote_write  # noqa: E402
from series import Series  # noqa: E402

INTERVAL = 5

RULES = """
groups:
- name: machines
  interval: 5s
  rules:
  - record: machine:temperature:max
    expr: max by (machine) (temperature)
  - alert: TooHot
    expr: temperature > 90
    labels: {severity: critical, team: ops, room: '{{ $labels.room | toUpper }}'}
    annotations:
      summary: 'Machine {{ $labels.machine }}: {{ printf "%.1f" $value }} degrees'
      description: '{{ $labels.machine }} の温度が高すぎます ({{ humanize $value }})'
      source: '{{ $labels.__name__ }} {{ $labels.room }}'
  - alert: Warm
    expr: machine:temperature:max > 80
    labels: {severity: warning, team: ops}
    annotations: {summary: 'warm & "quoted" <b>'}
"""

# By machine, so that inhibition, grouping and truncation all show.
ROUTES = """
global: {{resolve_timeout: 5m}}
route:
  receiver: everyone
  group_by: [alertname, team]
  group_wait: 3s
  group_interval: 5s
  repeat_interval: 1h
  routes:
  - matchers: ['severity="critical"']
    receiver: desk
    group_by: ['...']
    continue: true
  - matchers: ['severity=~"critical|warning"']
    receiver: short
receivers:
- name: everyone
  webhook_configs: [{{url: 'http://127.0.0.1:{port}/everyone'}}]
- name: desk
  webhook_configs: [{{url: 'http://127.0.0.1:{port}/desk', send_resolved: true}}]
- name: short
  webhook_configs: [{{url: 'http://127.0.0.1:{port}/short', max_alerts: 1}}]
inhibit_rules:
- source_matchers: ['severity="critical"']
  target_matchers: ['severity="warning"']
  equal: [machine]
"""

# Differences that are meant, each with its reason; every other one fails the check.
INTENDED = {
    "notification_reason": "an older Alertmanager beside us does not say why it notifies; one that does says the same",
    "externalURL": "each server names itself; both must be the address it was given",
    "generatorURL": "each server names itself; what follows its address must be equal",
    "startsAt": "each side evaluates at slots of its own; both must lie after the breach, by no more than its clocks",
    "endsAt": "as startsAt; of an alert that fires it is the zero time on both",
}


class Desk(http.server.ThreadingHTTPServer):
    """Keeps what the webhooks of one side bring."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), DeskHandler)
        self.received = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, path, status):
        return [body for at, body in self.received if at == path and body["status"] == status]


class DeskHandler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def write(urls, values):
    """One sample of each machine, now, to all servers."""
    now = int(time.time() * 1000)
    labels = lambda machine: {"__name__": "temperature", "machine": machine, "room": f"room-{machine}"}
    series = [Series(labels(machine), [(now, value)]) for machine, value in values.items()]
    body = remote_write.request(series)
    for url in urls:
        request = urllib.request.Request(f"{url}/api/v1/write", data=body, headers=remote_write.HEADERS)
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status in (200, 204), (url, response.status)


class Feed(threading.Thread):
    """Samples each second, the same to all servers."""

    def __init__(self, urls, values):
        super().__init__(daemon=True)
        self.urls, self.values, self.stops, self.error = urls, values, threading.Event(), None
        self.start()

    def run(self):
        while not self.stops.wait(1):
            try:
                write(self.urls, self.values)
            except OSError as error:
                self.error = error


def seconds(text):
    """A time of RFC 3339 in seconds since 1970."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    assert found, f"no time of RFC 3339: {text!r}"
    return datetime.datetime.fromisoformat(found[1] + (found[2] or ".0")[:7] + found[3].replace("Z", "+00:00")).timestamp()


def differences(ours, theirs, servers, began):
    """Where two webhook bodies differ and are not meant to."""
    found = []

    def differ(place, one, other):
        if one != other:
            found.append(f"{place}: {one!r} and {other!r}")

    if "notification_reason" in theirs:
        differ("notification_reason", ours["notification_reason"], theirs["notification_reason"])
    differ("fields", sorted(ours.keys() - {"notification_reason"}), sorted(theirs.keys() - {"notification_reason"}))
    for name in ("version", "groupKey", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations",
                 "truncatedAlerts"):
        differ(name, ours.get(name), theirs.get(name))
    differ("externalURL", (ours["externalURL"], theirs["externalURL"]), (servers[0], servers[1]))
    differ("alerts", len(ours["alerts"]), len(theirs["alerts"]))
    for index, (one, other) in enumerate(zip(ours["alerts"], theirs["alerts"])):
        place = f"alerts[{index}]"
        differ(f"{place} fields", sorted(one), sorted(other))
        for name in ("status", "labels", "annotations", "fingerprint"):
            differ(f"{place}.{name}", one.get(name), other.get(name))
        paths = [re.sub(r"^https?://[^/]+", "", alert["generatorURL"]) for alert in (one, other)]
        differ(f"{place}.generatorURL", *paths)
        for alert in (one, other):
            if not began <= seconds(alert["startsAt"]) <= time.time():
                found.append(f"{place}.startsAt: {alert['startsAt']}")
            is_zero = alert["endsAt"] == "0001-01-01T00:00:00Z"
            if alert["status"] == "firing" and not is_zero:
                found.append(f"{place}.endsAt of a firing alert: {alert['endsAt']}")
            if alert["status"] == "resolved" and (is_zero or seconds(alert["endsAt"]) <= seconds(alert["startsAt"])):
                found.append(f"{place}.endsAt of a resolved alert: {alert['endsAt']}")
        # Both write times in the same shape, with the same number of digits at most.
        shapes = [re.sub(r"\d", "0", re.sub(r"\.\d+", "", alert["startsAt"])) for alert in (one, other)]
        differ(f"{place}.startsAt shape", *shapes)
    return found


def pair(name, path, status, desks, servers, began, accept=lambda body: True):
    """The first notification of that kind on both sides, compared."""
    first = lambda desk: next(filter(accept, desk.of(path, status)), None)
    ours, theirs = (wait_for(f"{name} of {who}", lambda: first(desk), 180) for who, desk in zip(("Mihari", "Alertmanager"), desks))
    found = differences(ours, theirs, servers, began)
    print(f"{name}: {len(ours['alerts'])} alerts, {'the same' if not found else 'different'}")
    return [f"{name}: {one}" for one in found]


def listed(amtool, url):
    """What amtool lists, without what each server keeps to itself: when it heard of an alert."""
    done = subprocess.run([amtool, f"--alertmanager.url={url}", "alert", "query", "--output=json", "--silenced",
                           "--inhibited", "--active"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    kept = ("labels", "annotations", "startsAt", "fingerprint", "generatorURL", "receivers", "endsAt")
    alerts = [{name: alert.get(name) for name in kept} | {"status": alert["status"]} for alert in json.loads(done.stdout)]
    return sorted(alerts, key=lambda alert: alert["fingerprint"])


def times(desk):
    """When the alerts that ended began and ended, as a desk was told."""
    alerts = [alert for body in desk.of("/desk", "resolved") + desk.of("/short", "resolved") for alert in body["alerts"]]
    return sorted({(alert["fingerprint"], seconds(alert["startsAt"]), seconds(alert["endsAt"])) for alert in alerts})


def grouped(url):
    groups = fetch_json(f"{url}/api/v2/alerts/groups")
    names = lambda group: sorted(alert["fingerprint"] for alert in group["alerts"])
    return sorted((json.dumps(group["labels"], sort_keys=True), group["receiver"]["name"], names(group)) for group in groups)


def agree(name, ours, theirs, seconds_max=60):
    """Waits until both sides say the same, and something."""
    last = [None, None]

    def same():
        last[:] = [ours(), theirs()]
        return last[0] and last[0] == last[1]

    try:
        wait_for(name, same, seconds_max)
    except AssertionError:
        lines = [json.dumps(side, indent=1, ensure_ascii=False) for side in last]
        raise AssertionError(f"{name} differ\nMihari: {lines[0]}\nAlertmanager: {lines[1]}") from None
    print(f"{name}: the same, {len(last[0])}")


def alertmanager(stack, command, folder, name, routes):
    port = free_port()
    config = folder / f"{name}.yml"
    config.write_text(routes)
    words = [command, f"--config.file={config}", f"--storage.path={folder / name}", "--cluster.listen-address=",
             f"--web.listen-address=127.0.0.1:{port}", f"--web.external-url=http://127.0.0.1:{port}"]
    stack.enter_context(running(name, words, folder))
    url = f"http://127.0.0.1:{port}"
    wait_for(name, lambda: fetch(f"{url}/-/ready")[0] == 200)
    return url


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mihari", required=True)
    parser.add_argument("--alertmanager", default="prometheus-alertmanager")
    parser.add_argument("--amtool", default="amtool")
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--vmalert", default="vmalert")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        desks = [Desk(), Desk()]
        routes = [ROUTES.format(port=desk.server_address[1]) for desk in desks]
        (folder / "config/rules").mkdir(parents=True)
        (folder / "config/rules/machines.yml").write_text(RULES)
        (folder / "config/alertmanager.yml").write_text(routes[0])
        (folder / "machines.yml").write_text(RULES)

        outside_desk = Desk()
        outside = alertmanager(stack, options.alertmanager, folder, "outside", ROUTES.format(port=outside_desk.server_address[1]))
        targets = [{"targets": [outside.removeprefix("http://")]}]
        forward = {"alerting": {"alertmanagers": [{"static_configs": targets}]}}
        (folder / "config/forward.yml").write_text(json.dumps(forward))

        process, mihari, _ = start_mihari(options.mihari, folder, ["--config", str(folder / "config"), "--no-host-metrics"])
        stack.enter_context(process)
        wait_for("mihari", lambda: fetch(f"{mihari}/-/ready")[0] == 200)
        theirs = alertmanager(stack, options.alertmanager, folder, "alertmanager", routes[1])

        # A second Mihari gets what Prometheus and vmalert send, so that nothing of the first one's rules is in it.
        (folder / "second/config").mkdir(parents=True)
        second_routes = ROUTES.format(port=Desk().server_address[1])
        (folder / "second/config/alertmanager.yml").write_text(second_routes)
        flags = ["--config", str(folder / "second/config"), "--no-host-metrics"]
        (folder / "second/config/rules").mkdir()
        (folder / "second/config/rules/none.yml").write_text("groups: []\n")
        process, second, _ = start_mihari(options.mihari, folder / "second", flags)
        stack.enter_context(process)
        wait_for("the second mihari", lambda: fetch(f"{second}/-/ready")[0] == 200)

        port = free_port()
        prometheus = f"http://127.0.0.1:{port}"
        host = lambda url: url.removeprefix("http://")
        managers = [{"static_configs": [{"targets": [host(theirs)]}]},
                    {"static_configs": [{"targets": [host(second)]}], "path_prefix": "/am"}]
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"evaluation_interval": "5s"}, "rule_files": [str(folder / "machines.yml")],
            "alerting": {"alertmanagers": managers},
        }))
        words = [options.prometheus, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'prometheus'}",
                 f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
                 f"--web.external-url={prometheus}"]
        stack.enter_context(running("prometheus", words, folder))
        wait_for("prometheus", lambda: fetch(f"{prometheus}/-/ready")[0] == 200)

        values = {"a": 70.0, "b": 70.0, "c": 70.0}
        feed = Feed([mihari, prometheus], values)
        time.sleep(2 * INTERVAL)
        began = time.time() - INTERVAL
        values.update(a=95.5, b=85.0, c=86.25)
        servers = (mihari, theirs)
        found = []
        found += pair("one alert, grouped by all its labels", "/desk", "firing", desks, servers, began)
        both_warm = lambda body: body["groupLabels"].get("alertname") == "Warm" and body["truncatedAlerts"] > 0
        found += pair("two alerts of which one is cut off", "/short", "firing", desks, servers, began, both_warm)
        agree("what amtool lists of Prometheus's alerts", lambda: listed(options.amtool, f"{second}/am"),
              lambda: listed(options.amtool, theirs))
        agree("the groups of Prometheus's alerts", lambda: grouped(f"{second}/am"), lambda: grouped(theirs))
        handed = (desks[0], outside_desk)
        found += pair("one alert, handed on", "/desk", "firing", handed, (mihari, outside), began)
        found += pair("two alerts, handed on", "/short", "firing", handed, (mihari, outside), began, both_warm)
        values.update(a=70.0, b=70.0, c=70.0)
        found += pair("one alert that ended", "/desk", "resolved", desks, servers, began)
        all_ended = lambda body: body["groupLabels"].get("alertname") == "Warm"
        found += pair("two alerts that ended", "/short", "resolved", desks, servers, began, all_ended)
        found += pair("two alerts that ended, handed on", "/short", "resolved", handed, (mihari, outside), began, all_ended)
        agree("times of the alerts handed on", lambda: times(desks[0]), lambda: times(outside_desk), 30)
        assert feed.error is None, feed.error
        assert not found, "\n".join(found)

        # vmalert, to an Alertmanager and a Mihari that have heard of nothing else.
        values.update(a=97.0)
        vmalert = [options.vmalert, f"-rule={folder / 'machines.yml'}", f"-datasource.url={prometheus}",
                   f"-notifier.url={theirs}", f"-notifier.url={second}/am", f"-external.url={prometheus}",
                   f"-httpListenAddr=127.0.0.1:{free_port()}", "-evaluationInterval=5s",
                   "-external.label=sender=vmalert", f"-remoteWrite.url={prometheus}"]
        stack.enter_context(running("vmalert", vmalert, folder))
        of_vmalert = lambda alerts: [alert for alert in alerts if alert["labels"].get("sender") == "vmalert"]
        agree("what amtool lists of vmalert's alerts", lambda: of_vmalert(listed(options.amtool, f"{second}/am")),
              lambda: of_vmalert(listed(options.amtool, theirs)), 120)
    for what, why in INTENDED.items():
        print(f"meant to differ: {what}: {why}")
    print("alerts beside Prometheus, Alertmanager and vmalert: passed")


if __name__ == "__main__":
    main()
