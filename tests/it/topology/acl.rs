//! The Redis users of docs/PROTOCOL.md: they suffice, and nothing in them is superfluous for what is tested here.

use std::{path::Path, time::Duration};

use longshore_client::{Client, Job};
use longshore_local::ChildProcess;
use longshore_protocol::{
    id::{JobId, QueueName, ReaderName},
    reply::ReplyTo,
};
use longshore_tests::stack::{Options, Stack, connect_to_redis, expect_success, prompts, within};
use redis::aio::MultiplexedConnection;

/// The rule of a user in the document, as arguments of `ACL`.
fn documented(user: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rule) = document
        .split_once(&format!("ACL SETUSER {user} "))
        .unwrap();
    let (rule, _) = rule.split_once("\n\n").unwrap();
    let rule = rule.replace(">SECRET", ">secret");
    let words = ["SETUSER", user].into_iter().chain(rule.split_whitespace());
    words.map(str::to_owned).collect()
}

async fn acl(admin: &mut MultiplexedConnection, words: &[impl AsRef<str>]) {
    let mut command = redis::cmd("ACL");
    for word in words {
        command.arg(word.as_ref());
    }
    command.query_async::<()>(admin).await.unwrap();
}

/// A stack whose programs are this user.
async fn stack_as(user: &str) -> (Stack, MultiplexedConnection) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let mut admin = stack.connection().await.unwrap();
    acl(&mut admin, &documented(user)).await;
    let url = format!("redis://{user}:secret@127.0.0.1:{}", stack.redis.port());
    stack.set_env("LONGSHORE_REDIS_URL", &url);
    (stack, admin)
}

/// What Redis refused, in the words of its log.
async fn refusals(admin: &mut MultiplexedConnection) -> String {
    let log: redis::Value = redis::cmd("ACL")
        .arg("LOG")
        .query_async(admin)
        .await
        .unwrap();
    match log {
        redis::Value::Array(rows) if rows.is_empty() => String::new(),
        rows => format!("{rows:?}"),
    }
}

