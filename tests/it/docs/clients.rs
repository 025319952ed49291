//! Programs in other languages, as the documents print them.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use longshore_local::free_port;
use longshore_tests::stack::{Options, Ran, Stack, expect_success};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, sync::OnceCell, time::timeout};

use super::{
    DOCUMENTS,
    blocks::{Block, Kind, blocks},
    checks::repository,
    exemption,
    reader::Reader,
};
use crate::{conformance, test_kit};

/// The page with a program in each of [`LANGUAGES`]. Each takes an id and a prompt, and does the same.
pub(super) const PAGE: &str = "docs/CLIENTS.md";

const LANGUAGES: [&Language; 6] = [&SHELL, &PYTHON, &TYPESCRIPT, &GO, &RUBY, &RUST];

/// Longer than the timeout for replies of any of the Redis clients, and than twice a timeout that is tried again.
const LATE: &str = "[[latency=12000]] ";

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(100);

/// A language of the page.
struct Language {
    /// As the blocks of the page name it.
    name: &'static str,
    /// The file that the program is written to.
    file: &'static str,
    /// The command that makes the program of the file, if there is one, in the folder of the file.
    build: &'static [&'static str],
    /// The command that runs it, in the folder of the file.
    run: &'static [&'static str],
}

const SHELL: Language = Language {
    name: "bash",
    file: "client.sh",
    build: &[],
    run: &["bash", "client.sh"],
};

const PYTHON: Language = Language {
    name: "python",
    file: "client.py",
    build: &[],
    run: &[".venv/bin/python", "client.py"],
};

const TYPESCRIPT: Language = Language {
    name: "typescript",
    file: "client.ts",
    build: &[
        "node_modules/.bin/tsc",
        "--strict",
        // Node runs no other TypeScript as it is.
        "--erasableSyntaxOnly",
        "--target",
        "es2022",
        "--module",
        "nodenext",
        "--skipLibCheck",
        "--types",
        "node",
        "client.ts",
    ],
    run: &["node", "client.js"],
};

/// Debian's redigo is where Go looked for packages before it had modules.
const GO: Language = Language {
    name: "go",
    file: "client.go",
    build: &[
        "env",
        "GO111MODULE=off",
        "GOPATH=/usr/share/gocode",
        "go",
        "build",
        "-o",
        "client",
        "client.go",
    ],
    run: &["./client"],
};

const RUBY: Language = Language {
    name: "ruby",
    file: "client.rb",
    build: &[],
    run: &["ruby", "client.rb"],
};

/// Cargo has built it: the page must print the example of `longshore-client`.
const RUST: Language = Language {
    name: "rust",
    file: "client.rs",
    build: &[],
    run: &["./client"],
};

/// An error if no test of this module runs the program.
pub(super) fn has_a_test(block: &Block) -> anyhow::Result<()> {
    let name = block.language.as_str();
    let is_run = match block.document {
        PAGE => LANGUAGES.iter().any(|language| language.name == name),
        _ => name == PYTHON.name,
    };
    ensure!(
        is_run,
        "no test runs programs in {name}: write one in tests/it/docs/clients.rs, or list the block in NOT_RUN of \
         tests/it/docs.rs with the reason"
    );
    Ok(())
}

/// A program of the page, ready to run.
struct Program {
    language: &'static Language,
    dir: TempDir,
}

