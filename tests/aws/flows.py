"""Every flow, end to end, on an emulator: from a recorded Prometheus body to a mail, a webhook and a report.

The functions are the real ones, deployed from the template; what calls them is the HTTP API, the queue and the
schedules, as on AWS. Roles are enforced: a call that a function's role does not name fails.
"""

import argparse
import base64
import contextlib
import dataclasses
import datetime
import email.header
import fnmatch
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time
import urllib.parse

import boto3
import botocore.exceptions
from samcli.yamlhelper import yaml_parse

import remote_write
from stack import REGION, ROOT, Stack, emulated, fetch, free_port, programs, wait_for

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SECRET = "/mihari/hook"
SLACK_SECRET = "/mihari/slack-signing-secret"
PARAMETERS = ["MailFrom=mihari@example.com", "AlarmEmail=operations@example.com", "Language=en"]
SENDERS = ["prometheus-2.42", "vmagent-1.79", "k6-1.1"]
CRITICAL = 'go_goroutines{job="node"}'
SES = "/v2/email/outbound-emails"
MANY = 300


@dataclasses.dataclass
class Tools:
    """Where the programs of others lie, and our command line."""

    bin: pathlib.Path
    cli: pathlib.Path
    mihari: pathlib.Path


class Receiver:
    """A webhook of somebody's pager."""

    def __init__(self):
        self.port, self.got, receiver = free_port(), [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.got.append((self.path, self.headers.get("Idempotency-Key"), json.loads(body)))
                self.send_response(200)
                self.end_headers()

        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Part of the address is a secret, as with Slack.
        self.url = f"http://127.0.0.1:{self.port}/services/T0/B0/secret-of-the-hook"

    def alerts(self, name):
        return [(key, body) for _, key, body in self.got
                if any(alert["labels"].get("alertname") == name for alert in body.get("alerts", []))]

    def replies(self):
        return [body["text"] for path, _, body in self.got if path == "/reply"]


def now_ms():
    return int(time.time() * 1000)


def recording(name="prometheus-2.42"):
    return (ROOT / "tests" / "fixtures" / "remote_write" / f"{name}.body").read_bytes()


@contextlib.contextmanager
def step(what):
    start = time.monotonic()
    yield
    print(f"  {time.monotonic() - start:6.1f} s  {what}", flush=True)


def configuration(folder):
    """The plan's defaults, with receivers of these checks and a rule over the recorded series."""
    shutil.copytree(ROOT / "infra" / "config", folder, dirs_exist_ok=True)
    shutil.rmtree(folder / "rules")
    # That of the defaults names receivers of the default routes.
    (folder / "oncall.yml").write_text(f"slack_signing_secret_file: ssm:{SLACK_SECRET}\n")
    (folder / "rules").mkdir()
    (folder / "rules" / "checks.yml").write_text(f"""
groups:
  - name: checks
    rules:
      - alert: recorded
        expr: {CRITICAL} > 0
        labels: {{ severity: critical }}
        annotations: {{ summary: goroutines are there }}
      - record: recorded:goroutines
        expr: {CRITICAL}
      - alert: many
        expr: checks_many > 0
        for: 1h
""")
    (folder / "alertmanager.yml").write_text(f"""
global:
  smtp_smarthost: outbox.invalid:25
  smtp_from: somebody@example.net
route:
  receiver: everybody
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1m
receivers:
  - name: everybody
    email_configs:
      - to: operations@example.com
    webhook_configs:
      - url_file: ssm:{SECRET}
""")
    (folder / "cloudwatch.yml").write_text("""
max_dollars_per_month: 1
namespaces:
  - namespace: Checks/Polled
    metrics: [Depth]
    statistics: [Average, Maximum]
    period: 1m
    delay: 1m
""")
    return folder


def checks_of_the_edge(stack, tokens):
    """Who may come in, and what is refused."""
    body = remote_write.moved(recording(), now_ms() - 45_000)
    assert stack.push(body, None)[0] == 401
    assert stack.push(body, "mihari_wrong")[0] == 401
    assert stack.push(body, tokens["read"])[0] == 403
    status, _, answer = stack.push(b"\x00\x01 no snappy", tokens["write"])
    assert status == 400, f"a broken body: {status} {answer!r}"
    status, _, answer = stack.push(recording("npm-prometheus-remote-write"), tokens["write"])
    assert status == 400 and b"labels are not sorted" in answer, f"{status} {answer!r}"
    assert stack.http("/api/v1/query?query=up")[0] == 401
    assert stack.http("/api/v1/query?query=up", token=tokens["write"])[0] == 403
    status, headers, page = stack.http("/login")
    assert status == 200 and b"<html" in page.lower(), f"/login: {status} {page[:200]!r}"
    status, headers, style = stack.http("/", token=tokens["read"])
    assert status == 200 and headers["content-type"].startswith("text/html"), f"/: {status}"


def push_and_ask(stack, tokens):
    """Recorded bodies are taken, and every sample is there at once."""
    newest = now_ms() - 45_000
    for name in SENDERS:
        body = remote_write.moved(recording(name), newest)
        for _ in range(2):  # a sender that repeats itself
            status, _, answer = stack.push(body, tokens["write"])
            assert status in (200, 204), f"{name}: {status} {answer!r}"
    sets = {json.dumps(labels, sort_keys=True) for name in SENDERS
            for labels in remote_write.label_sets(recording(name))}
    time_s = newest / 1000
    found = stack.query('sum(count_over_time({__name__=~".+", __name__!~"mihari_.*|recorded.*"}[2m]))', tokens["read"],
                        time=time_s)
    assert found and float(found[0]["value"][1]) == len(sets), f"{len(sets)} series were sent, found {found}"
    shown = stack.mihari("query", "--stack", stack.name, "--json", CRITICAL, "--time", str(time_s)).stdout
    assert '"go_goroutines"' in shown, shown
    return newest


def alert_arrives(stack, receiver):
    """The tick publishes to the topic; the queue hands it to notify; a mail by SES and a webhook come of it.

    Notify dies when SES has the mail and before that is recorded: the repeat is the same mail, and there is one.
    """

    def told():
        stack.flow("evaluate")
        # Its timers: what was grouped is due a second later. By its queue it may be killed as well.
        error, _ = stack.invoke("NotifyFunction", stack.scheduled("notify"))
        return not error and receiver.alerts("recorded") and len(mails(stack)) >= 2

    stack.proxy.kill_after("NotifyFunction", 1, SES)
    wait_for("the webhook, and the mail again", told, 300)
    assert stack.proxy.killed, "notify was not killed"
    for _ in range(3):
        stack.flow("evaluate")
        stack.flow("notify")
    sent_ids, keys = [mail["Message-ID"] for mail in mails(stack)], {key for key, _ in receiver.alerts("recorded")}
    assert len(sent_ids) == 2 and len(set(sent_ids)) == 1, f"what was recorded is sent again: {sent_ids}"
    assert len(keys) == 1, f"the repeats of one notification have different keys: {keys}"
    key, body = receiver.alerts("recorded")[-1]
    assert key and body["status"] == "firing", body
    assert body["alerts"][0]["labels"]["severity"] == "critical", body
    mail = mails(stack)[-1]
    assert "mihari@example.com" in mail["From"] and "operations@example.com" in mail["To"], mail.items()
    assert mail["Message-ID"] and "recorded" in str(email.header.make_header(email.header.decode_header(mail["Subject"])))
    parts = {part.get_content_type() for part in mail.walk()}
    assert {"text/plain", "text/html"} <= parts, parts
    sent = [entry for entries in stack.mails()["messages"].values() for entry in entries]
    assert "operations@example.com" in sent[-1]["To"], sent
    assert "secret-of-the-hook" not in "\n".join(stack.logs()), "a secret stands in a log"


def short_wait(stack, receiver, tokens):
    """An alert of an outside sender is told when its group's wait is over: a delayed message brings notify, and no
    schedule runs."""
    alert = json.dumps([{"labels": {"alertname": "by_hand", "severity": "info"}}]).encode()
    status, _, answer = stack.http("/am/api/v2/alerts", alert, {"Content-Type": "application/json"}, tokens["write"])
    assert status == 200, f"{status}: {answer!r}"
    wait_for("a notification without the minute", lambda: receiver.alerts("by_hand"), 60)
    looks = [json.loads(call.body) for call in stack.proxy.calls if call.action == "SendMessage"]
    assert looks and all(0 <= look["DelaySeconds"] <= 60 for look in looks), looks


def button(stack, receiver):
    """Query checks by Slack's secret, which it may read, that a press is one; notify says what came of it."""
    fingerprint = receiver.alerts("by_hand")[0][1]["alerts"][0]["fingerprint"]
    payload = {"type": "block_actions", "user": {"id": "U1", "username": "aiko"},
               "actions": [{"action_id": "ack", "value": fingerprint}],
               "response_url": f"http://127.0.0.1:{receiver.port}/reply"}
    body, sent = urllib.parse.urlencode({"payload": json.dumps(payload)}), str(int(time.time()))
    for secret, expected in (("somebody else's", 403), ("signs for slack", 200)):
        signature = hmac.new(secret.encode(), f"v0:{sent}:{body}".encode(), hashlib.sha256).hexdigest()
        status, _, answer = stack.http("/slack/actions", body.encode(), {
            "Content-Type": "application/x-www-form-urlencoded", "X-Slack-Request-Timestamp": sent,
            "X-Slack-Signature": f"v0={signature}"})
        assert status == expected, f"{status}: {answer!r}"
    wait_for("what came of the button", receiver.replies, 60)
    assert receiver.replies() == ["slack:aiko: ack"], receiver.replies()


def mails(stack):
    """What went to SES, as it went there."""
    bodies = [json.loads(call.body) for call in stack.proxy.calls if call.action == SES]
    return [email.message_from_bytes(base64.b64decode(body["Content"]["Raw"]["Data"])) for body in bodies]


def ingest_is_killed(stack, tokens):
    """It dies when the samples are durable and before it has said so; the sender repeats itself; one copy is there."""
    at = now_ms() - 45_000
    body = remote_write.written(({"__name__": "checks_killed_ingest"}, [(at, 1.0)]))
    stack.proxy.kill_after("IngestFunction", 1)
    status, _, _ = stack.push(body, tokens["write"])
    stack.proxy.disarm()
    assert status >= 500 and stack.proxy.killed, f"{status}, killed {stack.proxy.killed}"
    status, _, answer = stack.push(body, tokens["write"])
    assert status in (200, 204), f"{status} {answer!r}"
    found = stack.query("count_over_time(checks_killed_ingest[5m])", tokens["read"])
    assert [series["value"][1] for series in found] == ["1"], found


def ingest_is_killed_between(stack, tokens):
    """It dies when the object of a large request is stored and before the row that names it; the sender repeats it."""
    at, chance = now_ms() - 45_000, random.Random(7)
    samples = [(at - 3_000 * index, chance.random()) for index in range(3000)]
    body = remote_write.written(({"__name__": "checks_killed_large"}, samples[::-1]))
    before = set(stack.objects("wal/"))
    stack.proxy.kill_after("IngestFunction", 1, "PUT object")
    status, _, _ = stack.push(body, tokens["write"])
    stack.proxy.disarm()
    assert status >= 500 and stack.proxy.killed, f"{status}, killed {stack.proxy.killed}"
    [stored] = set(stack.objects("wal/")) - before
    name = stored.rpartition("/")[2]
    assert not named(stack, name), "the row is there before the function had the answer to its put"
    found = stack.query("count_over_time(checks_killed_large[3h])", tokens["read"])
    assert not found, f"an object that no row names is read: {found}"
    for _ in range(2):
        status, _, answer = stack.push(body, tokens["write"])
        assert status in (200, 204), f"{status} {answer!r}"
    assert 1 <= len(named(stack, name)) <= 2, "one row a minute of arrival"
    found = stack.query("count_over_time(checks_killed_large[3h])", tokens["read"])
    assert [series["value"][1] for series in found] == ["3000"], found


def named(stack, name):
    """The rows of the log that name a blob."""
    return [row for row in stack.rows() if row["p"].startswith("w#") and row["s"].endswith(f"#{name}")]


def large_state(stack, tokens):
    """Rules whose state is too large for the tick's row: it is an object, which the next tick and the pages read."""
    chance = random.Random(8)
    many = [({"__name__": "checks_many", "instance": f"{chance.getrandbits(64):016x}"}, [(now_ms() - 45_000, 1.0)])
            for _ in range(MANY)]
    status, _, answer = stack.push(remote_write.written(*many), tokens["write"])
    assert status in (200, 204), f"{status} {answer!r}"

    def pending():
        stack.flow("evaluate")
        alerts = stack.json("/api/v1/alerts", tokens["read"])["data"]["alerts"]
        return {alert["labels"]["instance"] for alert in alerts
                if (alert["labels"]["alertname"], alert["state"]) == ("many", "pending")}

    wait_for("all pending alerts", lambda: len(pending()) == MANY, 120)
    assert stack.objects("tick/"), "the state stands in the row"
    assert pending() == {labels["instance"] for labels, _ in many}, "the tick after it knows other alerts"


def killed_until_done(stack, function, flow, least):
    """Runs a flow and kills it after its first write, its second, and so on, until it comes through."""
    killed = []
    for write in range(1, 60):
        stack.proxy.kill_after(function, write)
        error, payload = stack.invoke(function, stack.scheduled(flow))
        stack.proxy.disarm()
        if stack.proxy.killed is None:
            assert not error, f"{flow} after {killed}: {error} {payload}"
            assert len(killed) >= least, f"{flow} was killed {len(killed)} times only: {killed}"
            return killed
        assert error, f"{flow} was killed and did not fail"
        killed.append(stack.proxy.killed.action)
    raise AssertionError(f"{flow} never comes through: {killed}")


def history(stack, tokens):
    """An hour of samples, one a minute, three hours ago."""
    hour = now_ms() // HOUR_MS * HOUR_MS - 3 * HOUR_MS
    for part in range(4):
        samples = [(hour + minute * MINUTE_MS, float(minute)) for minute in range(part, 60, 4)]
        status, _, answer = stack.push(remote_write.written(({"__name__": "checks_history"}, samples)), tokens["write"])
        assert status in (200, 204), f"{status} {answer!r}"
    return hour


def history_is_whole(stack, tokens, hour):
    parameters = {"start": hour / 1000, "end": (hour + 59 * MINUTE_MS) / 1000, "step": "60s"}
    found = stack.query("checks_history", tokens["read"], **parameters)
    values = [float(value) for _, value in found[0]["values"]] if found else []
    assert values == [float(minute) for minute in range(60)], found
    found = stack.query("count_over_time(checks_history[1h])", tokens["read"], time=(hour + 59 * MINUTE_MS + 1) / 1000)
    assert found[0]["value"][1] == "60", found


def of_hour(row, hour):
    """Whether a row is of the catalogue, and of this hour."""
    return row["p"].startswith("c#") and row["s"].split("#")[0].endswith(str(hour // HOUR_MS))


def chunks_and_blocks(stack, tokens, hour, closed_at):
    """Ticks and rollups that die after any of their writes leave one copy of everything."""
    time.sleep(max(0.0, closed_at - time.time()))
    with step("evaluate is killed between its writes"):
        killed = killed_until_done(stack, "EvaluateFunction", "evaluate", 3)
    print(f"           after {', '.join(killed)}")
    history_is_whole(stack, tokens, hour)
    rows = stack.rows()
    assert len([row for row in rows if of_hour(row, hour) and row["s"].split("#")[1] == "0"]) == 1, rows
    with step("rollup is killed between its writes"):
        killed = killed_until_done(stack, "RollupFunction", "rollup", 2)
    print(f"           after {', '.join(killed)}")
    history_is_whole(stack, tokens, hour)
    rows = stack.rows()
    assert len([row for row in rows if of_hour(row, hour) and row["s"].split("#")[1] == "1"]) == 1, rows
    assert [row for row in rows if row["p"].startswith("u#")], f"no rollups: {rows}"


def cloudwatch(stack, tokens):
    """Metrics that are polled, and metrics that a stream delivers through Firehose."""
    minute = now_ms() // MINUTE_MS * MINUTE_MS
    points = [{"MetricName": "Depth", "Dimensions": [{"Name": "Queue", "Value": "a"}], "Value": float(value),
               "Timestamp": datetime.datetime.fromtimestamp((minute - back * MINUTE_MS + 5_000) / 1000, datetime.timezone.utc)}
              for back in (4, 5, 6) for value in (back, back + 2)]
    stack.client("cloudwatch").put_metric_data(Namespace="Checks/Polled", MetricData=points)
    streamed = {"metric_stream_name": "checks", "account_id": "123456789012", "region": REGION, "namespace": "AWS/EC2",
                "metric_name": "CPUUtilization", "dimensions": {"InstanceId": "i-0123"}, "timestamp": minute - MINUTE_MS,
                "value": {"max": 30.0, "min": 10.0, "sum": 40.0, "count": 2.0}, "unit": "Percent"}
    record = base64.b64encode(json.dumps(streamed).encode() + b"\n").decode()
    request = json.dumps({"requestId": "1", "timestamp": now_ms(), "records": [{"data": record}]}).encode()
    headers = {"Content-Type": "application/json", "X-Amz-Firehose-Request-Id": "1"}
    assert stack.http("/firehose", request, {**headers, "X-Amz-Firehose-Access-Key": "wrong"})[0] in (401, 403)
    status, _, answer = stack.http("/firehose", request, {**headers, "X-Amz-Firehose-Access-Key": tokens["write"]})
    assert status == 200 and json.loads(answer)["requestId"] == "1", f"{status} {answer!r}"
    found = stack.query("last_over_time(aws_ec2_cpuutilization_average[10m])", tokens["read"])
    assert [series["value"][1] for series in found] == ["20"], found
    assert found[0]["metric"]["dimension_InstanceId"] == "i-0123", found

    def polled():
        stack.flow("collect")
        return stack.query("count_over_time(aws_checks_polled_depth_maximum[15m])", tokens["read"])

    wait_for("polled metrics", polled, 180)
    found = stack.query("max_over_time(aws_checks_polled_depth_maximum[15m])", tokens["read"])
    assert found[0]["value"][1] == "8", found
    found = stack.query("max_over_time(aws_checks_polled_depth_average[15m])", tokens["read"])
    assert found[0]["value"][1] == "7" and found[0]["metric"]["dimension_Queue"] == "a", found


def reports(stack, tokens):
    """Written to the object store; a link brings one to whoever has it, an altered one does not."""
    stack.flow("report")
    today = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=9))).date().isoformat()
    stack.mihari("report", "daily", "--day", today, "--stack", stack.name)
    assert stack.objects("reports/"), "no report is stored"
    status, _, page = stack.http("/reports", token=tokens["read"])
    links = [link.replace("&amp;", "&") for link in re.findall(r'"[^"]*?(/r/[^"]+?)"', page.decode())]
    assert status == 200 and links, f"/reports has no links: {status} {page[:3000]!r}"
    status, headers, _ = stack.http(links[0])
    assert status == 302 and headers["referrer-policy"] == "no-referrer", f"{links[0]}: {status} {headers}"
    status, body = fetch(headers["location"])
    assert status == 200 and b"<html" in body.lower(), f"{headers['location']}: {status} {body[:300]!r}"
    altered = headers["location"].replace("reports/", "config/", 1)
    assert fetch(altered)[0] == 403, "the store's own link opens another object"
    path, _, query = links[0].partition("?")
    pairs = dict(urllib.parse.parse_qsl(query))
    for change in ({"e": str(int(pairs["e"]) + 1)}, {"s": pairs["s"][:-2] + ("AA" if pairs["s"][-2:] != "AA" else "BB")}):
        status, _, body = stack.http(f"{path}?{urllib.parse.urlencode({**pairs, **change})}")
        assert status == 403 and "location" not in _, f"an altered link: {status} {body[:300]!r}"


