//! A stack on AWS, asked by its operator's door: the command line `aws` finds the stack's `query` function and invokes
//! it, with whatever credentials and region it has been given. So this program needs no credentials of its own.

use std::fs;
use std::io;
use std::process::{Command, Output, Stdio};

use app::http::operator::{OperatorEvent, OperatorReply, OperatorRequest};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::excerpt;

/// The function that answers operators, by its name in the stack's template.
const FUNCTION: &str = "QueryFunction";

/// Why a stack cannot be asked, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    /// There is no such program.
    #[error(
        "--stack needs the command line of AWS, and there is no program `{0}` on the PATH: install it, or name the \
         server with --url and --token"
    )]
    NoAws(String),
    /// There is no such stack.
    #[error(
        "there is no stack {stack:?} in this account and region; AWS_REGION and AWS_PROFILE choose others, and \
         `aws cloudformation list-stacks` shows what there is"
    )]
    NoStack {
        /// Its name.
        stack: String,
    },
    /// There is a stack, but it is another program's.
    #[error("the stack {stack:?} has no {FUNCTION}: it is none of Mihari's, or its deployment has failed")]
    OtherStack {
        /// Its name.
        stack: String,
    },
    /// Nobody is known to AWS.
    #[error("AWS does not know who asks: {message}; log in as for any other command of `aws`")]
    Unknown {
        /// What `aws` says.
        message: String,
    },
    /// Somebody is known, and may not.
    #[error(
        "AWS does not allow it: {message}; needed are cloudformation:DescribeStackResource on the stack and \
         lambda:InvokeFunction on its {FUNCTION}"
    )]
    Denied {
        /// What `aws` says.
        message: String,
    },
    /// No region was chosen.
    #[error("no region is chosen: set AWS_REGION, or `aws configure set region <region>`")]
    NoRegion,
    /// The function ran and broke off.
    #[error("the function of the stack {stack:?} failed: {message}; its log says more")]
    Failed {
        /// The stack.
        stack: String,
        /// What became of it.
        message: String,
    },
    /// Anything else that `aws` has to say.
    #[error("`aws {operation}` failed: {message}")]
    Other {
        /// What was tried.
        operation: &'static str,
        /// What it says.
        message: String,
    },
    /// Samples go over HTTP.
    #[error("samples are not sent through --stack: send them to the stack's HTTP endpoint with a token")]
    NoSamples,
}

/// A stack by its name.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    /// The program to run.
    aws: String,
    name: String,
    author: Option<String>,
}

/// What came back from the function.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Seconds.
    pub(super) retry_after: Option<u64>,
    pub(super) text: String,
}

impl Stack {
    pub(super) fn new(aws: &str, name: &str, author: Option<&str>) -> Self {
        Self { aws: aws.to_owned(), name: name.to_owned(), author: author.map(str::to_owned) }
    }

    /// Sends one request. Only path and parameters of the address count.
    pub(super) async fn ask(
        &self,
        method: &str,
        url: &Url,
        body: Option<(&str, String)>,
        tenant: Option<&str>,
    ) -> Result<Answer, StackError> {
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (content_type, body) = body.unzip();
        let operator = OperatorRequest {
            method: method.to_owned(),
            path: format!("{}{query}", url.path()),
            content_type: content_type.map(str::to_owned),
            body: body.unwrap_or_default(),
            is_base64: false,
            tenant: tenant.map(str::to_owned),
            author: self.author.clone(),
        };
        let stack = self.clone();
        let work = tokio::task::spawn_blocking(move || stack.invoke(&OperatorEvent { operator }));
        work.await.map_err(|error| StackError::Failed { stack: self.name.clone(), message: error.to_string() })?
    }

