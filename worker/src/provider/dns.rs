//! Names are looked up once for all calls, not once for each connection.
//!
//! A lookup holds a thread of the blocking pool: without this, a thousand calls that begin at once
//! are a thousand lookups and hundreds of threads.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Short enough to follow a provider that moves.
const KEEP: Duration = Duration::from_secs(20);

type Known = Arc<tokio::sync::Mutex<Option<(Instant, Vec<SocketAddr>)>>>;

/// A resolver that remembers for a short while.
#[derive(Debug, Default)]
pub(super) struct Remembering {
    names: Mutex<HashMap<String, Known>>,
}

impl Resolve for Remembering {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let known = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(names.entry(name.clone()).or_default())
        };
        Box::pin(async move {
            // Held while looking up, so that all who ask meanwhile wait for the one answer.
            let mut known = known.lock().await;
            if let Some((at, addresses)) = &*known
                && at.elapsed() < KEEP
            {
                return Ok(Box::new(addresses.clone().into_iter()) as Addrs);
            }
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<_> = addresses.collect();
            *known = Some((Instant::now(), addresses.clone()));
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
