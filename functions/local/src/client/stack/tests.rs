use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use app::http::operator::OperatorEvent;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::super::ClientError;
use super::*;

/// Only one test at a time writes a program and runs it: one that is being written in one thread cannot be run while
/// another thread's child has inherited the open file.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A program in place of `aws`: it answers as the real one does, and keeps what it was asked.
struct FakeAws {
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl FakeAws {
    /// `describe` and `invoke` are the bodies of shell functions; `$out` is the file for the function's answer.
    async fn new(describe: &str, invoke: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            r#"#!/bin/sh
dir="{}"
echo "$@" >> "$dir/calls"
describe() {{ {describe}
}}
invoke() {{ for out in "$@"; do :; done
while [ $# -gt 0 ]; do [ "$1" = --payload ] && cp "${{2#fileb://}}" "$dir/payload"; shift; done
{invoke}
}}
case "$1 $2" in
"cloudformation describe-stack-resource") describe ;;
"lambda invoke") invoke "$@" ;;
*) echo "usage: aws" >&2; exit 2 ;;
esac
"#,
            dir.path().display()
        );
        let path = dir.path().join("aws");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir, _turn: turn }
    }

    /// One that finds the function and gives this answer.
    async fn answering(reply: &str) -> Self {
        let invoke = format!("cat > \"$out\" <<'END'\n{reply}\nEND\necho '{{\"StatusCode\": 200}}'");
        Self::new("echo demo-QueryFunction-1ABC", &invoke).await
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("aws")
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    fn payload(&self) -> OperatorEvent {
        serde_json::from_slice(&fs::read(self.dir.path().join("payload")).unwrap()).unwrap()
    }
}

fn stack(aws: &Path) -> Stack {
    Stack::new(&aws.display().to_string(), "demo", Some("aiko"))
}

async fn ask(aws: &Path) -> Result<Answer, StackError> {
    let url = Url::parse("https://stack.invalid/api/v1/query?time=12").unwrap();
    let body = Some(("application/x-www-form-urlencoded", "query=up%7Ba%3D%22b%22%7D".to_owned()));
    stack(aws).ask("POST", &url, body, Some("shop")).await
}

#[tokio::test]
async fn a_request_reaches_the_function_of_the_stack() {
    let aws = FakeAws::answering(r#"{"status":200,"content_type":"application/json","body":"{\"a\":1}"}"#).await;
    let answer = ask(&aws.path()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, r#"{"a":1}"#));
    let calls = aws.calls();
    assert_eq!(
        calls[0],
        "cloudformation describe-stack-resource --stack-name demo --logical-resource-id QueryFunction \
         --query StackResourceDetail.PhysicalResourceId --output text"
    );
    assert!(
        calls[1].starts_with("lambda invoke --function-name demo-QueryFunction-1ABC --payload fileb:///"),
        "{calls:?}"
    );
    let OperatorEvent { operator } = aws.payload();
    assert_eq!((operator.method.as_str(), operator.path.as_str()), ("POST", "/api/v1/query?time=12"));
    assert_eq!(operator.body, "query=up%7Ba%3D%22b%22%7D");
    assert_eq!((operator.tenant.as_deref(), operator.author.as_deref()), (Some("shop"), Some("aiko")));
}

#[tokio::test]
async fn nothing_is_left_in_the_folder_of_temporary_files() {
    let aws = FakeAws::answering(r#"{"status":201,"body":"{\"token\":\"mihari_secret\"}"}"#).await;
    ask(&aws.path()).await.unwrap();
    let call = &aws.calls()[1];
    let payload = call.split("fileb://").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!Path::new(payload).parent().unwrap().exists(), "{payload}");
}

#[tokio::test]
async fn answers_may_be_bytes() {
    let aws = FakeAws::answering(r#"{"status":200,"body":"eyJhIjoxfQ==","is_base64":true}"#).await;
    assert_eq!(ask(&aws.path()).await.unwrap().text, r#"{"a":1}"#);
}

/// What the real program prints, and what people are told.
#[tokio::test]
async fn what_aws_says_becomes_what_to_do() {
    let says = |text: &str| format!("echo \"\n{text}\" >&2; exit 254");
    let called = "An error occurred (ValidationError) when calling the DescribeStackResource operation:";
    let cases = [
        (says(&format!("{called} Stack 'demo' does not exist")), "there is no stack \"demo\" in this account"),
        (
            says(&format!("{called} Resource QueryFunction does not exist for stack demo")),
            "the stack \"demo\" has no QueryFunction: it is none of Mihari's",
        ),
        ("echo None".to_owned(), "the stack \"demo\" has no QueryFunction"),
        (says("You must specify a region. You can also configure your region"), "no region is chosen: set AWS_REGION"),
        (says("Unable to locate credentials. You can configure"), "AWS does not know who asks: Unable to locate"),
        (says("The config profile (x) could not be found"), "AWS does not know who asks: The config profile (x)"),
        (
            says("An error occurred (ExpiredToken) when calling the X operation: expired"),
            "AWS does not know who asks: An error occurred (ExpiredToken)",
        ),
        (
            says("An error occurred (AccessDenied) when calling the X operation: User: u is not authorized"),
            "AWS does not allow it: An error occurred (AccessDenied)",
        ),
        (
            says("Could not connect to the endpoint URL"),
            "`aws cloudformation describe-stack-resource` failed: Could not connect to the endpoint URL",
        ),
    ];
    for (describe, expected) in cases {
        let aws = FakeAws::new(&describe, "exit 1").await;
        let error = ask(&aws.path()).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{describe}\ngave {error}");
        assert_eq!(aws.calls().len(), 1, "nothing was invoked");
    }
}

#[tokio::test]
async fn a_function_that_fails_or_is_another_ones_is_named() {
    let failing = "echo '{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\"out of memory\"}' > \"$out\"
        echo '{\"StatusCode\": 200, \"FunctionError\": \"Unhandled\"}'";
    let cases = [
        (failing, "the function of the stack \"demo\" failed: out of memory"),
        ("echo '\"hello\"' > \"$out\"; echo '{}'", "it does not answer as an operator's door: \"\\\"hello\\\""),
        ("echo '{\"status\":9,\"body\":\"\"}' > \"$out\"; echo '{}'", "its answer has the status 9"),
        (
            "echo 'An error occurred (AccessDeniedException) when calling the Invoke operation: no' >&2; exit 254",
            "AWS does not allow it: An error occurred (AccessDeniedException)",
        ),
        ("echo '{}'", "`aws lambda invoke` failed: No such file"),
    ];
    for (invoke, expected) in cases {
        let aws = FakeAws::new("echo f", invoke).await;
        let error = ask(&aws.path()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{invoke}\ngave {error}");
    }
}

#[tokio::test]
async fn without_aws_it_says_what_is_missing() {
    let error = ask(Path::new("/nowhere/aws")).await.unwrap_err();
    assert!(error.to_string().contains("needs the command line of AWS"), "{error}");
    assert_eq!(ClientError::from(error).retry_after(), None);
}
