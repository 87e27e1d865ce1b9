"""How large the functions are, how fast they start, how much memory they take, how long an invocation lasts.

Sizes are of what is deployed (arm64). Times are of the same commit built for this processor: from the start of the
process to its first question for an event, and for events through `aws-lambda-rie`, the emulator of sam. What functions
call is emulated as well, and slower than AWS: a warm invocation is mostly that.
"""

import argparse
import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile

import samcli

import remote_write
from flows import PARAMETERS, Tools, now_ms, recording
from stack import FUNCTIONS, REGION, ROOT, Stack, emulated, free_port, wait_for

STARTS = 20
INVOCATIONS = 20
EMULATOR = pathlib.Path(samcli.__file__).parent / "local" / "rapid" / "aws-lambda-rie-x86_64"


def build(tools, processor):
    """All seven in one call, as `sam build` makes them one by one."""
    command = [tools / "sam" / "bin" / "cargo-lambda", "lambda", "build", "--release", f"--{processor}"]
    for name in FUNCTIONS:
        command += ["--package", name]
    environment = {**os.environ, "PATH": f"{tools / 'sam' / 'bin'}:{os.environ['PATH']}"}
    start = time.monotonic()
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, env=environment)
    print(f"  {time.monotonic() - start:.0f} s to build for {processor}", flush=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return {name: target / "lambda" / name / "bootstrap" for name in FUNCTIONS}


def sizes(programs):
    found = {}
    for name, program in programs.items():
        with tempfile.TemporaryDirectory() as folder:
            packed = pathlib.Path(folder) / "function.zip"
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.write(program, "bootstrap")
            found[name] = (program.stat().st_size, packed.stat().st_size)
    return found


def environment_of(stack, name):
    """What Lambda would set for a function of the stack."""
    configuration = stack.client("lambda").get_function_configuration(
        FunctionName=stack.physical(f"{name.capitalize()}Function"))
    return {
        "PATH": os.environ["PATH"],
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_LOG_STREAM_NAME": "footprint",
        **configuration["Environment"]["Variables"],
    }


class FirstPoll:
    """The runtime's side of Lambda, as far as the first question for an event."""

    def __init__(self):
        self.asked, poll = threading.Event(), self
        self.at = None

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                poll.at = time.perf_counter()
                poll.asked.set()
                time.sleep(60)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def start_once(program, environment):
    """Milliseconds to the first poll, and the peak of memory then."""
    poll = FirstPoll()
    environment = {**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{poll.server.server_address[1]}"}
    start = time.perf_counter()
    process = subprocess.Popen([program], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert poll.asked.wait(20), f"{program} never asks for an event"
        return (poll.at - start) * 1000, peak_mb(process.pid)
    finally:
        process.kill()
        process.wait()
        poll.server.shutdown()


def peak_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@contextlib.contextmanager
def emulator(program, environment, log):
    port, api_port = free_port(), free_port()
    command = [EMULATOR, "--runtime-interface-emulator-address", f"127.0.0.1:{port}", "--runtime-api-address",
               f"127.0.0.1:{api_port}", program]
    with open(log, "wb") as output:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations", process
    finally:
        process.terminate()
        process.wait(20)


def invocations(program, environment, events, status, log):
    """Milliseconds of a warm invocation, and the peak of memory after all of them. Each answers with the HTTP status,
    or without one."""
    with emulator(program, environment, log) as (url, process):
        def ask(event):
            with urllib.request.urlopen(urllib.request.Request(url, data=event), timeout=30) as response:
                return response.read()

        wait_for("the emulator of sam", lambda: ask(events[0]) is not None, 30)
        times = []
        for event in events:
            start = time.perf_counter()
            answer = ask(event)
            times.append((time.perf_counter() - start) * 1000)
            found = json.loads(answer)
            found = found if isinstance(found, dict) else {}
            assert "errorType" not in found and found.get("statusCode") == status, f"{program}: {found}"
        # It starts the function from any of its threads.
        threads = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        assert children, f"{program} is not running any more"
        return statistics.median(times), max(map(peak_mb, children))


def pushes(stack, bodies):
    """Events of the HTTP API that bring bodies with a token of their own."""
    operator = {"operator": {"method": "POST", "path": "/api/mihari/v1/tokens?name=footprint&scope=write"}}
    error, reply = stack.invoke("QueryFunction", operator)
    assert not error and reply["status"] == 201, f"{error} {reply}"
    event = json.loads((ROOT / "events" / "ingest" / "remote-write.json").read_text())
    event["headers"]["authorization"] = f"Bearer {json.loads(reply['body'])['token']}"
    return [json.dumps({**event, "body": base64.b64encode(body).decode()}).encode() for body in bodies]


def fleet(samples, at_ms):
    """One scrape of several machines, each with a hundred metrics."""
    labels = [{"__name__": f"node_metric_{index % 100}_total", "instance": f"10.0.{index // 100}.7:9100", "job": "node",
               "cluster": "tokyo", "mode": f"mode-{index % 8}"} for index in range(samples)]
    return remote_write.written(*((of, [(at_ms, float(index * 977 % 10_007))]) for index, of in enumerate(labels)))


def loads(stack):
    """What each function is asked for, how the table calls it, and the HTTP status it answers with, if any."""
    for name in FUNCTIONS:
        event = (ROOT / "events" / name / f"{next_event(name)}.json").read_bytes()
        yield name, name, [event] * INVOCATIONS, 401 if name == "ingest" else None
        if name == "ingest":
            newest = now_ms() - 60_000
            ages = [newest + 1000 * index for index in range(INVOCATIONS)]
            recorded = [remote_write.moved(recording(), age) for age in ages]
            events = pushes(stack, recorded + [fleet(2000, age) for age in ages])
            series = len(remote_write.label_sets(recording()))
            yield name, f"ingest, {series} recorded samples", events[:INVOCATIONS], 204
            yield name, "ingest, 2,000 samples", events[INVOCATIONS:], 204


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / ".cache" / "aws" / "footprint")
    arguments = parser.parse_args()
    tools, folder = arguments.tools.absolute(), arguments.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    deployed = sizes(build(tools, "arm64"))
    programs = build(tools, "x86-64")
    for name, program in programs.items():
        (folder / name).mkdir()
        shutil.copy(program, folder / name / "bootstrap")
    emulated(folder)
    stack = Stack(folder, Tools(tools / "sam" / "bin", tools / "cli" / "bin", pathlib.Path("/nowhere")))
    rows = []
    with stack.running():
        stack.deploy(*PARAMETERS, "Schedules=DISABLED")
        first = {}
        for name, label, events, status in loads(stack):
            program, environment = folder / name / "bootstrap", environment_of(stack, name)
            if name not in first:
                starts = [start_once(program, environment) for _ in range(STARTS)]
                milliseconds = [ms for ms, _ in starts]
                first[name] = (statistics.median(milliseconds), min(milliseconds), max(mb for _, mb in starts))
            warm, peak = invocations(program, environment, events, status, folder / f"{name}.log")
            rows.append((label, *deployed[name], *first[name], warm, peak))
    print("| function | binary, arm64 | zip | start to first poll, median (best) | peak memory then | warm invocation | peak"
          " memory then |\n|---|---|---|---|---|---|---|")
    for label, size, packed, median, best, first_mb, warm, peak in rows:
        print(f"| {label} | {size / 1e6:.1f} MB | {packed / 1e6:.1f} MB | {median:.1f} ({best:.1f}) ms | {first_mb:.0f} MB |"
              f" {warm:.1f} ms | {peak:.0f} MB |")
    assert max(packed for _, packed in deployed.values()) < 50e6, "Lambda takes 50 MB by direct upload"


def next_event(name):
    """An event that the function can be asked with again and again."""
    names = sorted(path.stem for path in (ROOT / "events" / name).glob("*.json"))
    return next((found for found in ("by-hand", "no-token", "operator-query", "schedule") if found in names), names[0])


if __name__ == "__main__":
    sys.exit(main())
