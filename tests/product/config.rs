//! The configuration that is pushed, and stacks that are asked through the command line of AWS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::server::{Home, Server, eventually, mihari};

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn rules(name: &str) -> String {
    format!("groups:\n- name: {name}\n  rules:\n  - {{ record: a, expr: b }}\n")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", stdout(output), String::from_utf8_lossy(&output.stderr))
}

fn succeeded(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    stdout(&output)
}

async fn groups(server: &Server) -> Vec<String> {
    let rules = server.json("/api/v1/rules").await;
    let groups = rules["data"]["groups"].as_array().unwrap().iter();
    groups.map(|group| group["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_push_is_in_force_at_once_and_after_a_restart_and_a_broken_one_changes_nothing() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rules/a.yml", &rules("pushed"));
    let server = home.serve(&["--no-host-metrics"]);
    let config = |words: &[&str]| {
        let mut command = mihari(&["config"]);
        command.args(words).args(["--url", &server.url]);
        command
    };
    let dir = folder.path().to_str().unwrap();
    assert!(succeeded(config(&["show"])).starts_with("the built-in defaults are in force"));
    let pushed = succeeded(config(&["push", dir, "--author", "aiko"]));
    assert!(pushed.starts_with("1 files pushed as "), "{pushed}");
    assert_eq!(groups(&server).await, ["pushed"]);

    write(folder.path(), "rules/b.yml", "groups:\n- name: g\n  rules:\n  - { record: c, expr: 'rate(' }\n");
    let output = config(&["push", dir]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("rules/b.yml:4:24: group"), "{}", said(&output));
    assert!(stdout(&output).contains("could not parse expression"), "{}", said(&output));
    assert_eq!(groups(&server).await, ["pushed"]);
    let output = config(&["push", dir, "--json"]).output().unwrap();
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&json["ok"], json["errors"].as_array().unwrap().len()), (&Value::Bool(false), 1));

    let copy = tempfile::tempdir().unwrap();
    let target = copy.path().join("config");
    succeeded(config(&["pull", target.to_str().unwrap()]));
    assert_eq!(fs::read_to_string(target.join("rules/a.yml")).unwrap(), rules("pushed"));
    write(&target, "rules/a.yml", "mine");
    let output = config(&["pull", target.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("--overwrite replaces it"), "{}", said(&output));
    assert_eq!(succeeded(config(&["show", "rules/a.yml"])), rules("pushed"));

    server.kill();
    let server = home.serve(&["--no-host-metrics"]);
    assert_eq!(groups(&server).await, ["pushed"]);
}

#[tokio::test]
async fn a_push_into_the_data_folder_holds_from_the_next_start_on() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rules/a.yml", &rules("offline"));
    let mut push = mihari(&["config", "push", folder.path().to_str().unwrap(), "--author", "ben"]);
    push.arg("--data-dir").arg(home.data_dir());
    succeeded(push);
    let mut show = mihari(&["config", "show"]);
    show.arg("--data-dir").arg(home.data_dir());
    assert!(succeeded(show).contains("was pushed by ben at "));
    let server = home.serve(&["--no-host-metrics"]);
    assert_eq!(groups(&server).await, ["offline"]);
}

#[tokio::test]
async fn a_server_with_a_folder_of_its_own_refuses_a_push() {
    let home = Home::new();
    home.configure("rules/a.yml", &rules("folder"));
    let server = home.serve(&["--no-host-metrics"]);
    let mut push = mihari(&["config", "push", home.config_dir().to_str().unwrap(), "--url", &server.url]);
    let output = push.output().unwrap();
    assert!(!output.status.success() && said(&output).contains("change the files there"), "{}", said(&output));
    let groups = eventually("the rules", || async { Some(groups(&server).await).filter(|groups| !groups.is_empty()) });
    assert_eq!(groups.await, ["folder"]);
}

/// Puts a program `aws` into a folder that answers every invocation with the same.
fn fake_aws(dir: &Path, reply: &str) {
    let script = format!(
        "#!/bin/sh\nfor last in \"$@\"; do :; done\ncase \"$1\" in\ncloudformation) echo demo-Query ;;\n\
         lambda) printf '%s' '{reply}' > \"$last\"; echo '{{\"StatusCode\": 200}}' ;;\nesac\n"
    );
    let path = dir.join("aws");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn commands_ask_a_stack_with_the_rights_of_the_command_line_aws() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let ask = |words: &[&str]| {
        let mut command = mihari(words);
        command.args(["--stack", "demo"]).env("PATH", &path).current_dir(dir.path());
        command
    };
    fake_aws(dir.path(), r#"{"status":201,"body":"{\"token\":\"mihari_new\"}"}"#);
    assert_eq!(succeeded(ask(&["token", "create", "--name", "prometheus"])), "mihari_new\n");
    assert!(!dir.path().join("mihari-data").exists(), "the data folder of this machine is not touched");
    let answer = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#;
    fake_aws(dir.path(), &format!(r#"{{"status":200,"body":{}}}"#, serde_json::json!(answer)));
    assert_eq!(succeeded(ask(&["query", "1+1"])), "2 @[1]\n");
    fake_aws(dir.path(), r#"{"status":400,"body":"{\"error\":\"rules/a.yml:1:2: newer\"}"}"#);
    write(dir.path(), "config/rules/a.yml", &rules("a"));
    let output = ask(&["config", "push", "config"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("rules/a.yml:1:2: newer"), "{}", said(&output));
    fs::remove_file(dir.path().join("aws")).unwrap();
    let output = ask(&["query", "1"]).env("PATH", dir.path()).output().unwrap();
    assert!(said(&output).contains("--stack needs the command line of AWS"), "{}", said(&output));
}