impl Program {
    async fn new(language: &'static Language) -> Self {
        let mut printed = blocks(PAGE)
            .into_iter()
            .filter(|block| block.language == language.name);
        let text = printed.next().unwrap().text;
        assert!(
            printed.next().is_none(),
            "{PAGE} has two programs in {}",
            language.name
        );
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(language.file), &text).unwrap();
        for name in [".venv", "node_modules", "package.json"] {
            symlink(packages().await.join(name), dir.path().join(name)).unwrap();
        }
        if language.name == RUST.name {
            let example = repository().join("producer/client/examples/client.rs");
            assert!(
                fs::read_to_string(&example).unwrap().ends_with(&text),
                "{PAGE} does not print {} from its first comment on",
                example.display()
            );
            symlink(built_example(), dir.path().join("client")).unwrap();
        }
        let program = Self { language, dir };
        if !language.build.is_empty() {
            expect_success(program.command(language.build, &[], "").await);
        }
        program
    }

    async fn run(&self, redis_url: &str, id: &str, prompt: &str) -> Ran {
        self.command(self.language.run, &[id, prompt], redis_url)
            .await
    }

    async fn command(&self, words: &[&str], arguments: &[&str], redis_url: &str) -> Ran {
        let (name, rest) = words.split_first().unwrap();
        let mut command = Command::new(name);
        command
            .args(rest)
            .args(arguments)
            .current_dir(self.dir.path())
            .env("REDIS_URL", redis_url)
            .kill_on_drop(true);
        let output = timeout(LIMIT, command.output())
            .await
            .with_context(|| format!("{words:?} {arguments:?}: not within {LIMIT:?}"))
            .unwrap()
            .with_context(|| {
                let language = self.language.name;
                format!(
                    "{name}: tests/clients/setup.sh says what {language} needs, and how to skip its test"
                )
            })
            .unwrap();
        ran(&output)
    }
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// `tests/clients`, with all packages installed.
async fn packages() -> PathBuf {
    static READY: OnceCell<()> = OnceCell::const_new();
    let dir = repository().join("tests/clients");
    READY
        .get_or_init(|| async {
            let output = Command::new(dir.join("setup.sh")).output().await.unwrap();
            expect_success(ran(&output));
        })
        .await;
    dir
}

/// The example `client` of `longshore-client`, next to the running test.
fn built_example() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let example = here
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/client");
    assert!(
        example.is_file(),
        "{} is not there: run `cargo build -p longshore-client --examples` first",
        example.display()
    );
    example
}

/// What a program prints of its job and its chain, by their outcomes.
async fn printed(stack: &Stack, id: &str) -> String {
    let mut lines = String::new();
    for (kind, id) in [("job", id.to_owned()), ("chain", format!("{id}-chain"))] {
        let key = format!("{}:result:{id}", stack.broker.keys().prefix());
        let outcome: String = redis::cmd("GET")
            .arg(key)
            .query_async(&mut stack.connection().await.unwrap())
            .await
            .unwrap();
        let outcome: Value = serde_json::from_str(&outcome).unwrap();
        let text = |name| outcome.get(name).and_then(Value::as_str).unwrap();
        let (cost, output) = (text("cost_usd"), text("output"));
        writeln!(lines, "{kind} {id} cost {cost} USD: {output}").unwrap();
    }
    lines
}

async fn check(language: &'static Language) {
    let program = Program::new(language).await;
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let redis = stack.redis.url();
    let question = "Name three \"primary\" colours: $HOME, \\n, <b> & é.";

    let first = expect_success(program.run(&redis, "colours", question).await);
    assert_eq!(first, printed(&stack, "colours").await);
    let again = expect_success(program.run(&redis, "colours", question).await);
    assert_eq!(again, first);
    let calls = stack.simulator.stats().requests;
    assert_eq!(calls, 3, "the same id with the same content runs once");

    let late = format!("{LATE}{question}");
    let away = format!("redis://127.0.0.1:{}", free_port().unwrap());
    let (late, taken, failed, unreachable) = tokio::join!(
        program.run(&redis, "late", &late),
        program.run(&redis, "colours", "Another question."),
        program.run(&redis, "failing", "[[status=400]] Name a river."),
        program.run(&away, "colours", question),
    );
    assert_eq!(expect_success(late), printed(&stack, "late").await);
    expect_error(&taken, "error: job ");
    let conflict = ": discarded, id_conflict: id `colours` belongs to the job at ";
    assert!(taken.stderr.contains(conflict), "{}", taken.stderr);
    expect_error(&failed, "error: job failing: discarded, bad_request: ");
    expect_error(&unreachable, "");
    let said = unreachable.stderr.to_lowercase();
    assert!(said.contains("connect"), "{said}");
    stack.books().await.unwrap().balance();
}

