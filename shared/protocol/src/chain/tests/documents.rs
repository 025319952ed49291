//! The chains in `deploy/examples` and the golden files.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{good, read};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder with this extension, with their contents.
fn files(folder: &str, end: &str) -> Vec<(String, String)> {
    let paths = fs::read_dir(repository().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let of_kind = paths.filter(|path| path.extension().is_some_and(|extension| extension == end));
    let mut files: Vec<_> = of_kind
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

fn schema() -> jsonschema::Validator {
    let read = |name: &str| -> Value {
        let path = repository().join("docs/protocol").join(name);
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let registry = jsonschema::Registry::new()
        .add("urn:longshore:protocol:1:job", read("job.schema.json"))
        .unwrap()
        .prepare()
        .unwrap();
    jsonschema::options()
        .with_registry(&registry)
        .build(&read("chain.schema.json"))
        .unwrap()
}

/// Asserts that parser and schema accept a document.
fn accepted(location: &str, text: &str, schema: &jsonschema::Validator) {
    if let Err(bad) = read(text) {
        panic!("{location}:\n{bad}");
    }
    let json = serde_json::from_str(text).unwrap();
    let faults: Vec<_> = schema
        .iter_errors(&json)
        .map(|error| error.to_string())
        .collect();
    assert!(faults.is_empty(), "{location}: {faults:?}");
}

#[test]
fn every_chain_of_the_examples_is_one() {
    let schema = schema();
    for (path, text) in files("deploy/examples/chains", "json") {
        accepted(&path, &text, &schema);
    }
}

/// `chain` is the document. `faults`, if it is invalid, are parts of the reported errors, in order. The
/// schema cannot detect errors that concern the whole graph (`graph_…`).
#[test]
fn golden_chains_hold() {
    let schema = schema();
    for (path, text) in files("docs/protocol/golden/chain", "json") {
        let golden: Value = serde_json::from_str(&text).unwrap();
        let chain = golden["chain"].as_str().unwrap();
        let Some(faults) = golden["faults"].as_array() else {
            accepted(&path, chain, &schema);
            continue;
        };
        let Err(bad) = read(chain) else {
            panic!("{path} was accepted: {:?}", good(chain));
        };
        assert_eq!(bad.faults.len(), faults.len(), "{path}: {bad}");
        for (told, expected) in bad.faults.iter().zip(faults) {
            assert!(
                told.message.contains(expected.as_str().unwrap()),
                "{path}: {told}"
            );
        }
        let of_the_graph = path.contains("/graph_");
        let valid = schema.is_valid(&serde_json::from_str(chain).unwrap());
        assert_eq!(valid, of_the_graph, "{path}");
    }
}
