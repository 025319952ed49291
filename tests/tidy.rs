//! Checks of the repository itself: the arrows between crates, modules of the tests that nobody
//! compiles, the groups of `tests/run.sh`, and the headers of Lua scripts.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue fails with the location"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Every crate by its folder, and the crates that it depends on, in whatever way. A new crate needs a row.
const ARROWS: &[(&str, &[&str])] = &[
    ("shared/protocol", &[]),
    ("shared/settings", &[]),
    ("shared/policy", &["shared/protocol", "shared/settings"]),
    ("shared/broker", &["shared/policy", "shared/protocol"]),
    ("shared/ledger", &["shared/protocol"]),
    (
        "shared/config",
        &["shared/policy", "shared/protocol", "shared/settings"],
    ),
    (
        "shared/service",
        &[
            "shared/broker",
            "shared/config",
            "shared/ledger",
            "shared/policy",
            "shared/protocol",
            "shared/settings",
        ],
    ),
    (
        "producer/client",
        &["shared/broker", "shared/policy", "shared/protocol"],
    ),
    ("producer/local", &[]),
    ("producer/simulator", &["shared/settings"]),
    (
        "producer/cli",
        &[
            "producer/client",
            "producer/local",
            "shared/broker",
            "shared/config",
            "shared/ledger",
            "shared/policy",
            "shared/protocol",
            "shared/service",
            "shared/settings",
        ],
    ),
    (
        "worker",
        &[
            "shared/broker",
            "shared/config",
            "shared/ledger",
            "shared/policy",
            "shared/protocol",
            "shared/service",
            "shared/settings",
        ],
    ),
    (
        "scheduler",
        &[
            "shared/broker",
            "shared/config",
            "shared/ledger",
            "shared/policy",
            "shared/protocol",
            "shared/service",
        ],
    ),
    (
        "tests",
        &[
            "producer/client",
            "producer/local",
            "producer/simulator",
            "shared/broker",
            "shared/config",
            "shared/ledger",
            "shared/policy",
            "shared/protocol",
            "shared/service",
            "shared/settings",
            "worker",
        ],
    ),
];

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let expected: BTreeMap<_, BTreeSet<_>> = ARROWS
        .iter()
        .map(|(folder, depends_on)| {
            let depends_on = depends_on.iter().map(|name| (*name).to_owned()).collect();
            ((*folder).to_owned(), depends_on)
        })
        .collect();
    let actual = workspace_arrows();
    for folder in actual.keys() {
        assert!(
            expected.contains_key(folder),
            "{folder} has no row in ARROWS of tests/tidy.rs: decide what it may depend on"
        );
    }
    assert_eq!(
        actual, expected,
        "left: the Cargo.toml files; right: ARROWS of tests/tidy.rs"
    );
}

#[test]
fn every_file_of_the_end_to_end_tests_is_a_module() {
    let root = workspace().join("tests/it");
    for file in files_below(&root, "rs") {
        if file == root.join("main.rs") {
            continue;
        }
        let name = file.file_stem().unwrap().to_str().unwrap();
        let folder = file.parent().unwrap();
        let parent = if folder == root {
            root.join("main.rs")
        } else {
            folder.with_extension("rs")
        };
        let declares = fs::read_to_string(&parent)
            .unwrap_or_else(|error| panic!("{}: {error}", parent.display()))
            .lines()
            .any(|line| {
                let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
                line == format!("mod {name};")
            });
        assert!(
            declares,
            "{} is not compiled: {} has no `mod {name};`",
            file.display(),
            parent.display()
        );
    }
}

/// A group that names no module would leave its tests among those that run many at once.
#[test]
fn every_group_of_the_runner_names_a_module() {
    let runner = fs::read_to_string(workspace().join("tests/run.sh")).unwrap();
    for group in ["alone", "long", "few", "chaos"] {
        let start = format!("{group}=(");
        let names = runner
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.strip_suffix(')'))
            .unwrap_or_else(|| panic!("tests/run.sh has no group `{group}`"));
        for name in names.split_whitespace() {
            let module = format!("tests/it/{}.rs", name.replace("::", "/"));
            assert!(
                workspace().join(&module).is_file(),
                "tests/run.sh names `{name}`, but there is no {module}"
            );
        }
    }
}

/// `tests/run.sh` runs libraries, programs and the test targets that it names.
#[test]
fn every_test_target_is_run() {
    let runner = fs::read_to_string(workspace().join("tests/run.sh")).unwrap();
    let metadata = cargo_metadata();
    for package in metadata["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let name = target["name"].as_str().unwrap();
            let is_test = target["kind"].as_array().unwrap().contains(&"test".into());
            assert!(
                !is_test || runner.contains(&format!("--test {name}")),
                "tests/run.sh does not run the test target `{name}`"
            );
        }
    }
}

#[test]
fn every_lua_script_begins_with_a_comment() {
    let scripts = files_below(&workspace().join("shared"), "lua");
    assert!(!scripts.is_empty(), "there are no Lua scripts");
    for script in scripts {
        let text = fs::read_to_string(&script).unwrap();
        assert!(
            text.starts_with("-- "),
            "{} does not begin with a comment that says what it does",
            script.display()
        );
    }
}

fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

fn cargo_metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Workers are given as long to stop wherever they run: `grace`, and the minute that a statement of Postgres may take.
#[test]
fn every_way_to_run_workers_gives_them_the_same_time_to_stop() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (file, setting) in [
        ("compose.yaml", "stop_grace_period: 390s"),
        (
            "deploy/kubernetes/longshore.yaml",
            "terminationGracePeriodSeconds: 390",
        ),
        (
            "deploy/systemd/longshore-worker@.service",
            "TimeoutStopSec=390",
        ),
        ("docs/CONFIGURATION.md", "`stop_grace_period: 390s`"),
        (
            "docs/CONFIGURATION.md",
            "`terminationGracePeriodSeconds: 390`",
        ),
        ("docs/CONFIGURATION.md", "`TimeoutStopSec=390`"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        assert!(text.contains(setting), "{file} lacks {setting}");
    }
}

/// The folders of the workspace's crates, each with those of the crates that it depends on.
fn workspace_arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo_metadata();
    let root = Path::new(metadata["workspace_root"].as_str().unwrap()).to_owned();
    let folder = |path: &str| {
        let folder = Path::new(path).strip_prefix(&root).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let manifest = package["manifest_path"].as_str().unwrap();
            let depends_on = package["dependencies"].as_array().unwrap();
            (
                folder(manifest.strip_suffix("/Cargo.toml").unwrap()),
                depends_on
                    .iter()
                    .filter_map(|dependency| dependency["path"].as_str())
                    .map(folder)
                    .collect(),
            )
        })
        .collect()
}

/// All files with this extension in a folder and the folders below it.
fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    files
}
