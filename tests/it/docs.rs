//! What README and docs print runs, against a `longshore dev` as their readers have it.

pub(crate) mod blocks;
mod checks;
mod clients;
mod reader;

use std::{fs, path::Path};

use futures::StreamExt as _;
use longshore_tests::stack::expect_success;

use self::{
    blocks::{Block, Kind, blocks},
    checks::{Checks, repository},
    reader::Reader,
};
use crate::test_kit;

/// In the order in which people read them.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    clients::PAGE,
    "docs/PROTOCOL.md",
    "docs/CONFIGURATION.md",
    "docs/RECIPES.md",
    "docs/SIMULATOR.md",
    test_kit::PAGE,
    "docs/COMMANDS.md",
    "CONTRIBUTING.md",
];

/// Blocks that this test does not run: the document, how the block begins, and why.
const NOT_RUN: [(&str, &str, &str); 13] = [
    (
        "docs/CONFIGURATION.md",
        "{\n  \"type\": \"review.asked\"",
        "the tests of `chains::reviews` compare the webhook",
    ),
    (
        "docs/PROTOCOL.md",
        "{\n  \"steps\": [\n    { \"name\": \"draft\", \"prompt\": \"Write a short",
        "waits for a person: `chains::reviews` runs such chains",
    ),
    (
        "docs/RECIPES.md",
        "longshore review show ID",
        "needs an open review: `chains::reviews` decides some",
    ),
    ("README.md", "git clone", "downloads and builds"),
    (
        "README.md",
        "docker compose up",
        "needs a container engine; `make compose-check` checks the file",
    ),
    (
        "README.md",
        "echo \"OPENAI_API_KEY",
        "needs the key of a real provider",
    ),
    (
        "docs/CONFIGURATION.md",
        "{\n  \"type\": \"quota.alert\"",
        "the tests of `alerts` compare the webhook",
    ),
    (
        "docs/CONFIGURATION.md",
        "encryption:",
        "needs keys; the tests of `encryption` run with them",
    ),
    (
        "docs/PROTOCOL.md",
        "import base64, os",
        "`clients` runs it with the package that it needs",
    ),
    (
        "docs/SIMULATOR.md",
        "longshore dev --simulator",
        "this test itself begins so",
    ),
    (
        "docs/SIMULATOR.md",
        "longshore-simulator --listen",
        "runs until it is stopped; `longshore dev` starts it",
    ),
    (
        test_kit::PAGE,
        "longshore dev --simulator-script",
        "the tests of `test_kit` run it with the files of the page",
    ),
    (
        "CONTRIBUTING.md",
        "make chaos",
        "runs for half an hour; `make test` runs a minute of it",
    ),
];

/// Why a block is not run.
fn exemption(block: &Block) -> Option<&'static str> {
    let mut listed = NOT_RUN.iter();
    let found = listed.find(|(document, begins, _)| {
        *document == block.document && block.text.starts_with(begins)
    });
    found.map(|(_, _, reason)| *reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_runs() {
    let mut reader = Reader::start().await;
    let checks = Checks::new();
    let mut failures = Vec::new();
    for document in DOCUMENTS {
        reader.begin();
        for block in blocks(document) {
            if exemption(&block).is_some() || test_kit::has_a_test(&block) {
                continue;
            }
            if let Err(error) = run(&mut reader, &checks, &block).await {
                failures.push(format!("{}:{}: {error:#}", block.document, block.line));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    reader.stop().await;
}

async fn run(reader: &mut Reader, checks: &Checks, block: &Block) -> anyhow::Result<()> {
    match block.kind()? {
        Kind::Output => Ok(()),
        Kind::Commands => reader.commands(&block.text).await,
        Kind::Json => checks.json(reader, &block.text).await,
        Kind::Yaml => checks.yaml(reader, &block.text).await,
        Kind::Sql => reader.sql(&block.text).await,
        Kind::Program => clients::has_a_test(block),
    }
}

#[test]
fn every_exemption_is_needed() {
    let blocks: Vec<Block> = DOCUMENTS.into_iter().flat_map(blocks).collect();
    for (document, begins, reason) in NOT_RUN {
        let matching = blocks
            .iter()
            .filter(|block| block.document == document && block.text.starts_with(begins));
        assert_eq!(matching.count(), 1, "{document}: {begins} ({reason})");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_completes_with_the_simulator() {
    let reader = Reader::start().await;
    let folder = repository().join("deploy/examples/chains");
    let chains = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let ran = chains.map(|path| {
        let name = Path::new("deploy/examples/chains").join(path.file_name().unwrap());
        let reader = &reader;
        async move {
            reader
                .longshore(&["chain", "run", name.to_str().unwrap()])
                .await
        }
    });
    let ran: Vec<_> = futures::stream::iter(ran)
        .buffer_unordered(2)
        .collect()
        .await;
    assert_eq!(ran.len(), 5);
    ran.into_iter().map(expect_success).for_each(drop);
    let batch = ["batch", "deploy/examples/batch.json"];
    expect_success(reader.longshore(&batch).await);
    reader.stop().await;
}