/// Whether this server names the user, and within a script the command, when it refuses one: Redis does from 7.2 on.
/// (Valkey gives the version of Redis with which it is compatible.)
async fn refusals_name_users(admin: &mut MultiplexedConnection) -> bool {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(admin)
        .await
        .unwrap();
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let mut numbers = version.unwrap().split('.').map(str::parse::<u32>);
    let mut number = || numbers.next().unwrap().unwrap();
    (number(), number()) >= (7, 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_schedulers_and_commands_need_no_more_than_the_documented_user() {
    let (stack, mut admin) = stack_as("service").await;
    let more = ["+blpop", "+config|get", "+acl|whoami", "+acl|dryrun"];
    acl(&mut admin, &[&["SETUSER", "service"], &more[..]].concat()).await;
    stack
        .config_yaml(&format!(
            "simulator_url: {}\nproviders: {{ openai: {{ limits: {{ max_concurrent: 2, requests_per_minute: 600 }} }} }}\n\
             budgets: [{{ name: all, scope: overall, limit_usd: '100', per: day }}]\n\
             cron: [{{ name: often, every: 1s, job: {{ prompt: tick }} }}]\n",
            stack.simulator.url()
        ))
        .unwrap();
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let ids = stack.enqueue(&prompts(20)).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let jobs = [
        r#"{"id":"delayed","prompt":"x","delay":1}"#.to_owned(),
        r#"{"id":"unique","prompt":"x","unique_key":"k"}"#.to_owned(),
        r#"{"id":"keyed","prompt":"x","concurrency_key":"c","reply":true}"#.to_owned(),
        r#"{"id":"tenant","prompt":"x","tenant":"acme","platform":"openai"}"#.to_owned(),
    ];
    stack.enqueue(&jobs).await.unwrap();
    let ids = ["delayed", "unique", "keyed", "tenant"].map(|id| JobId::parse(id).unwrap());
    stack.successes(&ids).await.unwrap();
    stack
        .write("batch.json", r#"[{"prompt":"one"},{"prompt":"two"}]"#)
        .unwrap();
    for command in [
        &["submit", "-p", "Hello"][..],
        &["batch", "batch.json"],
        &["status"],
        &["queues"],
        &["workers"],
        &["quota"],
        &["jobs", "list"],
        &["failures"],
        &["dlq", "list"],
        &["cron", "list"],
        &["pause", "provider", "openai"],
        &["resume", "provider", "openai"],
        &["doctor"],
    ] {
        let ran = stack.longshore(command).await.unwrap();
        assert_eq!(refusals(&mut admin).await, "", "{command:?} {ran:?}");
    }
    stack.recorded().await.unwrap();
    assert_eq!(refusals(&mut admin).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_an_error_that_names_user_and_command() {
    let (stack, mut admin) = stack_as("service").await;
    let named = refusals_name_users(&mut admin).await;
    for (removed, in_script) in [
        ("script|load", false),
        ("xreadgroup", false),
        ("hset", true),
        ("exists", true),
        ("subscribe", false),
    ] {
        let expected = match (named, in_script) {
            (true, _) => {
                format!("User service has no permissions to run the '{removed}' command")
            }
            (false, false) => {
                format!("this user has no permissions to run the '{removed}' command")
            }
            (false, true) => {
                "The user executing the script can't run this command or subcommand".to_owned()
            }
        };
        acl(&mut admin, &["SETUSER", "service", &format!("-{removed}")]).await;
        let jobs = stack.enqueue(&prompts(1)).await.unwrap();
        let worker = stack.worker().unwrap();
        within(Duration::from_secs(30), "the log names it", || async {
            let log = std::fs::read_to_string(worker.log())?;
            anyhow::ensure!(log.contains(&expected), "{expected} is not in {log}");
            Ok(())
        })
        .await
        .unwrap();
        // The worker continues as soon as it may.
        acl(&mut admin, &["SETUSER", "service", &format!("+{removed}")]).await;
        stack.successes(&jobs).await.unwrap();
        worker.shut_down().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_may_enqueue_and_wait_and_nothing_else() {
    let (stack, mut admin) = stack_as("producer").await;
    let ran = stack.longshore(&["queues"]).await.unwrap();
    assert_ne!(ran.code, Some(0));
    let who = if refusals_name_users(&mut admin).await {
        "User producer"
    } else {
        "this user"
    };
    let expected = format!("{who} has no permissions to run the");
    assert!(ran.stderr.contains(&expected), "{}", ran.stderr);
    assert!(refusals(&mut admin).await.contains("producer"));
    expect_success(
        stack
            .longshore(&["submit", "-p", "Hello", "--detach"])
            .await
            .unwrap(),
    );
}

/// Runs one command as this user.
async fn run_as(stack: &Stack, user: &str, words: &[&str]) -> redis::RedisResult<redis::Value> {
    let url = format!("redis://{user}:secret@127.0.0.1:{}", stack.redis.port());
    let mut connection = connect_to_redis(&url).await.unwrap();
    let (name, arguments) = words.split_first().unwrap();
    let mut command = redis::cmd(name);
    command.arg(arguments).query_async(&mut connection).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_takes_its_own_replies_and_no_others() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut admin = stack.connection().await.unwrap();
    let rule = documented("alice");
    acl(&mut admin, &rule).await;
    let for_bob: Vec<String> = rule
        .iter()
        .map(|word| word.replace("alice", "bob"))
        .collect();
    acl(&mut admin, &for_bob).await;
    acl(&mut admin, &documented("producer")).await;
    let _worker = stack.worker().unwrap();
    let queue = stack
        .broker
        .keys()
        .queue(&QueueName::parse("default").unwrap());
    let list = |reader: &str, id: &str| {
        let reader = ReplyTo::Reader(ReaderName::parse(reader).unwrap());
        stack
            .broker
            .keys()
            .reply(&reader, &JobId::parse(id).unwrap())
    };
    let send = async |user: &str, fields: &[&str]| {
        let words = [&["XADD", queue.as_str(), "*"], fields].concat();
        run_as(&stack, user, &words).await.unwrap();
    };
    let take = async |user: &str, list: &str| -> redis::RedisResult<redis::Value> {
        run_as(&stack, user, &["BLPOP", list, "20"]).await
    };
    let may_take = async |user: &str, list: &str| {
        let taken = take(user, list).await.unwrap();
        let (_, outcome): (String, String) = redis::from_redis_value(taken).unwrap();
        outcome
    };
    let is_refused = async |user: &str, words: &[&str]| {
        let refused = run_as(&stack, user, words).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Some("NOPERM"),
            "{user} {words:?}: {refused}"
        );
    };

    // A job in both forms, one without an id of its own, and a chain.
    send("alice", &["id", "a1", "prompt", "p", "reply", "@alice"]).await;
    send(
        "alice",
        &["job", r#"{"id":"a2","prompt":"p","reply":"@alice"}"#],
    )
    .await;
    let chain = r#"{"id":"a3","reply":"@alice","steps":[{"name":"s","prompt":"p"}]}"#;
    send("alice", &["chain", chain]).await;
    let (hers, his) = (list("alice", "a1"), list("bob", "b1"));
    for user in ["bob", "producer"] {
        is_refused(user, &["BLPOP", &hers, "1"]).await;
        is_refused(user, &["XADD", &hers, "*", "a", "b"]).await;
    }
    is_refused("alice", &["BLPOP", &his, "1"]).await;
    for command in [
        &["RPUSH", hers.as_str(), "forged"][..],
        &["GET", "{longshore}:result:a1"],
        &["BLPOP", "{longshore}:reply:a1", "1"],
    ] {
        is_refused("bob", command).await;
        is_refused("alice", command).await;
    }
    for id in ["a1", "a2", "a3"] {
        let outcome = may_take("alice", &list("alice", id)).await;
        assert!(outcome.contains(&format!(r#""id":"{id}""#)), "{outcome}");
    }

    // Whoever may enqueue can send an outcome to a reader, but of a job of its own: an id is given once.
    send("bob", &["id", "b1", "prompt", "p", "reply", "@alice"]).await;
    let outcome = may_take("alice", &list("alice", "b1")).await;
    assert!(outcome.contains(r#""id":"b1""#), "{outcome}");
    send("bob", &["id", "a1", "prompt", "another", "reply", "@alice"]).await;
    // An id that looks like a reader's list is in no reader's list.
    send("bob", &["id", "alice:a1", "prompt", "p", "reply", "@bob"]).await;
    may_take("bob", &list("bob", "alice:a1")).await;
    let died = within(
        Duration::from_secs(20),
        "the conflict is a dead letter",
        || async {
            let found = stack
                .longshore(&["dlq", "list", "--format", "json"])
                .await?;
            anyhow::ensure!(found.stdout.contains("id_conflict"), "{found:?}");
            Ok(())
        },
    );
    died.await.unwrap();
    let length: u64 = redis::cmd("LLEN")
        .arg(&hers)
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(length, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_library_and_the_command_need_no_more_than_the_documented_reader() {
    let (stack, mut admin) = stack_as("alice").await;
    let mut service = stack.command("longshore-worker").unwrap();
    service.env("LONGSHORE_REDIS_URL", stack.redis.url());
    let _worker = ChildProcess::spawn("worker", service, &stack.dir().join("log")).unwrap();
    let url = format!("redis://alice:secret@127.0.0.1:{}", stack.redis.port());
    let client = Client::connect(&url, "longshore").await.unwrap();
    let alice = ReaderName::parse("alice").unwrap();
    let take = async |id: &JobId| {
        let reply = client.take_reply(&alice, id, Duration::from_secs(20)).await;
        assert!(reply.unwrap().is_some_and(|outcome| outcome.success));
    };
    let receipt = client
        .enqueue(&Job::prompt("p").reply_to(&alice))
        .await
        .unwrap();
    take(&receipt.id).await;
    let submitted = stack
        .longshore(&[
            "submit",
            "-p",
            "p",
            "--id",
            "c1",
            "--detach",
            "--reply-to",
            "alice",
        ])
        .await
        .unwrap();
    expect_success(submitted);
    take(&JobId::parse("c1").unwrap()).await;
    assert_eq!(refusals(&mut admin).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_the_rules_that_the_user_of_the_services_lacks() {
    let (stack, mut admin) = stack_as("service").await;
    let permissions = async |words: &[&str]| {
        let ran = stack.longshore(words).await.unwrap();
        let lines = ran.stdout.lines().map(str::trim);
        let from = lines.skip_while(|line| !line.contains("] permissions: "));
        from.take(2).collect::<Vec<_>>().join("\n")
    };
    let unknown = permissions(&["doctor"]).await;
    assert!(
        unknown.starts_with("[--] permissions: not checked: this user may not run ACL"),
        "{unknown}"
    );
    let may_ask = ["SETUSER", "service", "+acl|whoami", "+acl|dryrun"];
    acl(&mut admin, &may_ask).await;
    let complete = permissions(&["doctor"]).await;
    assert!(
        complete.starts_with("[OK] permissions: user service may run everything"),
        "{complete}"
    );

    // A worker as the documented user has no such permissions, and an administrator asks for it.
    acl(&mut admin, &documented("service")).await;
    let removed = [
        "-zrevrangebylex",
        "-xgroup|create",
        "resetkeys",
        "~{longshore}:queue:*",
        "resetchannels",
    ];
    let for_worker: Vec<String> = documented("service")
        .iter()
        .map(|word| word.replace("service", "worker"))
        .collect();
    acl(&mut admin, &for_worker).await;
    acl(&mut admin, &[&["SETUSER", "worker"], &removed[..]].concat()).await;
    acl(&mut admin, &may_ask).await;
    let lacking = permissions(&["doctor", "--redis-user", "worker"]).await;
    for rule in [
        "+xgroup|create",
        "+zrevrangebylex",
        "~{longshore}:*",
        "&{longshore}:*",
    ] {
        assert!(lacking.contains(&format!(" {rule}")), "{rule}: {lacking}");
    }
    let (_, advice) = lacking.split_once("`ACL SETUSER worker ").unwrap();
    let (rules, _) = advice.split_once('`').unwrap();
    let added: Vec<&str> = rules.split(' ').collect();
    assert_eq!(added.len(), 4, "{added:?}");
    // Applied word by word, they suffice.
    acl(&mut admin, &[&["SETUSER", "worker"], &added[..]].concat()).await;
    let complete = permissions(&["doctor", "--redis-user", "worker"]).await;
    assert!(
        complete.starts_with("[OK] permissions: user worker"),
        "{complete}"
    );
    let nobody = permissions(&["doctor", "--redis-user", "nobody"]).await;
    assert!(
        nobody.contains("not checked: ") && nobody.contains("nobody"),
        "{nobody}"
    );
}
