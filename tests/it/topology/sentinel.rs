//! A failover by Sentinels, while jobs flow.

use std::time::Duration;

use longshore_broker::Broker;
use longshore_policy::redis::{RedisAccess, RedisSettings};
use longshore_protocol::id::Namespace;
use longshore_tests::stack::within;

use super::{load::Load, server::Server};

const PASSWORD: &str = "watchword";

/// A primary, a replica of it, and three Sentinels.
struct Group {
    servers: [Server; 2],
    sentinels: Vec<Server>,
}

impl Group {
    async fn start() -> Self {
        let primary = Server::start(&[]).await;
        let of = format!("127.0.0.1 {}", primary.port);
        let replica = Server::start(&["--replicaof", &of]).await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(Server::sentinel(primary.port, PASSWORD).await);
        }
        let group = Self {
            servers: [primary, replica],
            sentinels,
        };
        within(
            Duration::from_secs(30),
            "the Sentinels know all",
            || async {
                for sentinel in &group.sentinels {
                    let seen = group
                        .ask_sentinel(sentinel, &["SENTINEL", "CKQUORUM", "main"])
                        .await?;
                    anyhow::ensure!(seen.starts_with("OK 3"), "{seen}");
                    let info = group.ask_sentinel(sentinel, &["INFO", "sentinel"]).await?;
                    anyhow::ensure!(info.contains("slaves=1"), "{info}");
                }
                Ok(())
            },
        )
        .await
        .unwrap();
        group
    }

    async fn ask_sentinel(&self, sentinel: &Server, words: &[&str]) -> anyhow::Result<String> {
        let url = format!("redis://:{PASSWORD}@{}", sentinel.address());
        let mut connection = longshore_tests::stack::connect_to_redis(&url).await?;
        let (name, arguments) = words.split_first().unwrap();
        Ok(redis::cmd(name)
            .arg(arguments)
            .query_async(&mut connection)
            .await?)
    }

    /// The first address is one at which nobody listens.
    fn url(&self) -> String {
        let sentinels: Vec<String> = self.sentinels.iter().map(Server::address).collect();
        format!("redis+sentinel://127.0.0.1:1,{}/main", sentinels.join(","))
    }

    async fn role_is(&self, server: &Server, expected: &str) {
        within(Duration::from_secs(30), "the role changes", || async {
            let info: String = server.ask(&["INFO", "replication"]).await?;
            let is_synced = expected == "master" || info.contains("master_link_status:up");
            let has_role = info.contains(&format!("role:{expected}"));
            anyhow::ensure!(has_role && is_synced, "{info}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_once_although_the_primary_is_killed_and_demoted() {
    let mut group = Group::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let settings = RedisSettings {
        url: group.url().parse().unwrap(),
        access: RedisAccess {
            sentinel_password_file: Some(file.clone()),
            ..RedisAccess::default()
        },
    };
    let broker = Broker::open(&settings, &Namespace::default())
        .await
        .unwrap();
    let (url, file) = (group.url(), file.display().to_string());
    let env = [
        ("LONGSHORE_REDIS_URL", url.as_str()),
        ("LONGSHORE_REDIS_SENTINEL_PASSWORD_FILE", file.as_str()),
    ];
    let mut load = Load::start(&env, broker).await;

    load.enqueue_replicated(&group.servers[0], 100).await;
    load.calls(20).await;
    group.servers[0].kill();
    load.enqueue("during", 100).await;
    load.all_end().await;
    group.role_is(&group.servers[1], "master").await;

    // A primary that is demoted keeps its connections, and refuses their writes.
    group.servers[0].restart().await;
    group.role_is(&group.servers[0], "slave").await;
    load.enqueue_replicated(&group.servers[1], 50).await;
    let done = group.ask_sentinel(&group.sentinels[0], &["SENTINEL", "FAILOVER", "main"]);
    assert_eq!(done.await.unwrap(), "OK");
    load.enqueue("again", 50).await;
    group.role_is(&group.servers[0], "master").await;
    load.enqueue("after", 50).await;
    load.all_end().await;

    let seen = load.stack.longshore(&["doctor"]).await.unwrap().stdout;
    let primary = format!("the primary is {}", group.servers[0].address());
    assert!(seen.contains(&primary), "{seen}");
}
