//! Keys and passwords appear nowhere but where they are used.

use std::fmt::Write as _;

use axum::{
    Json, Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use longshore_broker::task;
use longshore_simulator::Dialect;
use longshore_tests::stack::{Options, Stack, eventually};
use redis::Value as Reply;
use serde_json::{Value, json};

use crate::simulated::outcome;

const A_KEY: &str = "sk-aaaaKEYaaaa1111222233334444";
const REFUSED_KEY: &str = "sk-bbbbKEYbbbb1111222233334444";
const HEADER_KEY: &str = "otelKEYcccc1111222233334444";
const REDIS_PASSWORD: &str = "redisPASSdddd1111222233334444";
const WEBHOOK_SECRET: &str = "whsec_TWZLUTlyOEdLWXFyVHdqVVBEOElMUFpJbzJMYUxhU3c=";

/// A provider that refuses a key and quotes it, as some do.
async fn refusing_provider() -> String {
    async fn refuse(headers: HeaderMap) -> (StatusCode, Json<Value>) {
        let key = headers.get("authorization").unwrap().to_str().unwrap();
        let key = key.trim_start_matches("Bearer ");
        let message = format!("Incorrect API key provided: {key}. You can find your key online.");
        let body = json!({"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}});
        (StatusCode::UNAUTHORIZED, Json(body))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let app = Router::new().route("/{*path}", post(refuse));
    task::spawn("refusing provider", async move {
        axum::serve(listener, app).await.unwrap();
    });
    url
}

/// Everything that Redis holds.
pub(crate) async fn redis_content(stack: &Stack) -> String {
    let mut redis = stack.connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut content = String::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let (read, rest): (&str, &[&str]) = match kind.as_str() {
            "hash" => ("HGETALL", &[]),
            "list" => ("LRANGE", &["0", "-1"]),
            "zset" => ("ZRANGE", &["0", "-1"]),
            "set" => ("SMEMBERS", &[]),
            "stream" => ("XRANGE", &["-", "+"]),
            _ => ("GET", &[]),
        };
        let reply: Reply = redis::cmd(read)
            .arg(&key)
            .arg(rest)
            .query_async(&mut redis)
            .await
            .unwrap();
        writeln!(content, "{key} {}", text_of(&reply)).unwrap();
    }
    content
}

fn text_of(reply: &Reply) -> String {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Array(all) | Reply::Set(all) => {
            let all: Vec<String> = all.iter().map(text_of).collect();
            all.join(" ")
        }
        Reply::Map(all) => {
            let all: Vec<String> = all
                .iter()
                .map(|(key, value)| format!("{} {}", text_of(key), text_of(value)))
                .collect();
            all.join(" ")
        }
        other => format!("{other:?}"),
    }
}

/// Every row of every table.
pub(crate) async fn postgres_content(stack: &Stack) -> String {
    let postgres = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_all(&postgres)
    .await
    .unwrap();
    let mut content = String::new();
    for table in tables {
        let query = format!("SELECT row_to_json(t)::text FROM \"{table}\" t");
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(&postgres)
            .await
            .unwrap();
        writeln!(content, "{table}\n{}", rows.join("\n")).unwrap();
    }
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged_stored_or_shown() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let redis = stack.broker.address().to_owned();
    let rule = format!(">{REDIS_PASSWORD}");
    let mut connection = stack.connection().await.unwrap();
    let () = redis::cmd("ACL")
        .arg(&["SETUSER", "svc", "on", &rule, "~*", "&*", "+@all"])
        .query_async(&mut connection)
        .await
        .unwrap();
    let database = stack.database_url.parse::<reqwest::Url>().unwrap();
    let secrets = [
        A_KEY,
        REFUSED_KEY,
        HEADER_KEY,
        REDIS_PASSWORD,
        WEBHOOK_SECRET,
        database.password().unwrap(),
    ];
    let refused = refusing_provider().await;
    let good = stack.simulator.base_url("a", Dialect::Openai);
    stack
        .config_yaml(&format!(
            "retry: {{max_retries: 0}}\n\
             webhooks: {{hosts: [\"http://127.0.0.1:9\"], secret: \"${{HOOKS}}\"}}\n\
             providers:\n  \
               a: {{dialect: openai, base_url: \"{good}\", api_key: \"${{A_KEY}}\", default_model: gpt-4o}}\n  \
               b: {{dialect: openai, base_url: \"{refused}\", api_key: \"${{B_KEY}}\", default_model: gpt-4o}}\n\
             models:\n  \
               - {{provider: a, model: gpt-4o, tier: standard, context_window: 128000, max_output_tokens: 16384, input_per_million: 1, output_per_million: 1}}\n  \
               - {{provider: b, model: gpt-4o, tier: standard, context_window: 128000, max_output_tokens: 16384, input_per_million: 1, output_per_million: 1}}\n"
        ))
        .unwrap();
    for (name, value) in [
        (
            "REDIS_URL",
            format!("redis://svc:{REDIS_PASSWORD}@{redis}").as_str(),
        ),
        ("A_KEY", A_KEY),
        ("B_KEY", REFUSED_KEY),
        ("HOOKS", WEBHOOK_SECRET),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            &format!("api-key={HEADER_KEY}"),
        ),
        ("LONGSHORE_LOG", "trace"),
    ] {
        stack.set_env(name, value);
    }
    let (worker, scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    let done = outcome(
        &stack,
        &json!({"prompt": "x", "platform": "a", "fallback": false}),
    )
    .await;
    assert!(done.success, "{done:?}");
    let failed = outcome(
        &stack,
        &json!({"prompt": "x", "platform": "b", "fallback": false}),
    )
    .await;
    let error = failed.error.clone().unwrap();
    assert!(error.contains("Incorrect API key"), "{error}");
    stack.recorded().await.unwrap();
    eventually("a failed export is logged", || async {
        let log = std::fs::read_to_string(worker.log())?;
        anyhow::ensure!(log.contains("BatchSpanProcessor.ExportError"));
        Ok(())
    })
    .await
    .unwrap();

    let mut places = vec![
        (
            "the worker's log".to_owned(),
            std::fs::read_to_string(worker.log()).unwrap(),
        ),
        (
            "the scheduler's log".to_owned(),
            std::fs::read_to_string(scheduler.log()).unwrap(),
        ),
        ("Redis".to_owned(), redis_content(&stack).await),
        ("Postgres".to_owned(), postgres_content(&stack).await),
        ("the outcome".to_owned(), format!("{failed:?}")),
    ];
    for command in [
        "config show",
        "config show --format json",
        "doctor",
        "status",
        "failures",
        "dlq list",
        "dlq list --format json",
        "jobs list --format json",
        "models list --all",
        "quota",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let ran = stack.longshore(&words).await.unwrap();
        places.push((command.to_owned(), ran.stdout + &ran.stderr));
    }
    for (place, content) in &places {
        // The provider's text is there, without the key that it quotes.
        let has_error = ["Redis", "Postgres", "the outcome"].contains(&place.as_str());
        let found = content.contains("Incorrect API key");
        assert!(
            found || !has_error && !content.is_empty(),
            "{place}: {content}"
        );
        for secret in secrets {
            let at = content.find(secret).map(|at| {
                let around = content.get(at.saturating_sub(200)..at);
                around.unwrap_or_default().to_owned()
            });
            assert_eq!(at, None, "{place} shows {secret}");
        }
    }
}
