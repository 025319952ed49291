//! Sends OTLP over the HTTP client that everything else uses.

use std::{fmt, time::Duration};

use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use reqwest::redirect::Policy;
use tokio::runtime::Handle;

use super::settings::TraceSettings;

/// The longest connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The exporter of spans. The error says why there is none.
pub(super) fn exporter(settings: &TraceSettings) -> Result<SpanExporter, String> {
    crate::tls::install_crypto_provider();
    let client = reqwest::Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(settings.timeout)
        // The headers may hold a key.
        .redirect(Policy::none())
        .build()
        .map_err(|error| format!("no HTTP client: {error}"))?;
    let runtime = Handle::try_current().map_err(|error| error.to_string())?;
    SpanExporter::builder()
        .with_http()
        .with_http_client(Client { client, runtime })
        .with_endpoint(settings.endpoint.as_str())
        .with_headers(settings.headers.clone())
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| error.to_string())
}

/// The exporter runs on a thread of its own, the client on the runtime of the process.
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            // The address may hold a key.
            let request = request.try_into().map_err(reqwest::Error::without_url)?;
            let answer = client.execute(request).await;
            let answer = answer.map_err(reqwest::Error::without_url)?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = answer.headers().clone();
            *response.body_mut() = answer.bytes().await.map_err(reqwest::Error::without_url)?;
            Ok(response)
        });
        sent.await?
    }
}
