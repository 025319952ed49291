//! A cluster whose slots move, and whose primaries die, while jobs flow.

use std::time::Duration;

use longshore_broker::Broker;
use longshore_tests::stack::within;

use super::{
    load::{Load, broker_at},
    server::Server,
};

/// How long the cluster may take to change.
const CHANGE: Duration = Duration::from_secs(40);

/// The tag of the namespace.
const TAG: &str = "{longshore}";

/// Three primaries with a third of the slots each, and a replica of each.
struct Cluster {
    nodes: Vec<Server>,
    ids: Vec<String>,
    slot: String,
}

impl Cluster {
    async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..6 {
            nodes.push(Server::node().await);
        }
        let mut ids = Vec::new();
        for node in &nodes {
            ids.push(node.ask::<String>(&["CLUSTER", "MYID"]).await.unwrap());
        }
        for (node, (first, last)) in nodes.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
            let (first, last) = (first.to_string(), last.to_string());
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                .await;
        }
        for (at, node) in nodes.iter().enumerate() {
            let epoch = (at + 1).to_string();
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
        }
        let (first, others) = nodes.split_first().unwrap();
        let (port, bus_port) = (first.port.to_string(), first.bus_port.to_string());
        for node in others {
            node.tell(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port])
                .await;
        }
        let slot: u16 = first.ask(&["CLUSTER", "KEYSLOT", TAG]).await.unwrap();
        let cluster = Self {
            nodes,
            ids,
            slot: slot.to_string(),
        };
        cluster.follow().await;
        cluster
    }

    fn node(&self, at: usize) -> &Server {
        self.nodes.get(at).unwrap()
    }

    fn id(&self, at: usize) -> &str {
        self.ids.get(at).unwrap()
    }

    /// Makes the last three nodes replicas of the first three.
    async fn follow(&self) {
        self.all("every node knows all", async |node| {
            let info: String = node.ask(&["CLUSTER", "INFO"]).await?;
            anyhow::ensure!(info.contains("cluster_known_nodes:6"), "{info}");
            anyhow::ensure!(info.contains("cluster_slots_assigned:16384"), "{info}");
            Ok(())
        })
        .await;
        for (replica, primary) in self.nodes.iter().skip(3).zip(&self.ids) {
            replica.tell(&["CLUSTER", "REPLICATE", primary]).await;
        }
        self.all("replicas are in sync", async |node| {
            let info: String = node.ask(&["INFO", "replication"]).await?;
            let is_ready =
                info.contains("connected_slaves:1") || info.contains("master_link_status:up");
            anyhow::ensure!(is_ready, "{info}");
            let info: String = node.ask(&["CLUSTER", "INFO"]).await?;
            anyhow::ensure!(info.contains("cluster_state:ok"), "{info}");
            Ok(())
        })
        .await;
    }

    async fn all(&self, what: &str, check: impl AsyncFn(&Server) -> anyhow::Result<()>) {
        for node in &self.nodes {
            within(CHANGE, what, || check(node)).await.unwrap();
        }
    }

    /// The node that owns the namespace's slot, as a node knows it.
    async fn owner(&self, asked: usize) -> anyhow::Result<usize> {
        let text: String = self.node(asked).ask(&["CLUSTER", "NODES"]).await?;
        let slot: u16 = self.slot.parse()?;
        let has_slot = |line: &&str| {
            line.split(' ').skip(8).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                matches!((first.parse(), last.parse()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
            })
        };
        let line = text
            .lines()
            .filter(|line| line.contains("master"))
            .find(has_slot);
        let id = line
            .and_then(|line| line.split(' ').next())
            .unwrap_or_default();
        let at = self.ids.iter().position(|known| known == id);
        at.ok_or_else(|| anyhow::anyhow!("no owner in {text}"))
    }

    /// Moves the slot and its keys to another primary, as operators did before moves were atomic.
    async fn move_slot(&self, from: usize, to: usize, broker: &Broker) {
        let (source, target) = (self.node(from), self.node(to));
        let set_slot = ["CLUSTER", "SETSLOT", self.slot.as_str()];
        target
            .tell(&[&set_slot[..], &["IMPORTING", self.id(from)]].concat())
            .await;
        source
            .tell(&[&set_slot[..], &["MIGRATING", self.id(to)]].concat())
            .await;
        // No script begins, so none can stop half way.
        let lease = broker.leader().acquire("test", Duration::from_secs(1));
        let refused = lease.await.unwrap_err().to_string();
        assert!(
            refused.contains("TryAgain") || refused.contains("Ask"),
            "{refused}"
        );
        let port = target.port.to_string();
        loop {
            let keys: Vec<String> = source
                .ask(&["CLUSTER", "GETKEYSINSLOT", &self.slot, "5"])
                .await
                .unwrap();
            if keys.is_empty() {
                break;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            words.extend(keys.iter().map(String::as_str));
            source.tell(&words).await;
            // Jobs are to meet a slot that is half moved.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for node in [target, source, self.node(3 - from - to)] {
            node.tell(&[&set_slot[..], &["NODE", self.id(to)]].concat())
                .await;
        }
    }

    fn url(&self) -> String {
        // Not the owner, and one at which nobody listens.
        format!(
            "redis+cluster://127.0.0.1:1,{},{}",
            self.node(4).address(),
            self.node(5).address()
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_end_once_although_the_slot_moves_and_its_owner_is_killed() {
    let mut cluster = Cluster::start().await;
    let url = cluster.url();
    let broker = broker_at(&url).await;
    let mut load = Load::start(&[("LONGSHORE_REDIS_URL", url.as_str())], broker).await;
    let first = cluster.owner(0).await.unwrap();
    let second = (first + 1) % 3;

    load.enqueue_replicated(&cluster.nodes[first], 100).await;
    load.calls(20).await;
    cluster.move_slot(first, second, &load.broker).await;
    load.enqueue("moved", 50).await;
    load.all_end().await;

    let made = load.stack.simulator.stats().requests;
    load.enqueue_replicated(&cluster.nodes[second], 100).await;
    load.calls(made + 20).await;
    cluster.nodes[second].kill();
    load.enqueue("during", 50).await;
    load.all_end().await;

    // Its replica has taken over.
    let third = second + 3;
    assert_eq!(cluster.owner(third).await.unwrap(), third);
    let seen = load.stack.longshore(&["doctor"]).await.unwrap().stdout;
    let primary = format!(
        "the primary is {}, the owner of slot {}",
        cluster.nodes[third].address(),
        cluster.slot
    );
    assert!(seen.contains(&primary), "{seen}");
}
