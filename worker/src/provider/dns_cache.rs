//! A DNS cache: resolves a name once for all calls, not once for each connection.
//!
//! A lookup blocks a thread of the blocking pool. Without the cache, a thousand calls that start at once would
//! be a thousand lookups in hundreds of threads.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Short enough to follow a provider that changes its address.
const CACHED_FOR: Duration = Duration::from_secs(20);

type CachedAddresses = Arc<tokio::sync::Mutex<Option<(Instant, Vec<SocketAddr>)>>>;

/// A resolver that caches addresses for a short time.
#[derive(Debug, Default)]
pub(super) struct CachingResolver {
    names: Mutex<HashMap<String, CachedAddresses>>,
}

impl Resolve for CachingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let cached = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(names.entry(name.clone()).or_default())
        };
        Box::pin(async move {
            // Held during the lookup, so that concurrent callers wait for its result.
            let mut cached = cached.lock().await;
            if let Some((at, addresses)) = &*cached
                && at.elapsed() < CACHED_FOR
            {
                return Ok(Box::new(addresses.clone().into_iter()) as Addrs);
            }
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<_> = addresses.collect();
            *cached = Some((Instant::now(), addresses.clone()));
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
