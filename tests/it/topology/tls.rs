//! TLS with an authority of one's own and client certificates; passwords in files, and their rotation.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::Duration,
};

use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_policy::redis::{RedisAccess, RedisSettings};
use longshore_protocol::id::Namespace;
use longshore_tests::stack::{Options, Stack, expect_success, own_postgres, prompts, within};
use redis::aio::MultiplexedConnection;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{
    server::Server,
    tls_proxy::{Authority, TlsProxy},
};

const MINUTE: Duration = Duration::from_mins(1);

/// A stack whose programs reach Redis by TLS, as a user whose password is in a file.
async fn stack_with_tls() -> (Stack, MultiplexedConnection, TlsProxy) {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let mut admin = stack.connection().await.unwrap();
    set_password(&mut admin, &stack, "first").await;
    let authority = Authority::new("ours");
    authority.write_files(stack.dir());
    let proxy = TlsProxy::start(stack.redis.port(), &authority).await;
    stack.set_env(
        "LONGSHORE_REDIS_URL",
        &format!("rediss://{}", proxy.address),
    );
    for (name, value) in [
        ("LONGSHORE_REDIS_USERNAME", "app"),
        ("LONGSHORE_REDIS_PASSWORD_FILE", "password"),
        ("LONGSHORE_REDIS_CA_FILE", "ca.pem"),
        ("LONGSHORE_REDIS_CERT_FILE", "cert.pem"),
        ("LONGSHORE_REDIS_KEY_FILE", "key.pem"),
    ] {
        stack.set_env(name, value);
    }
    (stack, admin, proxy)
}

/// Makes this the only password of the user, in Redis and in the file.
async fn set_password(admin: &mut MultiplexedConnection, stack: &Stack, password: &str) {
    stack.write("password", &format!("{password}\n")).unwrap();
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "on", "resetpass", "~*", "&*", "+@all"])
        .arg(format!(">{password}"))
        .query_async::<()>(admin)
        .await
        .unwrap();
}

