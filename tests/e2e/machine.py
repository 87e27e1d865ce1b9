"""Programs on loopback, started for a check and ended with it."""

import contextlib
import json
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(name, command, folder):
    """A program with its output in a log file; its last words are shown if a check fails."""
    log_path = pathlib.Path(folder) / f"{name}.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    except BaseException:
        print(f"--- last lines of {name}:\n" + "\n".join(log_path.read_text(errors="replace").splitlines()[-5:]))
        raise
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def fetch(url, form=None, headers=None):
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def fetch_json(url, form=None):
    status, body = fetch(url, form)
    if status != 200:
        raise AssertionError(f"{url}: {status}: {body[:500]!r}")
    return json.loads(body)


def wait_for(what, attempt, seconds=60):
    """Tries until something true comes back."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            found = attempt()
            if found:
                return found
        except (OSError, AssertionError, ValueError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s ({last})")


def start_mihari(binary, folder, flags):
    port = free_port()
    data = pathlib.Path(folder) / "data"
    command = [binary, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(data), *flags]
    return running("mihari", command, folder), f"http://127.0.0.1:{port}", data
