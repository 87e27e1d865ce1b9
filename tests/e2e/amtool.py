#!/usr/bin/env python3
"""amtool works against Mihari as it does against Alertmanager."""

import argparse
import json
import pathlib
import subprocess
import tempfile

from machine import free_port, running, wait_for, fetch

ROUTES = """
global: {slack_api_url: 'https://hooks.example.com/geheim'}
route:
  receiver: everyone
  group_by: [alertname]
  routes:
  - {matchers: [severity=critical], receiver: desk}
receivers:
- {name: everyone}
- name: desk
  slack_configs: [{channel: '#alerts'}]
"""


class Amtool:
    def __init__(self, program, url, folder):
        self.command = [program, f"--alertmanager.url={url}"]
        self.folder = folder

    def __call__(self, *arguments, succeeds=True):
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=60)
        if (done.returncode == 0) != succeeds:
            raise AssertionError(f"amtool {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def json(self, *arguments):
        return json.loads(self(*arguments, "--output=json"))


def names(alerts):
    return sorted(alert["labels"]["alertname"] for alert in alerts)


def check(amtool):
    amtool("alert", "add", "alertname=Busy", "severity=critical", "host=a", "--annotation=summary=高い")
    amtool("alert", "add", "Idle", "host=b")
    assert names(amtool.json("alert", "query")) == ["Busy", "Idle"]
    assert names(amtool.json("alert", "query", "host=a")) == ["Busy"]
    assert names(amtool.json("alert", "query", "--receiver=desk")) == ["Busy"]

    silence = amtool("silence", "add", "--author=愛子", "--comment=deploy", "--duration=1h", "alertname=Busy")
    assert [one["id"] for one in amtool.json("silence", "query")] == [silence]
    assert names(amtool.json("alert", "query")) == ["Idle"], "amtool hides what is silenced"
    assert names(amtool.json("alert", "query", "--silenced")) == ["Busy"]
    assert amtool("silence", "update", "--duration=2h", "--comment=longer", silence), "it says what it changed"
    assert amtool.json("silence", "query")[0]["comment"] == "longer"
    exported = pathlib.Path(amtool.folder) / "silences.json"
    exported.write_text(json.dumps(amtool.json("silence", "query")))
    amtool("silence", "expire", amtool.json("silence", "query")[0]["id"])
    assert amtool.json("silence", "query") == []
    assert len(amtool.json("silence", "query", "--expired")) >= 1
    amtool("silence", "import", "--force", str(exported))
    assert [one["comment"] for one in amtool.json("silence", "query")] == ["longer"]
    amtool("silence", "add", "alertname=~.*", "--author=x", "--comment=x", succeeds=False)

    shown = amtool("config", "show")
    assert "receiver: everyone" in shown and "geheim" not in shown, shown
    assert amtool("config", "routes", "test", "severity=critical") == "desk"
    assert amtool("config", "routes", "test", "severity=info") == "everyone"
    amtool("alert", "add", "Idle", "host=b", "--end=2020-01-01T00:00:00Z", "--start=2019-01-01T00:00:00Z")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mihari", required=True)
    parser.add_argument("--amtool", default="amtool", help="a program, or a script that runs it under its own ld.so")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "config"
        config.mkdir()
        (config / "alertmanager.yml").write_text(ROUTES)
        port = free_port()
        command = [arguments.mihari, "--data-dir", f"{folder}/data", "--listen", f"127.0.0.1:{port}",
                   "--config", str(config), "--no-host-metrics"]
        with running("mihari", command, folder):
            url = f"http://127.0.0.1:{port}/am"
            wait_for("Mihari", lambda: fetch(f"{url}/-/ready")[0] == 200)
            check(Amtool(arguments.amtool, url, folder))
    print("amtool: ok")


if __name__ == "__main__":
    main()
