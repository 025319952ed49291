//! A worker or scheduler and its HTTP endpoint.

use anyhow::{Context as _, bail};
use longshore_tests::stack::{Process, eventually};

/// A running service and the address of its endpoints.
pub(crate) struct Service {
    pub(crate) process: Process,
    address: String,
}

impl Service {
    /// Waits until the process is ready. It needs `LONGSHORE_LISTEN`.
    pub(crate) async fn ready(process: Process) -> Self {
        let address = eventually("it logs its address", || async {
            let log = std::fs::read_to_string(process.log())?;
            let (_, after) = log.split_once("\"address\":\"").context("no address yet")?;
            let address = after.split('"').next().context("no address yet")?;
            Ok(address.to_owned())
        })
        .await
        .unwrap();
        let seen = Self { process, address };
        eventually("it is ready", || async {
            match seen.get("ready").await?.as_str() {
                "ok\n" => Ok(()),
                other => bail!("{other}"),
            }
        })
        .await
        .unwrap();
        seen
    }

    /// The text at a path of its endpoint.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}/{path}", self.address);
        longshore_service::tls::install_crypto_provider();
        Ok(reqwest::get(url).await?.text().await?)
    }
}
