"""What linters and we ourselves ask of the template, without deploying it."""

import json
import pathlib
import re
import subprocess
import sys

from samcli.yamlhelper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
RECORD = ROOT / "shared" / "decisions" / "0008-what-the-security-linter-finds.md"
# Where AWS knows no resources to name, and nowhere else, a statement names all of them.
NAMELESS = {"cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics", "cloudwatch:ListMetrics",
            "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "sns:CheckIfPhoneNumberIsOptedOut",
            "sns:GetSMSAttributes", "sns:GetSMSSandboxAccountStatus", "sns:ListSMSSandboxPhoneNumbers"}
# Dollars of alarms a month, before free tiers: each metric that an alarm reads is billed.
ALARM_METRICS_MAX = 5
ALARM_METRIC_DOLLARS = 0.10


def linters(bin_folder):
    """cfn-lint with its hints, and sam's own validation."""
    run([bin_folder / "cfn-lint", "-c", "I", "--", TEMPLATE])
    run([bin_folder / "sam", "validate", "--config-file", ROOT / "samconfig.toml", "--template-file", TEMPLATE, "--region",
         "us-east-1"])


def security_linter(checkov):
    """checkov finds exactly what the decision record answers."""
    command = [checkov, "-f", TEMPLATE, "--framework", "cloudformation", "--skip-download", "--output", "json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    found = {(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]}
    assert report["summary"]["passed"] > 50, f"checkov looked at little: {report['summary']}"
    answered = set(re.findall(r"^\| (CKV\w+) \|", RECORD.read_text(), re.MULTILINE))
    unanswered = sorted(pair for pair in found if pair[0] not in answered)
    assert not unanswered, f"findings without an answer in {RECORD.name}: {unanswered}"
    stale = answered - {check for check, _ in found}
    assert not stale, f"{RECORD.name} answers what is no longer found: {sorted(stale)}"


def statements(resources):
    for name, resource in resources.items():
        for policy in resource["Properties"].get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement["Fn::If"][1] if "Fn::If" in statement else statement


def least_privilege(resources):
    """Named actions on named resources; one role a function."""
    roles = []
    for name, resource in resources.items():
        if resource["Type"] == "AWS::Serverless::Function":
            roles.append(json.dumps(resource["Properties"]["Role"]))
    assert len(roles) == len(set(roles)) == 7, f"functions share roles: {roles}"
    for role, statement in statements(resources):
        actions = flat(statement["Action"])
        assert not [action for action in actions if "*" in action], f"{role}: {actions}"
        assert statement["Effect"] == "Allow", f"{role}: {statement}"
        if statement.get("Resource") == "*":
            assert set(actions) <= NAMELESS, f"{role} may do {actions} to everything"
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            size = sum(len(re.sub(r"\s", "", json.dumps(policy))) for policy in resource["Properties"]["Policies"])
            assert size < 10_240, f"the policies of {name} have {size} characters; IAM takes 10,240"


def metrics_of(alarm):
    metrics = alarm["Properties"].get("Metrics")
    return sum("MetricStat" in metric for metric in metrics) if metrics else 1


def few_secrets(template):
    """Only who tells people reads their secrets; who checks Slack's requests reads that one secret, and puts into one
    queue."""
    readers = {}
    for role, statement in statements(template["Resources"]):
        if "ssm:GetParameter" in flat(statement["Action"]):
            readers.setdefault(role, []).extend(json.dumps(name) for name in flat(statement["Resource"]))
    assert set(readers) == {"NotifyRole", "QueryRole"}, f"secrets are read by {sorted(readers)}"
    one = re.compile(r"parameter/\$\{SecretsPath\}/slack-signing-secret(/\*)?\"")
    assert all(one.search(name) for name in readers["QueryRole"]), readers["QueryRole"]
    senders = {role for role, statement in statements(template["Resources"])
               if "sqs:SendMessage" in flat(statement["Action"])
               and {"Fn::GetAtt": ["AlertQueue", "Arn"]} in flat(statement.get("Resource", []))}
    assert senders == {"NotifyRole", "QueryRole"}, f"into the queue of alerts put {sorted(senders)}"


def alarms(resources):
    """Few alarms, few metrics, and a canary that also tells of silence."""
    ours = {name: resource for name, resource in resources.items()
            if resource["Type"] == "AWS::CloudWatch::Alarm" and "Condition" not in resource}
    read = sum(map(metrics_of, ours.values()))
    assert len(ours) <= 5 and read <= ALARM_METRICS_MAX, f"{len(ours)} alarms read {read} metrics"
    print(f"  {len(ours)} alarms read {read} metrics: ${read * ALARM_METRIC_DOLLARS:.2f} a month")
    for name, alarm in ours.items():
        assert alarm["Properties"]["AlarmActions"], f"nobody is told by {name}"
    canary = ours["CanaryAlarm"]["Properties"]
    by_id = {metric["Id"]: metric for metric in canary["Metrics"]}
    assert by_id["ticks"]["Expression"] == "invocations - errors" and by_id["ticks"]["ReturnData"]
    for key, metric in (("invocations", "Invocations"), ("errors", "Errors")):
        stat = by_id[key]["MetricStat"]
        assert (stat["Metric"]["MetricName"], stat["Stat"], stat["Period"]) == (metric, "Sum", 60)
        assert stat["Metric"]["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "EvaluateFunction"}}]
        assert not by_id[key]["ReturnData"]
    assert canary["TreatMissingData"] == "breaching" and canary["ComparisonOperator"] == "LessThanThreshold"
    # The documented way of alarms with missing data: two periods beyond those asked for are looked at.
    silent_minutes = canary["DatapointsToAlarm"] + 2
    assert silent_minutes + 1 <= 5, f"a total outage pages after {silent_minutes} minutes and one of delay"


def limits(resources, parameters):
    """Documented limits that an emulator does not hold us to."""
    assert TEMPLATE.stat().st_size < 1_000_000 and len(resources) < 500 and len(parameters) < 200
    queue = resources["AlertQueue"]["Properties"]
    notify = resources["NotifyFunction"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * notify["Timeout"], "AWS asks for six times the function's time"
    assert queue["RedrivePolicy"]["maxReceiveCount"] >= 5, "AWS asks for five tries"
    for name, resource in resources.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Serverless::Function":
            assert 128 <= properties["MemorySize"] <= 3008, f"{name}: small accounts get 3,008 MB at most"
            assert properties["Timeout"] <= 900, name
            reserved = properties.get("ReservedConcurrentExecutions")
            by_choice = {"Fn::If": ["HasIngestConcurrency", {"Ref": "IngestConcurrency"}, {"Ref": "AWS::NoValue"}]}
            assert reserved == (by_choice if name == "IngestFunction" else None), f"{name}: small accounts refuse that"
            assert "Destination" not in json.dumps(properties) or "SQS" in json.dumps(properties), name
        if resource["Type"] == "AWS::ApiGatewayV2::Integration":
            assert 50 <= properties["TimeoutInMillis"] <= 30_000, f"{name}: HTTP APIs wait 30 s at most"
    for name in ("IngestFunction", "QueryFunction"):
        assert resources[name]["Properties"]["Timeout"] < 30, f"{name} would outlive the HTTP API's patience"
    for name in ("CollectSchedule", "EvaluateSchedule", "NotifySchedule"):
        retries = resources[name]["Properties"]["Target"]["RetryPolicy"]
        assert retries == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}, name
        function = resources[name.replace("Schedule", "Function")]["Properties"]
        invoke = function["EventInvokeConfig"]
        assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (0, 60), name


def narrow_doors(template):
    """Ingest, which anybody may ask, touches only its own rows; and nothing that anybody may ask is without a bound."""
    seen = set()
    for role, statement in statements(template["Resources"]):
        if role == "IngestRole" and statement["Resource"] == {"Fn::GetAtt": ["Table", "Arn"]}:
            keys = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            assert keys and all(re.fullmatch(r"[a-z]#\*?", key) for key in keys), keys
            writes = not {"dynamodb:GetItem", "dynamodb:Query"} & set(flat(statement["Action"]))
            assert not writes or "k#" not in keys, "ingest could make tokens"
            seen |= set(keys)
    assert {"k#", "w#*"} <= seen, f"the role of ingest names no rows: {seen}"
    stage = [resource["Properties"] for resource in template["Resources"].values()
             if resource["Type"] == "AWS::ApiGatewayV2::Stage"]
    assert stage and all("ThrottlingRateLimit" in properties["DefaultRouteSettings"] for properties in stage)
    urls = {name: resource for name, resource in template["Resources"].items() if resource["Type"] == "AWS::Lambda::Url"}
    assert list(urls) == ["IngestUrl"] and urls["IngestUrl"]["Condition"] == "HasIngestUrl", urls
    bound = template["Rules"]["IngestUrlNeedsBound"]
    assert bound["RuleCondition"] == template["Conditions"]["HasIngestUrl"]
    assert bound["Assertions"][0]["Assert"] == template["Conditions"]["HasIngestConcurrency"]
    parameters = template["Parameters"]
    assert (parameters["IngestFunctionUrl"]["Default"], parameters["IngestConcurrency"]["Default"]) == ("false", 0)


def flat(value):
    return value if isinstance(value, list) else [value]


def quiet(template):
    """Logs are kept for a while, and the platform says little."""
    logging = template["Globals"]["Function"]["LoggingConfig"]
    assert (logging["LogFormat"], logging["SystemLogLevel"]) == ("JSON", "WARN")
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Logs::LogGroup":
            assert "RetentionInDays" in resource["Properties"], f"{name} keeps its logs for ever"
        if resource["Type"] == "AWS::Serverless::Function":
            assert "LogGroup" in resource["Properties"]["LoggingConfig"], f"{name} makes a log group of its own"
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    costly = {"AWS::KMS::Key", "AWS::SecretsManager::Secret", "AWS::EC2::NatGateway"}
    assert not kinds & costly, f"these cost a dollar or more a month each: {kinds & costly}"


def run(command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}\n{done.stderr}"


def main():
    bin_folder, checkov = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    template = yaml_parse(TEMPLATE.read_text())
    resources = template["Resources"]
    for check in (lambda: linters(bin_folder), lambda: security_linter(checkov), lambda: least_privilege(resources),
                  lambda: alarms(resources), lambda: limits(resources, template["Parameters"]), lambda: narrow_doors(template),
                  lambda: few_secrets(template), lambda: quiet(template)):
        check()
    print("the template holds")


if __name__ == "__main__":
    main()