def roles_refuse(stack):
    """What a function's role does not name is refused: asked with the credentials of a running function."""
    credentials = {}
    for call in stack.proxy.calls:
        if match := re.search(r"mihari-(\w+)Function", call.function):
            credentials[match[1]] = call.credentials
    table, bucket = stack.outputs["Table"], stack.outputs["Bucket"]
    key = {"p": {"S": "k#"}, "s": {"S": "none"}}
    refused = [
        ("Ingest", "dynamodb", lambda client: client.delete_item(TableName=table, Key=key)),
        ("Ingest", "s3", lambda client: client.put_object(Bucket=bucket, Key="config/x", Body=b"")),
        ("Ingest", "sns", lambda client: client.publish(TopicArn=stack.physical("AlertTopic"), Message="x")),
        ("Evaluate", "s3", lambda client: client.delete_object(Bucket=bucket, Key="raw/x")),
        ("Evaluate", "ssm", lambda client: client.get_parameter(Name=SECRET)),
        ("Notify", "s3", lambda client: client.put_object(Bucket=bucket, Key="raw/x", Body=b"")),
        ("Notify", "ssm", lambda client: client.get_parameter(Name="/other/secret")),
        ("Query", "sns", lambda client: client.publish(TopicArn=stack.physical("AlertTopic"), Message="x")),
        ("Query", "ssm", lambda client: client.get_parameter(Name=SECRET)),
        ("Query", "sqs", lambda client: client.receive_message(QueueUrl=stack.physical("AlertQueue"))),
        ("Evaluate", "sqs", lambda client: client.send_message(QueueUrl=stack.physical("AlertQueue"), MessageBody="x")),
        ("Query", "s3", lambda client: client.delete_object(Bucket=bucket, Key="raw/x")),
    ]
    for role, service, call in refused:
        try:
            call(stack.client(service, credentials[role]))
        except botocore.exceptions.ClientError as error:
            assert "AccessDenied" in error.response["Error"]["Code"] or "Authorization" in error.response["Error"]["Code"], error
        else:
            raise AssertionError(f"the role of {role} may do what it should not, with {service}")


