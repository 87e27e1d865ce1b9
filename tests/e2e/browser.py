#!/usr/bin/env python3
"""Every page in a real browser: no script error, charts that move, nothing serious from axe-core, both languages."""

import argparse
import json
import pathlib
import subprocess
import tempfile
import urllib.request

from machine import fetch_json, start_mihari, wait_for


def send(url, document):
    body = json.dumps(document).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 200, response.status


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mihari", required=True)
    parser.add_argument("--screenshots", required=True)
    options = parser.parse_args()
    screenshots = pathlib.Path(options.screenshots)
    screenshots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        process, mihari, _ = start_mihari(options.mihari, name, [])
        with process:
            load = f"{mihari}/api/v1/query?query=node_load1"
            wait_for("host metrics", lambda: fetch_json(load)["data"]["result"])
            report = [options.mihari, "report", "daily", "--day", "today", "--url", mihari]
            subprocess.run(report, check=True, stdout=subprocess.DEVNULL)
            # So that the page of alerts has reasons to show: one alert that is told, one that it inhibits.
            for severity in ("critical", "warning"):
                labels = {"alertname": "memory_usage", "severity": severity, "instance": "very-long-name-of-a-machine.example.com"}
                send(f"{mihari}/am/api/v2/alerts", [{"labels": labels, "annotations": {"summary": "高い"}}])
            script = pathlib.Path(__file__).parent / "browser.cjs"
            subprocess.run(["node", str(script), mihari, str(screenshots)], check=True)
    print("browser: passed")


if __name__ == "__main__":
    main()
