"""Runs the rules of the bench of the tick in Prometheus and in vmalert, over the same series, and prints what a rule
takes of the processor; then the bench itself. 58,600 series, 1,010 rules.

    python3 tests/bench/rules.py [seconds of rules in each server, 60 unless told otherwise]
"""

import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare import Server, _as_varint, _field, free_port, snappy  # noqa: E402

HOSTS = 100
SCRAPES = 44
STEP = 15
EVERY = 5


def rule_file():
    """As the bench makes it: the rules of a host for each host."""
    head, every = (ROOT / "shared/app/benches/rules.yml").read_text().split("  - name: all\n")
    hosts = head.split("    rules:\n", 1)[1]
    groups = "".join(
        f"  - name: host{host:03}\n    rules:\n{hosts.replace('HOST', f'host{host:03}')}" for host in range(HOSTS)
    )
    # Recorded names have colons, and hosts no other characters: the file is one for all.
    return f"groups:\n  - name: all\n{every}{groups}"


def series(host):
    """Labels and the growth of a counter in a scrape, as the bench makes them."""
    for cpu in range(8):
        for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"]:
            yield "node_cpu_seconds_total", {"cpu": str(cpu), "mode": mode}, 12.0 if mode == "idle" else 0.4
    for name in ["up", "node_load1", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"]:
        yield name, {}, 0.0
    for device in ["eth0", "eth1", "lo"]:
        yield "node_network_receive_bytes_total", {"device": device}, 123456.0
        yield "node_network_errors_total", {"device": device}, 0.0
    for device in ["sda", "sdb", "sdc"]:
        yield "node_disk_reads_completed_total", {"device": device}, 37.0
    for mountpoint in ["/", "/boot", "/data", "/home"]:
        yield "node_filesystem_avail_bytes", {"mountpoint": mountpoint}, 0.0
        yield "node_filesystem_size_bytes", {"mountpoint": mountpoint}, 0.0
    for index in range(501):
        yield "node_other_total", {"index": f"{index:03}"}, 3.7 + index / 8


def bodies(end_ms):
    """One remote write a host."""
    times = [end_ms - (SCRAPES - 1 - scrape) * STEP * 1000 for scrape in range(SCRAPES)]
    stamps = [b"\x10" + _as_varint(stamp) for stamp in times]
    for host in range(HOSTS):
        body = bytearray()
        for name, extra, growth in series(host):
            labels = {"__name__": name, "instance": f"host{host:03}", "job": "node"} | extra
            texts = b"".join(
                _field(0x0A, _field(0x0A, key.encode()) + _field(0x12, labels[key].encode())) for key in sorted(labels)
            )
            samples = b"".join(
                _field(0x12, b"\x09" + struct.pack("<d", 40.0 + growth * scrape) + stamp)
                for scrape, stamp in enumerate(stamps)
            )
            body += _field(0x0A, texts + samples)
        yield snappy(bytes(body))


def metric(url, name):
    with urllib.request.urlopen(url + "/metrics", timeout=60) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def measure(seconds, servers, url, name):
    """Rules a processor second of all the servers, while rules run."""
    cpu = sum(server.cpu_seconds() for server in servers)
    ran = metric(url, name)
    time.sleep(seconds)
    ran = metric(url, name) - ran
    cpu = sum(server.cpu_seconds() for server in servers) - cpu
    return ran, cpu


def ready(server):
    """Waits until a server takes samples, and not only answers."""
    for _ in range(600):
        try:
            return server.get("/-/ready")
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{server.name} does not get ready")


def prometheus(folder, seconds):
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text(f"global: {{evaluation_interval: {EVERY}s}}\nrule_files: [{folder / 'rules.yml'}]\n")
    server = Server(
        "prometheus",
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}",
         f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"],
        port, "/api/v1/write", "",
    )
    try:
        ready(server)
        for body in bodies(int(time.time() * 1000)):
            server.write(body)
        time.sleep(2 * EVERY)
        return measure(seconds, [server], server.url, "prometheus_rule_evaluations_total")
    finally:
        server.process.kill()
        server.process.wait()


def vmalert(folder, seconds):
    port, own = free_port(), free_port()
    store = Server(
        "victoria",
        ["victoria-metrics", f"-storageDataPath={folder / 'victoria'}", f"-httpListenAddr=127.0.0.1:{port}",
         "-search.latencyOffset=0s"],
        port, "/api/v1/write", "/prometheus",
    )
    servers = [store]
    try:
        for body in bodies(int(time.time() * 1000)):
            store.write(body)
        time.sleep(3)
        servers.append(Server(
            "vmalert",
            ["vmalert", f"-rule={folder / 'rules.yml'}", f"-datasource.url={store.url}", f"-remoteWrite.url={store.url}",
             f"-notifier.url={store.url}", f"-evaluationInterval={EVERY}s", f"-httpListenAddr=127.0.0.1:{own}"],
            own, "", "",
        ))
        time.sleep(2 * EVERY)
        return measure(seconds, servers, servers[1].url, "vmalert_execution_total")
    finally:
        for server in servers:
            server.process.kill()
            server.process.wait()


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "rules.yml").write_text(rule_file())
        for server in (prometheus, vmalert):
            ran, cpu = server(folder, seconds)
            print(f"{server.__name__}: {ran:.0f} rules in {cpu:.2f} processor seconds: {ran / cpu:.0f} a second", flush=True)
    print("mihari:", flush=True)
    return subprocess.run(["cargo", "bench", "-p", "app", "--bench", "tick"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