def ingest_keeps_to_its_rows(stack):
    """The emulator does not look at the keys of rows: each call of ingest is held to its role's conditions here."""
    template = yaml_parse((ROOT / "infra" / "template.yaml").read_text())
    [policy] = template["Resources"]["IngestRole"]["Properties"]["Policies"]
    allowed = {}
    for statement in policy["PolicyDocument"]["Statement"]:
        if "Condition" in statement:
            patterns = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            for action in statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]:
                allowed[action.removeprefix("dynamodb:")] = patterns
    seen = set()
    for call in stack.proxy.calls:
        if "IngestFunction" in call.function and call.action in ("GetItem", "Query", "PutItem", "BatchWriteItem"):
            for key in call.leading_keys():
                assert any(fnmatch.fnmatchcase(key, pattern) for pattern in allowed[call.action]), f"{call}: {key}"
                seen.add((call.action, key[:2]))
    assert {("GetItem", "k#"), ("GetItem", "t#"), ("PutItem", "w#"), ("BatchWriteItem", "l#")} <= seen, seen


def schedules_run(stack):
    """Enabled, the schedules run their functions without anybody."""
    before = len(stack.proxy.calls)
    stack.deploy(*PARAMETERS, "Schedules=ENABLED")

    def ran():
        return {name for call in stack.proxy.calls[before:] for name in ("Evaluate", "Notify") if name in call.function}

    wait_for("scheduled minutes", lambda: ran() == {"Evaluate", "Notify"}, 240)


