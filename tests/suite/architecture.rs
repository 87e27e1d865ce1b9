//! The dependency rules of the workspace, held against what cargo itself reads from the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every allowed arrow between our crates, lowest layer first; dependencies of tests and builds count too.
const LAYERS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("tsdb", &["model"]),
    ("analysis", &["model"]),
    ("promql", &["analysis", "model"]),
    ("alerting", &["model"]),
    ("render", &["analysis", "model"]),
    ("app", &["alerting", "analysis", "model", "promql", "render", "tsdb", "wire"]),
    ("net", &["app", "model"]),
    ("embedded", &["app", "model"]),
    ("aws", &["app", "model", "net"]),
    ("local", &["alerting", "app", "embedded", "model", "net", "promql", "render", "wire"]),
    ("ingest", FUNCTION),
    ("collect", FUNCTION),
    ("evaluate", FUNCTION),
    ("notify", FUNCTION),
    ("rollup", FUNCTION),
    ("query", FUNCTION),
    ("report", FUNCTION),
    ("tests", EVERYTHING),
];
const FUNCTION: &[&str] = &["app", "aws", "model", "net"];
const EVERYTHING: &[&str] =
    &["alerting", "analysis", "app", "aws", "embedded", "local", "model", "net", "promql", "render", "tsdb", "wire"];

/// L0 to L2: no async, no clock, no environment, no input or output.
const PURE: &[&str] = &["model", "wire", "tsdb", "analysis", "promql", "alerting", "render"];

/// Crates that bring async, sockets, files or randomness, which pure crates do without outside of their tests.
const IMPURE: &[&str] = &[
    "async-trait",
    "axum",
    "futures",
    "getrandom",
    "hyper",
    "lettre",
    "rand",
    "redb",
    "reqwest",
    "rustix",
    "rustls",
    "tokio",
    "tracing-subscriber",
];

/// Text that pure sources do without, outside of their tests.
const IMPURE_TEXT: &[&str] = &[
    "async fn",
    "async move",
    ".await",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio::",
];

/// The only crates that may know AWS.
const KNOWS_AWS: &[&str] = &["aws"];

/// Packages that must not be in the tree, whoever asks for them: a second TLS provider, system libraries.
const BANNED: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "fontconfig",
    "fontconfig-sys",
    "native-tls",
    "openssl",
    "openssl-sys",
    "yeslogic-fontconfig-sys",
];

/// One of our crates, as far as the rules look at it.
#[derive(Clone, Debug)]
struct Package {
    name: String,
    manifest: PathBuf,
    /// Of all kinds, by the name of the package, not by what it is renamed to.
    dependencies: BTreeSet<String>,
    /// Those of them that only tests and benchmarks have.
    of_tests: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package `tests` lies in the workspace")
}

fn packages() -> Vec<Package> {
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let text = |value: &Value| value.as_str().expect("cargo writes text here").to_owned();
    let package = |package: &Value| {
        let dependencies = package["dependencies"].as_array().expect("cargo writes a list here");
        let named = |wanted: &dyn Fn(&Value) -> bool| {
            dependencies.iter().filter(|one| wanted(one)).map(|one| text(&one["name"])).collect::<BTreeSet<_>>()
        };
        let product = named(&|dependency| dependency["kind"] != "dev");
        let all = named(&|_| true);
        Package {
            name: text(&package["name"]),
            manifest: text(&package["manifest_path"]).into(),
            of_tests: all.difference(&product).cloned().collect(),
            dependencies: all,
        }
    };
    metadata["packages"].as_array().expect("cargo writes a list here").iter().map(package).collect()
}

/// What is wrong with the dependencies of our crates.
fn violations(packages: &[Package]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut found = Vec::new();
    for Package { name, dependencies, of_tests, .. } in packages {
        let Some(allowed_here) = allowed.get(name.as_str()) else {
            found.push(format!("`{name}` is not in the list of layers"));
            continue;
        };
        for dependency in dependencies {
            let dependency = dependency.as_str();
            let ours = allowed.contains_key(dependency) || packages.iter().any(|package| package.name == dependency);
            if ours && !allowed_here.contains(&dependency) {
                found.push(format!("`{name}` must not depend on `{dependency}`"));
            }
            if dependency.starts_with("aws-") && !KNOWS_AWS.contains(&name.as_str()) {
                found.push(format!("`{name}` must not know AWS, as it does by `{dependency}`"));
            }
            let in_product = !of_tests.contains(dependency);
            if PURE.contains(&name.as_str()) && IMPURE.contains(&dependency) && in_product {
                found.push(format!("`{name}` is pure and must not depend on `{dependency}`"));
            }
        }
    }
    found
}

/// Names and dependencies of all packages of a `Cargo.lock`, whose form cargo writes line by line.
fn locked(lock: &str) -> BTreeMap<String, Vec<String>> {
    let quoted = |line: &str| line.split('"').nth(1).unwrap_or("").to_owned();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let mut lines = package.lines();
        let name = lines.find(|line| line.starts_with("name = ")).map(quoted).expect("a package has a name");
        let dependencies = lines.skip_while(|line| !line.starts_with("dependencies = [")).skip(1);
        let dependencies = dependencies.take_while(|line| *line != "]").map(|line| {
            let text = quoted(line);
            text.split(' ').next().unwrap_or("").to_owned()
        });
        found.entry(name).or_default().extend(dependencies);
    }
    found
}

