use model::Timestamp;

use super::OnCall;

mod files;
mod histories;
mod rotas;
mod steps;

/// A moment by its text in RFC 3339.
fn at(text: &str) -> Timestamp {
    let time: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(time.as_millisecond())
}

fn read(yaml: &str) -> OnCall {
    OnCall::parse("oncall.yml", yaml).unwrap()
}
