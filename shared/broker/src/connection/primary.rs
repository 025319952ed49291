//! Questions to Sentinels, nodes of a cluster, and primaries.

use std::io;

use longshore_policy::redis::HostPort;
use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection, from_redis_value};

/// The primary of this name, as a Sentinel knows it.
pub(super) async fn by_sentinel(
    sentinel: &mut MultiplexedConnection,
    name: &str,
) -> RedisResult<HostPort> {
    let found: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(name)
        .query_async(sentinel)
        .await?;
    let (host, port) = found.ok_or_else(|| failed(format!("knows no primary `{name}`")))?;
    Ok(HostPort { host, port })
}

/// The owner of a slot, as a node of the cluster at `asked` knows it, and all nodes that it knows.
pub(super) async fn by_cluster(
    node: &mut MultiplexedConnection,
    asked: &HostPort,
    slot: u16,
) -> RedisResult<(HostPort, Vec<HostPort>)> {
    let ranges: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(node).await?;
    let (mut owner, mut nodes) = (None, Vec::new());
    for range in ranges {
        let mut parts = range.into_iter();
        let (Some(first), Some(last)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (first, last): (u16, u16) = (from_redis_value(first)?, from_redis_value(last)?);
        for (index, node) in parts.enumerate() {
            let Some(node) = parse_node(node, asked) else {
                continue;
            };
            if index == 0 && (first..=last).contains(&slot) {
                owner = Some(node.clone());
            }
            nodes.push(node);
        }
    }
    let owner = owner.ok_or_else(|| failed(format!("knows no node that owns slot {slot}")))?;
    Ok((owner, nodes))
}

/// Reads `[host, port, …]`. The host of a node that does not know its own address is the one that was asked.
fn parse_node(node: Value, asked: &HostPort) -> Option<HostPort> {
    let Value::Array(parts) = node else {
        return None;
    };
    let mut parts = parts.into_iter();
    let host: Option<String> = from_redis_value(parts.next()?).ok()?;
    let port: u16 = from_redis_value(parts.next()?).ok()?;
    let host = host.filter(|host| !matches!(host.as_str(), "" | "?"));
    Some(HostPort {
        host: host.unwrap_or_else(|| asked.host.clone()),
        port,
    })
}

/// Fails unless the server at the other end is a primary.
pub(super) async fn check_role(
    connection: &mut MultiplexedConnection,
    address: &HostPort,
) -> RedisResult<()> {
    let role: Vec<Value> = redis::cmd("ROLE").query_async(connection).await?;
    let role: String = role
        .into_iter()
        .next()
        .map_or(Ok(String::new()), from_redis_value)?;
    if role == "master" {
        Ok(())
    } else {
        Err(failed(format!("{address} is not a primary yet")))
    }
}

fn failed(text: String) -> RedisError {
    io::Error::other(text).into()
}
