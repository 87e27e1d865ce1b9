"""The template, deployed to an emulator that runs the functions on this machine."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.parse

import boto3
import botocore.config

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from machine import fetch, free_port, wait_for  # noqa: E402  (the path comes first)
from proxy import Proxy  # noqa: E402

FUNCTIONS = ["ingest", "collect", "evaluate", "notify", "rollup", "query", "report"]
# The emulator knows no alarms that compute with metrics; lint.py reads those in the template.
NOT_EMULATED = ["CanaryAlarm", "CpuUsageAlarm", "MemoryUsageAlarm", "SwapUsageAlarm", "DiskUsageAlarm"]
NOT_EMULATED += ["ResponseTimeAlarm"]
REGION = "us-east-1"


def programs(target, folder):
    """Copies the built functions to where the template wants them, without what only a debugger needs."""
    for name in FUNCTIONS:
        place = folder / name / "bootstrap"
        place.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "-o", str(place), str(target / name)], check=True)


def emulated(folder):
    """The template as it is, but for what cannot be had on this machine."""
    text = (ROOT / "infra" / "template.yaml").read_text()
    for name in FUNCTIONS:
        assert f"CodeUri: ../functions/{name}\n" in text, f"the template has no function {name}"
        text = text.replace(f"CodeUri: ../functions/{name}\n", f"CodeUri: {folder / name}\n")
    text = text.replace("    Metadata: { BuildMethod: rust-cargolambda }\n", "")
    for name in NOT_EMULATED:
        text, found = re.subn(rf"\n  {name}:\n(?:(?:    .*)?\n)+", "\n", text)
        assert found == 1, f"the template has no {name}"
    variables = "    Environment:\n      Variables:\n"
    assert text.count(variables) == 1, "where are the variables of all functions?"
    text = text.replace(variables, variables + '        MIHARI_ALLOW_LOOPBACK: "true"\n')
    # It compares this number with a text when it comes from a parameter.
    assert "MaximumConcurrency: !Ref NotifyConcurrency" in text
    text = text.replace("MaximumConcurrency: !Ref NotifyConcurrency", "MaximumConcurrency: 5")
    # It asks for a right of this name, which AWS does not know: sns:Publish covers both calls.
    assert text.count("Action: sns:Publish\n                Resource: !Ref AlertTopic\n") == 1
    text = text.replace("Action: sns:Publish\n                Resource: !Ref AlertTopic\n",
                        "Action: [sns:Publish, sns:PublishBatch]\n                Resource: !Ref AlertTopic\n")
    # It does not read in a raw mail who sends it, neither for the identity nor for the condition on it.
    sender = (r"Resource:\n +- !Sub arn:\S+:identity/\*\n +- !Sub arn:\S+:configuration-set/\*\n"
              r" +Condition: \{ StringEquals: \{ ses:FromAddress: !Ref MailFrom \} \}")
    text, found = re.subn(sender, 'Resource: "*"', text)
    assert found == 2, f"{found} roles send mail"
    # It is reached in the clear, which the policies of bucket, topic and queues deny.
    assert text.count('aws:SecureTransport: "false"') == 3
    text = text.replace('aws:SecureTransport: "false"', 'aws:SecureTransport: "as you like"')
    path = folder / "template.yaml"
    path.write_text(text)
    return path


class Stack:
    """An emulator with one stack in it."""

    def __init__(self, folder, tools):
        self.folder, self.tools, self.name = pathlib.Path(folder), tools, "mihari"
        self.port, self.proxy_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": f"{tools.cli}:{tools.bin}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "SAM_CLI_TELEMETRY": "0",
        }
        self._connections = []

    @contextlib.contextmanager
    def running(self):
        """The emulator, on loopback alone, with the rights of roles enforced (AUTH)."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        self.proxy = Proxy(self.proxy_port, self.port)
        environment = {
            **self.environment,
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "AUTH": "true",
            # What functions call passes the proxy.
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.proxy_port}",
        }
        log = open(self.folder / "emulator.log", "wb")
        process = subprocess.Popen([self.tools.bin / "ministack"], env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for("the emulator", lambda: fetch(f"{self.url}/_ministack/ready")[0] == 200)
            yield self
        except BaseException:
            calls = [repr(call) for call in self.proxy.calls]
            (self.folder / "calls.log").write_text("\n".join(calls))
            print("--- what functions called last:\n" + "\n".join(calls[-15:]))
            print("--- last lines of the emulator:\n" + "\n".join(
                (self.folder / "emulator.log").read_text(errors="replace").splitlines()[-15:]))
            print("--- what functions logged last:\n" + "\n".join(self.logs()[-25:]))
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()

    def client(self, service, credentials=None):
        """A client with all rights, or with those of a function."""
        key, secret, token = credentials or ("test", "test", None)
        config = botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, read_timeout=120)
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=key,
                            aws_secret_access_key=secret, aws_session_token=token, config=config)

    def deploy(self, *parameters):
        """Deploys as the README says, with other parameters; gives what sam said."""
        command = [self.tools.bin / "sam", "deploy", "--config-file", ROOT / "samconfig.toml", "--template-file",
                   self.folder / "template.yaml", "--parameter-overrides", "Architecture=x86_64", *parameters]
        done = subprocess.run(list(map(str, command)), env=self.environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"sam deploy: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        description = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in description["Outputs"]}
        self.api = urllib.parse.urlsplit(self.outputs["Endpoint"]).hostname.split(".")[0]
        return done.stdout + done.stderr

    def physical(self, logical):
        detail = self.client("cloudformation").describe_stack_resource(StackName=self.name, LogicalResourceId=logical)
        return detail["StackResourceDetail"]["PhysicalResourceId"]

    def http(self, path, body=None, headers=None, token=None):
        """A request to the HTTP API: status, headers, body."""
        headers = {"Host": f"{self.api}.execute-api.localhost", **(headers or {})}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        command = ["curl", "-sS", "-i", "--max-time", "60", "--data-binary" if body is not None else "-o", "@-" if
                   body is not None else "-", self.url + path]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        done = subprocess.run(command, input=body, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, content = content.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return int(lines[0].split()[1]), found, content

    def json(self, path, token):
        status, _, body = self.http(path, token=token)
        assert status == 200, f"{path}: {status}: {body[:500]!r}"
        return json.loads(body)

    def query(self, expression, token, **more):
        parameters = urllib.parse.urlencode({"query": expression, **more})
        kind = "query_range" if "step" in more else "query"
        return self.json(f"/api/v1/{kind}?{parameters}", token)["data"]["result"]

    def push(self, body, token):
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
                   "X-Prometheus-Remote-Write-Version": "0.1.0"}
        return self.http("/api/v1/write", body, headers, token)

    def invoke(self, logical, event):
        """Invokes a function; gives its error, or nothing, and its answer."""
        answer = self.client("lambda").invoke(FunctionName=self.physical(logical), Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read() or b"null")
        return answer.get("FunctionError"), payload

    def flow(self, name):
        """Runs a flow as its schedule does; fails when it fails."""
        error, payload = self.invoke(f"{name.capitalize()}Function", self.scheduled(name))
        assert not error, f"{name}: {error}: {payload}"
        return payload

    def mihari(self, *arguments, check=True):
        """The command line, asking the stack through `aws`."""
        command = [str(self.tools.mihari), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def scheduled(self, name):
        """What the schedule of a function sends it."""
        schedule = self.client("scheduler").get_schedule(Name=self.physical(f"{name.capitalize()}Schedule"))
        return json.loads(schedule["Target"]["Input"])

    def objects(self, prefix):
        pages = self.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.outputs["Bucket"], Prefix=prefix)
        return [entry["Key"] for page in found for entry in page.get("Contents", [])]

    def rows(self):
        pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.outputs["Table"])
        return [{"p": row["p"]["S"], "s": row["s"]["S"]} for page in pages for row in page["Items"]]

    def mails(self):
        status, body = fetch(f"{self.url}/_ministack/ses/messages")
        assert status == 200, body
        return json.loads(body)

    def logs(self):
        lines = []
        with contextlib.suppress(Exception):
            logs = self.client("logs")
            for group in logs.describe_log_groups()["logGroups"]:
                for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]:
                    if not re.match(r"(START|END|REPORT) RequestId", event["message"]):
                        lines.append(f"{group['logGroupName']}: {event['message'][:1000]}")
        return lines

    def clean(self):
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
