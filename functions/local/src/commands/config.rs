//! `mihari config`: the folder of configuration of a server, a stack or a data folder.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use app::config::Config;
use app::config_store::{self, Files, Pushed};
use model::TenantId;
use promql::Profile;
use serde_json::{Value, json};

use super::{client, client_of, folder, hint, now, print};
use crate::cli::{ConfigCommand, Place};
use crate::serve::config_folder;

const PATH: &str = "/api/mihari/v1/config";

/// Sends, fetches or shows the configuration.
///
/// # Errors
/// When neither the folder nor the server can be asked, or the wish is refused.
pub(crate) async fn config(command: ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { dir, json } => check(&dir, json),
        ConfigCommand::Push { dir, author, place } => push(&dir, author.as_deref(), &place).await,
        ConfigCommand::Pull { dir, overwrite, place } => pull(&dir, overwrite, &place).await,
        ConfigCommand::Show { file, place } => show(file.as_deref(), &place).await,
    }
}

async fn push(dir: &Path, author: Option<&str>, place: &Place) -> anyhow::Result<ExitCode> {
    let files: Files = config_folder::read(dir)?.into_iter().collect();
    // The server checks again, with its own profile of PromQL; what this machine knows already need not travel.
    match config_store::check(Profile::Extended, &files) {
        Err(problems) => return refused(&problems, place.server.json),
        Ok(config) => tell_unheeded(&config),
    }
    for name in config_store::unread(&files) {
        hint(&format!("{name} is stored, and nothing reads it: is its name right?"));
    }
    let count = files.len();
    let answer = match folder(place)? {
        Some(store) => {
            let (objects, state) = (store.objects.as_ref(), store.state.as_ref());
            let tenant = TenantId::default_tenant();
            let (_, pushed) =
                config_store::save(objects, state, &tenant, files, author.unwrap_or_default(), now()).await?;
            as_json(&pushed)
        }
        None => client_of(&place.server, author)?.post_json(PATH, &json!({ "files": files })).await?,
    };
    if place.server.json {
        print(&json!({ "ok": true, "files": count, "hash": answer["hash"] }).to_string())?;
    } else {
        let hash = answer["hash"].as_str().unwrap_or("");
        print(&format!("{count} files pushed as {hash}; they are in force within a minute"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a folder as a server would, and says what is wrong with it and what it asks for in vain.
fn check(dir: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let files: Files = config_folder::read(dir)?.into_iter().collect();
    let config = match config_store::check(Profile::Extended, &files) {
        Err(problems) => return refused(&problems, as_json),
        Ok(config) => config,
    };
    if as_json {
        let unheeded: Vec<&String> = config.tenants.values().flat_map(|tenant| &tenant.notify.unheeded).collect();
        let unread = config_store::unread(&files);
        print(&json!({ "ok": true, "files": files.len(), "unheeded": unheeded, "unread": unread }).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    tell_unheeded(&config);
    for name in config_store::unread(&files) {
        hint(&format!("nothing reads {name}: is its name right?"));
    }
    print(&format!("{} files are fine", files.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn refused(problems: &[String], as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        print(&json!({ "ok": false, "errors": problems }).to_string())?;
    }
    for problem in problems.iter().filter(|_| !as_json) {
        print(problem)?;
    }
    Ok(ExitCode::FAILURE)
}

/// What the files ask for and do not get.
fn tell_unheeded(config: &Config) {
    for what in config.tenants.values().flat_map(|tenant| &tenant.notify.unheeded) {
        hint(what);
    }
}

async fn pull(dir: &Path, overwrite: bool, place: &Place) -> anyhow::Result<ExitCode> {
    let current = current(place).await?;
    let files = files_of(&current)?;
    let mut writes = Vec::new();
    for (name, text) in &files {
        let path = inside(dir, name)?;
        match fs::read(&path) {
            Ok(there) if there == text.as_bytes() => {}
            Ok(_) if !overwrite => bail!("{} is there and differs; --overwrite replaces it", path.display()),
            Ok(_) | Err(_) => writes.push((path, text)),
        }
    }
    for (path, text) in &writes {
        let parent = path.parent().unwrap_or(dir);
        fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if place.server.json {
        let names: Vec<&String> = files.keys().collect();
        print(&json!({ "source": current["source"], "files": names, "written": writes.len() }).to_string())?;
    } else {
        print(&format!("{} files in {}, {} of them new", files.len(), dir.display(), writes.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(file: Option<&str>, place: &Place) -> anyhow::Result<ExitCode> {
    let current = current(place).await?;
    if let Some(name) = file {
        let files = files_of(&current)?;
        let Some(text) = files.get(name) else {
            let names: Vec<&str> = files.keys().map(String::as_str).collect();
            bail!("there is no file {name:?}; there are {}", names.join(", "));
        };
        print(text.trim_end_matches('\n'))?;
        return Ok(ExitCode::SUCCESS);
    }
    if place.server.json {
        print(&current.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in lines(&current) {
        print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What holds, for people.
fn lines(current: &Value) -> Vec<String> {
    let text = |name: &str| current[name].as_str().unwrap_or("");
    let mut lines = match text("source") {
        "defaults" => vec!["the built-in defaults are in force: nothing was pushed yet".to_owned()],
        "folder" => vec!["the server reads a folder of its own (--config)".to_owned()],
        _ => {
            let time = current["pushed_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            let time = time.map(|time| time.to_string()).unwrap_or_default();
            let author = Some(text("author")).filter(|author| !author.is_empty()).unwrap_or("somebody");
            vec![format!("{} was pushed by {author} at {time}", text("hash"))]
        }
    };
    for (name, text) in current["files"].as_object().into_iter().flatten() {
        lines.push(format!("  {name}\t{} bytes", text.as_str().unwrap_or("").len()));
    }
    for error in current["errors"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("refused: {error}"));
    }
    lines
}

/// What holds, in the form of the server's answer.
async fn current(place: &Place) -> anyhow::Result<Value> {
    let Some(store) = folder(place)? else { return Ok(client(&place.server)?.get(PATH, &[]).await?) };
    match config_store::load_from(store.objects.as_ref(), store.state.as_ref(), now()).await? {
        Some(stored) => {
            let mut answer = as_json(&stored.pushed);
            let errors = config_store::check(Profile::Extended, &stored.files).err().unwrap_or_default();
            answer["source"] = json!("pushed");
            answer["errors"] = json!(errors);
            answer["files"] = json!(stored.files);
            Ok(answer)
        }
        None => {
            let defaults: Files =
                Config::default_files().iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
            Ok(json!({ "source": "defaults", "files": defaults, "errors": [] }))
        }
    }
}

fn as_json(pushed: &Pushed) -> Value {
    json!({ "hash": pushed.hash, "author": pushed.author, "pushed_ms": pushed.pushed_ms })
}

fn files_of(current: &Value) -> anyhow::Result<Files> {
    if current["source"] == "folder" {
        bail!("the server reads a folder of its own (--config): the files are there");
    }
    serde_json::from_value(current["files"].clone()).context("the server's answer holds no files")
}

/// A file's place in a folder; never outside of it, whatever the server calls it.
fn inside(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || !is_plain {
        bail!("the server calls a file {name:?}, which is no place in a folder");
    }
    Ok(dir.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_outside_of_the_folder() {
        assert_eq!(inside(Path::new("d"), "rules/a.yml").unwrap(), Path::new("d/rules/a.yml"));
        for name in ["", "/etc/passwd", "../a.yml", "rules/../../a.yml"] {
            assert!(inside(Path::new("d"), name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_holds_is_told_with_its_author_and_its_mistakes() {
        let pushed = json!({
            "source": "pushed", "hash": "ab", "author": "aiko", "pushed_ms": 1_795_321_800_000_i64,
            "files": {"rules/a.yml": "groups: []"}, "errors": ["rules/a.yml:1:2: newer"],
        });
        assert_eq!(
            lines(&pushed),
            [
                "ab was pushed by aiko at 2026-11-22T04:30:00Z",
                "  rules/a.yml\t10 bytes",
                "refused: rules/a.yml:1:2: newer"
            ]
        );
        assert_eq!(lines(&json!({"source": "folder"})), ["the server reads a folder of its own (--config)"]);
    }
}