def run(stack, receiver, mode):
    with step("deployed"):
        stack.deploy(*PARAMETERS, "Schedules=DISABLED")
    stack.client("sesv2").create_email_identity(EmailIdentity="mihari@example.com")
    stack.client("ssm").put_parameter(Name=SECRET, Value=receiver.url, Type="SecureString")
    stack.client("ssm").put_parameter(Name=SLACK_SECRET, Value="signs for slack", Type="SecureString")
    with step("first tokens and configuration, by the operator's door"):
        tokens = {}
        for scope in ("write", "read"):
            created = stack.mihari("token", "create", "--stack", stack.name, "--name", f"check-{scope}", "--scopes", scope)
            tokens[scope] = created.stdout.strip()
        folder = configuration(stack.folder / "config")
        stack.mihari("config", "push", str(folder), "--stack", stack.name)
        (folder / "rules" / "checks.yml").write_text("groups: [{name: broken, rules: [{alert: x, expr: 'sum('}]}]")
        broken = stack.mihari("config", "push", str(folder), "--stack", stack.name, check=False)
        assert broken.returncode == 1 and "checks.yml" in broken.stdout + broken.stderr, broken
    with step("who may come in"):
        checks_of_the_edge(stack, tokens)
    with step("recorded bodies, taken and asked for"):
        push_and_ask(stack, tokens)
    with step("ingest is killed after its write"):
        ingest_is_killed(stack, tokens)
        ingest_is_killed_between(stack, tokens)
    with step("an alert becomes a mail and a webhook, also when notify dies in between"):
        alert_arrives(stack, receiver)
    with step("an hour of history, taken and asked for"):
        hour = history(stack, tokens)
        history_is_whole(stack, tokens, hour)
        closed_at = (time.time() // 60 + 1) * 60 + 121
    with step("reports and their links"):
        reports(stack, tokens)
    with step("metrics of CloudWatch, streamed and polled"):
        cloudwatch(stack, tokens)
    with step("a short wait ends without the minute, and a button in Slack is answered"):
        short_wait(stack, receiver, tokens)
        button(stack, receiver)
    with step("roles refuse"):
        roles_refuse(stack)
        ingest_keeps_to_its_rows(stack)
    with step("the same deploy again changes nothing"):
        assert "No changes to deploy" in stack.deploy(*PARAMETERS, "Schedules=DISABLED")
    # No tick has run since the history came, so that the one that is killed finds a closed minute with it.
    chunks_and_blocks(stack, tokens, hour, closed_at)
    with step("a state of rules that does not fit into a row"):
        large_state(stack, tokens)
    with step("schedules"):
        schedules_run(stack)
    depth = stack.client("sqs").get_queue_attributes(QueueUrl=stack.physical("DeadLetterQueue"),
                                                     AttributeNames=["ApproximateNumberOfMessages"])
    print(f"  dead letters: {depth['Attributes']['ApproximateNumberOfMessages']}")


# Which SDKs each function calls; no more may be linked, since they cost time at every start.
STORES = {"dynamodb", "s3"}
LINKED = {
    "ingest": STORES, "rollup": STORES, "query": STORES | {"ssm"}, "mihari": set(), "collect": STORES | {"cloudwatch"},
    "evaluate": STORES | {"sns"}, "report": STORES | {"sesv2"},
    "notify": STORES | {"cloudwatch", "sns", "sesv2", "ssm"},
}


def links_only_what_it_calls(target):
    for name, sdks in LINKED.items():
        symbols = subprocess.run(["nm", "-C", target / name], capture_output=True, text=True, check=True).stdout
        found = set(re.findall(r"\baws_sdk_([a-z0-9]+)::", symbols))
        assert found == sdks, f"{name} links the SDKs {sorted(found)}, and calls {sorted(sdks)}"
        assert "aws_lc" not in symbols, f"{name} links aws-lc, which takes 23 ms at each start"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", type=pathlib.Path, required=True)
    parser.add_argument("--target", type=pathlib.Path, required=True)
    parser.add_argument("--mode", choices=["short", "full"], default="short")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / ".cache" / "aws" / "run")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tools = Tools((arguments.tools / "sam" / "bin").absolute(), (arguments.tools / "cli" / "bin").absolute(),
                  (arguments.target / "mihari").absolute())
    links_only_what_it_calls(arguments.target)
    programs(arguments.target, folder)
    emulated(folder)
    stack, receiver = Stack(folder, tools), Receiver()
    with stack.running():
        run(stack, receiver, arguments.mode)
    stack.clean()


if __name__ == "__main__":
    main()