fn expect_error(ran: &Ran, start: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.stdout, "", "{}", ran.stderr);
    assert!(ran.stderr.starts_with(start), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn shell() {
    check(&SHELL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    check(&PYTHON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript() {
    check(&TYPESCRIPT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go() {
    check(&GO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ruby() {
    check(&RUBY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    check(&RUST).await;
}

/// The runner that `tests/conformance/README.md` offers finds nothing in the files, and everything in a wrong one.
#[tokio::test(flavor = "multi_thread")]
async fn python_runs_the_conformance_files() {
    let python = packages().await.join(".venv/bin/python");
    let runner = repository().join("tests/conformance/run.py");
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let longshore = stack.command("longshore").unwrap();
    let programs = Path::new(longshore.get_program()).parent().unwrap();
    let run = async |files: &[PathBuf]| {
        let output = Command::new(&python)
            .arg(&runner)
            .args(files)
            .env_clear()
            .envs(stack.env())
            .env("PATH", programs)
            .current_dir(stack.dir())
            .output();
        ran(&output.await.unwrap())
    };
    let held = run(&conformance::files()).await;
    assert_eq!(expect_success(held), "");

    stack.write("wrong.json", conformance::WRONG).unwrap();
    let found = run(&[stack.dir().join("wrong.json")]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    let reported = found.stdout.matches("wrong.json: ").count();
    let wrong = conformance::cases(conformance::WRONG);
    assert_eq!(reported, wrong, "{}", found.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn python_prints_answers_that_come_at_once_and_late() {
    let python = packages().await.join(".venv/bin/python");
    let mut reader = Reader::start().await;
    let mut samples = 0;
    for document in DOCUMENTS.into_iter().filter(|document| *document != PAGE) {
        reader.begin();
        for block in blocks(document) {
            if exemption(&block).is_some() || test_kit::has_a_test(&block) {
                continue;
            }
            match block.kind() {
                Ok(Kind::Commands) => reader.set_up(&block.text),
                Ok(Kind::Program) => {
                    samples += 1;
                    let late = block
                        .text
                        .replace("\"prompt\": \"", &format!("\"prompt\": \"{LATE}"));
                    assert_ne!(late, block.text);
                    reader.write("sample.py", &block.text);
                    reader.write("late.py", &late);
                    let run = async |file| {
                        reader
                            .shell(&format!("{} {file}", python.display()))
                            .await
                            .unwrap()
                    };
                    let printed = tokio::join!(run("sample.py"), run("late.py"));
                    assert!(printed.0.contains("You asked: "), "{}", printed.0);
                    assert_eq!(printed.0, printed.1, "{document}:{}", block.line);
                }
                _ => {}
            }
        }
    }
    assert!(samples > 0);
    reader.stop().await;
}

/// The functions that docs/PROTOCOL.md prints make the value that it shows, and read it.
#[tokio::test(flavor = "multi_thread")]
async fn python_encrypts_as_the_protocol_says() {
    const DOCUMENT: &str = "docs/PROTOCOL.md";
    const CHECK: &str = r#"
import sys
key, value = sys.argv[1:]
plain = '{"prompt":"Name three primary colours."}'
assert encrypt("job", plain, "k1", key, bytes(range(12))) == value
assert decrypt("job", value, {"k1": key}) == plain
assert decrypt("job", encrypt("job", plain, "k1", key), {"k1": key}) == plain
"#;
    let mut printed = blocks(DOCUMENT).into_iter();
    let functions = printed
        .find(|block| block.text.contains("def encrypt("))
        .unwrap();
    let page = std::fs::read_to_string(repository().join(DOCUMENT)).unwrap();
    let shown = |name: &str| {
        page.lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
    };
    let output = Command::new(packages().await.join(".venv/bin/python"))
        .args(["-c", &format!("{}\n{CHECK}", functions.text)])
        .args([shown("key    "), shown("value  ")])
        .output();
    expect_success(ran(&output.await.unwrap()));
}