    fn invoke(&self, event: &OperatorEvent) -> Result<Answer, StackError> {
        const OPERATION: &str = "lambda invoke";
        let function = self.function()?;
        let broken = |error: io::Error| StackError::Other { operation: OPERATION, message: error.to_string() };
        // A folder that only we can read, since an answer may hold a new token. `fileb://` means the same to all
        // versions of `aws`.
        let folder = tempfile::tempdir().map_err(broken)?;
        let (request, reply) = (folder.path().join("request.json"), folder.path().join("reply.json"));
        let json = serde_json::to_vec(event).map_err(|error| broken(error.into()))?;
        fs::write(&request, json).map_err(broken)?;
        let payload = format!("fileb://{}", request.display());
        let reply_file = reply.display().to_string();
        let words = ["lambda", "invoke", "--function-name", &function, "--payload", &payload, "--output", "json"];
        let output = self.run(OPERATION, &[&words[..], &[&reply_file]].concat())?;
        let reply = fs::read(&reply).map_err(broken)?;
        let about: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        self.read(&about, &reply)
    }

    /// The name of the function that answers.
    fn function(&self) -> Result<String, StackError> {
        const OPERATION: &str = "cloudformation describe-stack-resource";
        let words = [
            ["cloudformation", "describe-stack-resource"],
            ["--stack-name", &self.name],
            ["--logical-resource-id", FUNCTION],
            ["--query", "StackResourceDetail.PhysicalResourceId"],
            ["--output", "text"],
        ];
        let output = self.run(OPERATION, &words.concat())?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if name.is_empty() || name == "None" {
            return Err(StackError::OtherStack { stack: self.name.clone() });
        }
        Ok(name)
    }

    fn run(&self, operation: &'static str, words: &[&str]) -> Result<Output, StackError> {
        let output = Command::new(&self.aws).args(words).stdin(Stdio::null()).output();
        let output = output.map_err(|error| {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let message = error.to_string();
            if is_missing { StackError::NoAws(self.aws.clone()) } else { StackError::Other { operation, message } }
        })?;
        if output.status.success() {
            return Ok(output);
        }
        Err(self.failure(operation, &String::from_utf8_lossy(&output.stderr)))
    }

    /// What to make of what `aws` says when it fails.
    fn failure(&self, operation: &'static str, stderr: &str) -> StackError {
        let message = last_line(stderr);
        let says = |texts: &[&str]| texts.iter().any(|text| stderr.contains(text));
        if says(&["specify a region"]) {
            StackError::NoRegion
        } else if says(&["AccessDenied", "not authorized", "UnauthorizedOperation"]) {
            StackError::Denied { message }
        } else if says(&[
            "Unable to locate credentials",
            "could not be found",
            "ExpiredToken",
            "InvalidClientTokenId",
            "UnrecognizedClient",
            "SignatureDoesNotMatch",
            "Token has expired",
            "Error loading SSO Token",
        ]) {
            StackError::Unknown { message }
        } else if says(&["does not exist"]) && says(&[FUNCTION]) {
            StackError::OtherStack { stack: self.name.clone() }
        } else if says(&["does not exist"]) {
            StackError::NoStack { stack: self.name.clone() }
        } else {
            StackError::Other { operation, message }
        }
    }

    /// The function's answer; `about` is what `aws` prints of the invocation.
    fn read(&self, about: &Value, reply: &[u8]) -> Result<Answer, StackError> {
        let failed = |message: String| StackError::Failed { stack: self.name.clone(), message };
        let text = String::from_utf8_lossy(reply);
        if !about["FunctionError"].is_null() {
            let error: Value = serde_json::from_slice(reply).unwrap_or_default();
            return Err(failed(excerpt(error["errorMessage"].as_str().unwrap_or(&text))));
        }
        let other = |_| failed(format!("it does not answer as an operator's door: {:?}", excerpt(&text)));
        let reply: OperatorReply = serde_json::from_slice(reply).map_err(other)?;
        let bytes = reply.bytes().ok_or_else(|| failed("its answer is no base64".to_owned()))?;
        let status = StatusCode::from_u16(reply.status)
            .map_err(|_| failed(format!("its answer has the status {}", reply.status)))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer { status, retry_after: reply.retry_after, text })
    }
}

/// The last line that says something.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it says nothing").chars().take(500).collect()
}

#[cfg(test)]
mod tests;