fn lock_violations(lock: &str) -> Vec<String> {
    let packages = locked(lock);
    let banned = packages.keys().filter(|name| BANNED.contains(&name.as_str()));
    let mut found: Vec<String> = banned.map(|name| format!("`{name}` is in the tree")).collect();
    let aws_is_ours = packages.contains_key("aws");
    found.extend(
        packages
            .keys()
            .filter(|name| name.starts_with("aws-") && !aws_is_ours)
            .map(|name| format!("`{name}` is in the tree although no crate of ours talks to AWS")),
    );
    let providers = packages.get("rustls").into_iter().flatten();
    if !providers.into_iter().any(|dependency| dependency == "ring") {
        found.push("rustls is without ring".to_owned());
    }
    found
}

/// The lines of a source that are neither comments nor tests.
fn product_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines().enumerate().map(|(index, line)| (index + 1, line));
    lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]").filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn our_crates_depend_only_downwards() {
    let packages = packages();
    assert!(packages.len() > 10, "cargo names all of them: {packages:?}");
    assert_eq!(violations(&packages), [""; 0]);
}

#[test]
fn the_list_of_layers_goes_downwards() {
    for (place, (name, allowed)) in LAYERS.iter().enumerate() {
        for dependency in *allowed {
            let lower = LAYERS[..place].iter().any(|(lower, _)| lower == dependency);
            assert!(lower, "`{name}` stands before `{dependency}`, on which it may depend");
        }
    }
}

#[test]
fn pure_crates_have_no_async_clock_environment_or_files() {
    let mut checked = 0;
    for package in packages().iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let mut files = Vec::new();
        sources(&package.manifest.with_file_name("src"), &mut files);
        for file in files {
            let source = fs::read_to_string(&file).expect("a source");
            for (number, line) in product_lines(&source) {
                let found = IMPURE_TEXT.iter().find(|text| line.contains(*text));
                assert_eq!(found, None, "{}:{number}: {line}", file.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} sources were found");
}

#[test]
fn the_tree_has_one_tls_provider_and_no_aws() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("a lock file");
    assert_eq!(lock_violations(&lock), [""; 0]);
}

#[test]
fn only_one_manifest_names_versions() {
    for package in packages() {
        let manifest = fs::read_to_string(&package.manifest).expect("a manifest");
        let tables =
            manifest.split("\n[").filter(|table| table.split(']').next().unwrap_or("").ends_with("dependencies"));
        for line in tables.flat_map(|table| table.lines().skip(1)).map(str::trim) {
            let fine = line.is_empty() || line.starts_with('#') || line.contains("workspace = true");
            assert!(fine, "{}: {line}", package.manifest.display());
        }
    }
}

#[test]
fn the_rules_find_what_breaks_them() {
    let package = |name: &str, dependencies: &[&str]| Package {
        name: name.to_owned(),
        manifest: PathBuf::new(),
        dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        of_tests: BTreeSet::from(["rustix".to_owned(), "tsdb".to_owned()]),
    };
    let cases = [
        (package("promql", &["model", "regex"]), None),
        (package("promql", &["tsdb"]), Some("`promql` must not depend on `tsdb`")),
        (package("model", &["model"]), Some("`model` must not depend on `model`")),
        (package("app", &["aws-sdk-s3"]), Some("`app` must not know AWS, as it does by `aws-sdk-s3`")),
        (package("wire", &["rustix"]), None),
        (package("wire", &["tokio"]), Some("`wire` is pure and must not depend on `tokio`")),
        (package("app", &["tokio"]), None),
        (package("utils", &[]), Some("`utils` is not in the list of layers")),
    ];
    for (package, expected) in cases {
        assert_eq!(violations(std::slice::from_ref(&package)), Vec::from_iter(expected), "{package:?}");
    }
    let lock = |packages: &[(&str, &str)]| -> String {
        let package = |(name, dependency): &(&str, &str)| {
            format!("\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\ndependencies = [\n \"{dependency}\",\n]\n")
        };
        packages.iter().map(package).collect()
    };
    assert_eq!(lock_violations(&lock(&[("rustls", "ring 0.17.0")])), [""; 0]);
    for bad in [("aws-lc-sys", "cc"), ("aws-sdk-s3", "http"), ("fontconfig", "libc")] {
        assert!(!lock_violations(&lock(&[("rustls", "ring"), bad])).is_empty(), "{bad:?}");
    }
    assert_eq!(lock_violations(&lock(&[("rustls", "aws-lc-rs")])), ["rustls is without ring"]);
    let source = "// async fn\nfn a() {}\n#[cfg(test)]\nuse std::fs;\n";
    assert_eq!(product_lines(source).collect::<Vec<_>>(), [(2, "fn a() {}")]);
}
