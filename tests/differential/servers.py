"""The two servers that are asked: Prometheus and Mihari, each fed by remote write and asked over HTTP."""

import contextlib
import dataclasses
import http.client
import json
import pathlib
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from machine import fetch, free_port, running, start_mihari, wait_for  # noqa: E402

import remote_write  # noqa: E402

FLAGS = "promql-experimental-functions,promql-delayed-name-removal,promql-duration-expr"
"""What makes Prometheus take the language of the profile `extended`."""

PROFILES = ("extended", "prometheus")


@dataclasses.dataclass(frozen=True)
class Question:
    """A query: at one time when `step` is none. All times are in seconds."""

    query: str
    start: float
    end: float
    step: float | None = None
    lookback: str | None = None

    def form(self):
        """The path and what is sent to it."""
        lookback = {"lookback_delta": self.lookback} if self.lookback else {}
        if self.step is None:
            return "/api/v1/query", {"query": self.query, "time": self.start, **lookback}
        times = {"start": self.start, "end": self.end, "step": self.step}
        return "/api/v1/query_range", {"query": self.query, **times, **lookback}


class Server:
    """Asks over one connection that is kept open."""

    def __init__(self, url):
        self.url = url
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)

    def ask(self, question):
        """The answer as JSON, with the HTTP status as `code`."""
        path, form = question.form()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.connection.request("POST", path, urllib.parse.urlencode(form), headers)
        response = self.connection.getresponse()
        return {**json.loads(response.read()), "code": response.status}

    def write(self, series):
        for start in range(0, len(series), 100):
            body = remote_write.request(series[start : start + 100])
            request = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
            request.request("POST", "/api/v1/write", body, remote_write.HEADERS)
            response = request.getresponse()
            text = response.read()
            assert response.status in (200, 204), (self.url, response.status, text[:500])


@contextlib.contextmanager
def prometheus(command, folder, profile):
    """A Prometheus that takes what is written to it and scrapes nothing."""
    folder = pathlib.Path(folder) / f"prometheus-{profile}"
    folder.mkdir()
    config = folder / "prometheus.yml"
    config.write_text('{"storage": {"tsdb": {"out_of_order_time_window": "7d"}}}')
    port = free_port()
    words = [
        *command,
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms" + (f",{FLAGS}" if profile == "extended" else ""),
    ]
    url = f"http://127.0.0.1:{port}"
    with running(f"prometheus-{profile}", words, folder):
        wait_for("Prometheus", lambda: fetch(f"{url}/-/ready")[0] == 200)
        yield Server(url)


@contextlib.contextmanager
def mihari(binary, folder, profile):
    """A Mihari with nothing in it, on that profile."""
    folder = pathlib.Path(folder) / f"mihari-{profile}"
    (folder / "config").mkdir(parents=True)
    flags = ["--config", str(folder / "config"), "--no-host-metrics", "--promql-profile", profile]
    process, url, _ = start_mihari(binary, folder, flags)
    with process:
        wait_for("Mihari", lambda: fetch(f"{url}/-/ready")[0] == 200)
        yield Server(url)