async fn clients_of_app(admin: &mut MultiplexedConnection) -> usize {
    let clients: String = redis::cmd("CLIENT")
        .arg("LIST")
        .query_async(admin)
        .await
        .unwrap();
    clients.matches("user=app").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_use_tls_and_follow_a_rotated_password() {
    let (stack, mut admin, _proxy) = stack_with_tls().await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    // Shared, reader, recorder, control channel, heartbeat, and those of the scheduler.
    assert!(clients_of_app(&mut admin).await >= 6);

    set_password(&mut admin, &stack, "second").await;
    let killed: usize = redis::cmd("CLIENT")
        .arg(&["KILL", "USER", "app"])
        .query_async(&mut admin)
        .await
        .unwrap();
    assert!(killed >= 6, "{killed}");
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    expect_success(stack.longshore(&["queues"]).await.unwrap());
    assert_eq!(stack.simulator.stats().requests, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_what_is_wrong_with_tls_and_files() {
    let (mut stack, _admin, _proxy) = stack_with_tls().await;
    let seen = stack.longshore(&["doctor"]).await.unwrap().stdout;
    assert!(seen.contains("[OK] Redis: "), "{seen}");

    Authority::new("theirs").write_files(stack.dir());
    let cases = [
        (
            ("LONGSHORE_REDIS_CA_FILE", "ca.pem"),
            "UnknownIssuer; the server's certificate is signed by none of the trusted authorities, set \
             `redis.ca_file`",
        ),
        (
            ("LONGSHORE_REDIS_CA_FILE", "none.pem"),
            "`redis.ca_file`: none.pem cannot be read: No such file or directory",
        ),
        (
            ("LONGSHORE_REDIS_PASSWORD_FILE", "absent"),
            "`redis.password_file`: absent cannot be read: No such file or directory",
        ),
    ];
    for ((name, value), expected) in cases {
        stack.set_env(name, value);
        let ran = stack.longshore(&["doctor"]).await.unwrap();
        assert_ne!(ran.code, Some(0));
        assert!(ran.stdout.contains(expected), "{}", ran.stdout);
        stack.set_env("LONGSHORE_REDIS_CA_FILE", "ca.pem");
        stack.set_env("LONGSHORE_REDIS_PASSWORD_FILE", "password");
    }
    // A service does not start without a file that it needs.
    stack.set_env("LONGSHORE_REDIS_KEY_FILE", "gone.pem");
    let mut worker = stack.worker().unwrap();
    let status = within(MINUTE, "the worker ends", || {
        let ended = worker.try_wait();
        async move { ended?.ok_or_else(|| anyhow::anyhow!("it runs")) }
    });
    assert_eq!(status.await.unwrap().code(), Some(2));
    let log = worker.log_tail();
    assert!(log.contains("gone.pem cannot be read"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_names_a_missing_client_certificate_and_a_wrong_password() {
    let (mut stack, mut admin, _proxy) = stack_with_tls().await;
    redis::cmd("ACL")
        .arg(&["SETUSER", "app", "resetpass", ">other"])
        .query_async::<()>(&mut admin)
        .await
        .unwrap();
    let ran = stack.longshore(&["doctor"]).await.unwrap();
    assert!(
        ran.stdout
            .contains("Redis refused the user or its password"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("first"), "{}", ran.stdout);
    for name in ["LONGSHORE_REDIS_CERT_FILE", "LONGSHORE_REDIS_KEY_FILE"] {
        stack.set_env(name, "");
    }
    let ran = stack.longshore(&["doctor"]).await.unwrap();
    assert!(
        ran.stdout.contains("set `redis.cert_file`"),
        "{}",
        ran.stdout
    );
}

#[tokio::test]
async fn postgres_takes_its_password_from_a_file_that_may_change() {
    let postgres = own_postgres().await.unwrap();
    let mut admin = PgConnection::connect(&postgres.url()).await.unwrap();
    let mut run = async |sql: &'static str| {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
    };
    run("CREATE ROLE app LOGIN PASSWORD 'first'").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let (_, server) = postgres
        .url()
        .split_once('@')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let url = SecretString::from(format!("postgres://app@{server}"));
    let ledger = Ledger::open(&url, Some(&file), 1).unwrap();
    ledger.ping().await.unwrap();

    run("ALTER ROLE app PASSWORD 'second'").await;
    std::fs::write(&file, "second\n").unwrap();
    run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'").await;
    within(MINUTE, "the ledger connects again", || async {
        Ok(ledger.ping().await?)
    })
    .await
    .unwrap();

    let absent = folder.path().join("absent");
    let error = Ledger::open(&url, Some(&absent), 1)
        .unwrap_err()
        .to_string();
    let expected = format!(
        "`database.password_file`: {} cannot be read",
        absent.display()
    );
    assert!(error.starts_with(&expected), "{error}");
    let with_authority =
        SecretString::from(format!("postgres://app@{server}?sslrootcert=/none.pem"));
    let error = Ledger::open(&with_authority, Some(&file), 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`sslrootcert`: /none.pem cannot be read"),
        "{error}"
    );
}

#[tokio::test]
async fn postgres_is_reached_by_tls() {
    longshore_service::tls::install_crypto_provider();
    let postgres = own_postgres().await.unwrap();
    let mut admin = PgConnection::connect(&postgres.url()).await.unwrap();
    let data: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (certificate, key) = ours.server_pem();
    let owner = std::fs::metadata(&data).unwrap();
    for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
        let path = std::path::Path::new(&data).join(name);
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut admin)
            .await
            .unwrap();
    }
    let (files, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    ours.write_files(files.path());
    theirs.write_files(other.path());
    let ledger = |folder: &std::path::Path| {
        let file = |name: &str| folder.join(name).display().to_string();
        let url = format!(
            "{}?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
            postgres.url(),
            file("ca.pem"),
            file("cert.pem"),
            file("key.pem")
        );
        Ledger::open(&SecretString::from(url), None, 1).unwrap()
    };
    let trusted = ledger(files.path());
    within(MINUTE, "Postgres has TLS", || async {
        Ok(trusted.ping().await?)
    })
    .await
    .unwrap();
    let error = ledger(other.path()).ping().await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
}

/// Connects by TLS, and returns the primary that was found.
async fn primary_at(url: &str, files: &std::path::Path, sentinel_password: Option<&str>) -> String {
    let password_file = sentinel_password.map(|password| {
        let file = files.join("sentinel-password");
        std::fs::write(&file, password).unwrap();
        file
    });
    let settings = RedisSettings {
        url: url.parse().unwrap(),
        access: RedisAccess {
            ca_file: Some(files.join("ca.pem")),
            cert_file: Some(files.join("cert.pem")),
            key_file: Some(files.join("key.pem")),
            sentinel_password_file: password_file,
            ..RedisAccess::default()
        },
    };
    let broker = Broker::open(&settings, &Namespace::default())
        .await
        .unwrap();
    broker.load_scripts().await.unwrap();
    broker.primary().unwrap().address
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_their_primary_are_reached_by_tls() {
    let authority = Authority::new("ours");
    let files = tempfile::tempdir().unwrap();
    authority.write_files(files.path());
    let server = Server::start(&[]).await;
    let primary = TlsProxy::start(server.port, &authority).await;
    let sentinel = Server::sentinel(primary.address.port(), "watchword").await;
    let proxy = TlsProxy::start(sentinel.port, &authority).await;
    let url = format!("rediss+sentinel://{}/main", proxy.address);
    let found = primary_at(&url, files.path(), Some("watchword")).await;
    assert_eq!(found, primary.address.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_cluster_are_reached_by_tls() {
    let authority = Authority::new("ours");
    let files = tempfile::tempdir().unwrap();
    authority.write_files(files.path());
    let node = Server::node().await;
    let proxy = TlsProxy::start(node.port, &authority).await;
    let port = proxy.address.port().to_string();
    node.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    node.tell(&["CONFIG", "SET", "cluster-announce-port", &port])
        .await;
    within(MINUTE, "the cluster is up", || async {
        let info: String = node.ask(&["CLUSTER", "INFO"]).await?;
        anyhow::ensure!(info.contains("cluster_state:ok"), "{info}");
        Ok(())
    })
    .await
    .unwrap();
    let url = format!("rediss+cluster://{}", proxy.address);
    let found = primary_at(&url, files.path(), None).await;
    assert_eq!(found, proxy.address.to_string());
}
