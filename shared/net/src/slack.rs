//! Pictures for threads of Slack: three questions of the web API.
//!
//! `files.getUploadURLExternal` names a place for the file, the file goes there, and `files.completeUploadExternal` shows
//! it in the thread. Until that last question nobody sees anything; so whatever fails before may be tried again. Incoming
//! webhooks take no files.

use app::ports::{PortError, PortResult, Receipt};
use bytes::Bytes;
use model::ErrorKind;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::webhook::{Body, Webhooks};
use crate::{DELIVER, drawn};

/// The file's name, which people see who keep it.
const FILE_NAME: &str = "chart.png";

/// The thread under a message.
#[derive(Clone, Copy)]
pub(crate) struct Thread<'a> {
    pub(crate) api: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) channel: &'a str,
    pub(crate) ts: &'a str,
}

impl Thread<'_> {
    /// Shows a drawing in the thread.
    pub(crate) async fn show(&self, webhooks: &Webhooks, title: &str, svg: &str, key: &str) -> PortResult<Receipt> {
        let drawing = svg.to_owned();
        let png = tokio::task::spawn_blocking(move || drawn::png(drawing.as_bytes())).await;
        let png = png.ok().flatten().ok_or_else(|| invalid("the picture cannot be drawn"))?;
        let (url, file) = self.place(webhooks, title, png.len(), key).await?;
        let body = Body { media_type: "image/png", bytes: Bytes::from(png) };
        // The place is its own permission: the token stays here.
        webhooks.ask(&url, &[], body, key).await?;
        let shown = json!({
            "files": [{ "id": file, "title": title }],
            "channel_id": self.channel,
            "thread_ts": self.ts,
        });
        let body = Body { media_type: "application/json; charset=utf-8", bytes: shown.to_string().into() };
        let answer = webhooks.ask(&self.method("files.completeUploadExternal"), self.headers, body, key).await?;
        Ok(Receipt::noted(answer.note))
    }

    /// Where the file may go, and what it will be called. This method takes a form, no JSON.
    async fn place(
        &self,
        webhooks: &Webhooks,
        title: &str,
        size_bytes: usize,
        key: &str,
    ) -> PortResult<(String, String)> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("filename", FILE_NAME)
            .append_pair("length", &size_bytes.to_string())
            .append_pair("alt_txt", title)
            .finish();
        let body = Body { media_type: "application/x-www-form-urlencoded", bytes: form.into() };
        let answer = webhooks.ask(&self.method("files.getUploadURLExternal"), self.headers, body, key).await?;
        let text = |name: &str| answer.json.get(name).and_then(Value::as_str).map(str::to_owned);
        let place = text("upload_url").zip(text("file_id"));
        place.ok_or_else(|| invalid("the web API of Slack names no place for the picture"))
    }

    fn method(&self, name: &str) -> String {
        format!("{}{name}", self.api)
    }
}

fn invalid(message: &str) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}

#[cfg(test)]
mod tests;
