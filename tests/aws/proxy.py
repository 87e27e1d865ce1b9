"""Stands between the functions and the emulator: keeps a list of what they call, and kills one between its writes.

A killed function has made the write, and never learns that it did: the worst moment to die.
"""

import http.client
import http.server
import json
import os
import pathlib
import signal
import threading

HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}


class Call:
    """One request of a function."""

    def __init__(self, method, path, headers, body, pid):
        target = headers.get("X-Amz-Target", "")
        self.method, self.path, self.body, self.pid = method, path, body, pid
        self.action = target.rpartition(".")[2] or (f"{method} object" if pid and not path.startswith("/v2/") else path)
        if b"Action=Publish" in body[:2000]:
            self.action = "Publish"
        environment = _environment(pid) if pid else {}
        self.function = environment.get("AWS_LAMBDA_FUNCTION_NAME", "")
        self.credentials = tuple(environment.get(f"AWS_{name}") for name in (
            "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))

    @property
    def writes(self):
        read_only = ("GetItem", "Query", "BatchGetItem", "GET object", "HEAD object", "GetParameter")
        return self.action not in read_only

    def leading_keys(self):
        """The partitions of the table that a call of DynamoDB names, one or several."""
        asked = json.loads(self.body)
        if "ExpressionAttributeValues" in asked and "KeyConditionExpression" in asked:
            return [asked["ExpressionAttributeValues"][":p"]["S"]]
        if "RequestItems" in asked:
            requests = [request for requests in asked["RequestItems"].values() for request in requests]
            return [next(iter(request.values()))["Item"]["p"]["S"] for request in requests]
        return [(asked.get("Key") or asked["Item"])["p"]["S"]]

    def __repr__(self):
        return f"{self.function}: {self.action} {self.path}"


class Proxy:
    """Listens on a port of loopback and forwards to another."""

    def __init__(self, port, upstream_port):
        self.calls = []
        self.killed = None
        self._armed = None
        self._lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _forward(self):
                body = _body(self)
                call = Call(self.command, self.path, self.headers, body, _pid_of(self.client_address[1]))
                upstream = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=120)
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in HOP and name.lower() != "content-length":
                        upstream.putheader(name, value)
                upstream.putheader("Content-Length", str(len(body)))
                try:
                    upstream.endheaders(body)
                    response = upstream.getresponse()
                    answer = response.read()
                except OSError:  # the emulator has ended
                    self.close_connection = True
                    return
                finally:
                    upstream.close()
                if proxy._passed(call):
                    self.close_connection = True
                    return
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in HOP and name.lower() != "content-length":
                        self.send_header(name, value)
                length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(answer))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _forward

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a killed function hangs up
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kill_after(self, function, write, action=None):
        """Kills a function when the write with this number, counted from one, has been made; of one kind if it is
        given."""
        with self._lock:
            self._armed, self.killed = [function, write, action], None

    def disarm(self):
        with self._lock:
            self._armed = None

    def _passed(self, call):
        with self._lock:
            if call.pid is None:
                return False
            self.calls.append(call)
            if not self._armed or not call.writes or self._armed[0] not in call.function:
                return False
            if self._armed[2] not in (None, call.action):
                return False
            self._armed[1] -= 1
            if self._armed[1] > 0:
                return False
            self._armed, self.killed = None, call
        # A function that the emulator, which these checks have started, runs as a process of its own.
        os.kill(call.pid, signal.SIGKILL)
        return True


def _body(request):
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    body = b""
    while size := int(request.rfile.readline().split(b";")[0], 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    while request.rfile.readline().strip():
        pass
    return body


def _environment(pid):
    try:
        pairs = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(pair.decode(errors="replace").split("=", 1) for pair in pairs if b"=" in pair)


def _pid_of(port):
    """The process at the other end of a connection from this port, if it is a function."""
    inode = None
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[1].startswith("0100007F") and fields[9] != "0":
            inode = fields[9]
    if inode is None:
        return None
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if os.path.basename(os.readlink(process / "exe")) != "bootstrap":
                continue
            if any(os.readlink(handle) == f"socket:[{inode}]" for handle in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    return None
