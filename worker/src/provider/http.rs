//! Calls over HTTP: what all dialects share.

use std::{error::Error, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};
use longshore_protocol::call::{Answer, Call, CallCost, CallError, ErrorClass, Usage};
use reqwest::{Body, Client, Request, Response, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{
    classify,
    dialect::{Dialect, Provider, add_options},
    dns_cache::CachingResolver,
    rate_limits, retry_after,
    tool_calls::defined_only,
};

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 32 << 20;
/// How much of an error body is read, in bytes: enough for its message.
const LONGEST_ERROR: usize = 64 << 10;

/// The HTTP client cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// The client that all providers of a process share.
///
/// It speaks HTTP/1.1: over HTTP/2 all calls to a provider would share one connection and its stream limit
/// (often 100), and further calls would queue invisibly until they time out.
pub(crate) fn client() -> Result<Client, ClientError> {
    longshore_service::tls::install_crypto_provider();
    let client = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .connect_timeout(Duration::from_secs(10))
        // Nothing is sent while a model thinks: keep-alive keeps proxies from dropping the connection.
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_nodelay(true)
        // Shorter than the timeouts of providers, so that a call rarely meets a closing connection.
        .pool_idle_timeout(Duration::from_secs(30))
        // The key is sent only to the configured address.
        .redirect(Policy::none())
        .referer(false)
        .dns_resolver(Arc::new(CachingResolver::default()))
        .build()?;
    Ok(client)
}

/// A provider that is called over HTTP.
pub(crate) struct HttpProvider {
    name: String,
    dialect: Arc<dyn Dialect>,
    base: Url,
    key: Option<SecretString>,
    client: Client,
}

impl HttpProvider {
    /// A provider with a name for people, a dialect and an address.
    ///
    /// White space around the key, such as the last line break of a file, is removed. An empty key
    /// counts as no key.
    pub(crate) fn new(
        name: String,
        dialect: Arc<dyn Dialect>,
        base_url: Url,
        key: Option<SecretString>,
        client: Client,
    ) -> Self {
        let key = key.map(|key| key.expose_secret().trim().to_owned());
        let key = key.filter(|key| !key.is_empty()).map(SecretString::from);
        Self {
            name,
            dialect,
            base: base_url,
            key,
            client,
        }
    }

    fn key(&self) -> Option<&str> {
        self.key.as_ref().map(ExposeSecret::expose_secret)
    }

    pub(super) fn url(&self, model: &str) -> Url {
        let mut url = self.base.clone();
        let path = format!(
            "{}{}",
            url.path().trim_end_matches('/'),
            self.dialect.path(model)
        );
        url.set_path(&path);
        url
    }

    fn headers(&self, call: &Call) -> Result<HeaderMap, CallError> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in self.dialect.headers() {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let attempt = HeaderValue::from_str(&call.attempt_id.to_string()).map_err(|_| {
            CallError::new(
                ErrorClass::Internal,
                "the attempt id is not a valid header value",
            )
        })?;
        headers.insert("idempotency-key", attempt);
        if let Some(key) = self.key() {
            let (name, prefix) = self.dialect.key_header();
            let mut value = HeaderValue::from_str(&format!("{prefix}{key}")).map_err(|_| {
                CallError::new(
                    ErrorClass::Auth,
                    "the key contains characters that a header cannot carry",
                )
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn request(&self, call: &Call) -> Result<Request, CallError> {
        let mut body = self.dialect.encode(call);
        add_options(&mut body, &call.options);
        let body = serde_json::to_vec(&body)
            .map_err(|error| CallError::new(ErrorClass::Internal, error.to_string()))?;
        let mut request = Request::new(http::Method::POST, self.url(&call.model));
        *request.headers_mut() = self.headers(call)?;
        // A wrapped body cannot be cloned for a retry, so that it is freed once it is sent, and not held by
        // thousands of calls while models think.
        *request.body_mut() = Some(Body::wrap(Body::from(body)));
        Ok(request)
    }

    async fn exchange(&self, request: Request) -> Result<Answer, CallError> {
        let mut response = self
            .client
            .execute(request)
            .await
            .map_err(connection_error)?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            // If the body cannot be read, the status still classifies the error.
            let body = read_body(&mut response, LONGEST_ERROR)
                .await
                .unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            return Err(classify::classify_response(
                &*self.dialect,
                status,
                response.headers(),
                &body,
            ));
        }
        let room = rate_limits::read_room(
            response.headers(),
            retry_after::provider_time(response.headers()),
        );
        let with_room = |error| CallError { room, ..error };
        let body = read_body(&mut response, LONGEST_ANSWER)
            .await
            .map_err(with_room)?;
        drop(response);
        match self.decode(&body) {
            Ok(answer) => Ok(Answer { room, ..answer }),
            Err(error) => Err(CallError {
                status: Some(status),
                ..with_room(error)
            }),
        }
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, CallError> {
        let reported_cost = self.dialect.reported_cost(body);
        let body: Value = serde_json::from_slice(body).map_err(|_| {
            CallError::new(ErrorClass::BadOutput, "the answer is not JSON").spend(CallCost::Unknown)
        })?;
        if classify::is_error(&body) {
            return Err(classify::classify_in_band(
                &*self.dialect,
                &body,
                Usage::default(),
            ));
        }
        let answer = Answer {
            reported_cost,
            ..self.dialect.decode(body)?
        };
        if answer.usage == Usage::default() {
            tracing::warn!(
                provider = self.name,
                "answer without usage: charging our own count of its tokens"
            );
        }
        Ok(answer)
    }
}

impl Provider for HttpProvider {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move {
            let exchange = match self.request(call) {
                Ok(request) => tokio::time::timeout(call.timeout, self.exchange(request)).await,
                Err(error) => Ok(Err(error)),
            };
            let exchange =
                exchange.map(|result| result.and_then(|answer| defined_only(answer, call)));
            let result = exchange.unwrap_or_else(|_| {
                let message = format!("waited {} s", call.timeout.as_secs_f64());
                Err(CallError::new(ErrorClass::Timeout, message).spend(CallCost::Unknown))
            });
            result.map_err(|error| {
                let key = self.key();
                let summary = classify::describe(&self.name, key.is_some(), &error);
                classify::explain(summary, key.as_slice(), call, error)
            })
        })
    }
}

async fn read_body(response: &mut Response, limit: usize) -> Result<Vec<u8>, CallError> {
    let too_long = || {
        let message = format!("the answer is longer than {} MiB", LONGEST_ANSWER >> 20);
        CallError::new(ErrorClass::BadOutput, message).spend(CallCost::Unknown)
    };
    let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_long());
    }
    // The announced length is not trusted: memory grows with what arrives.
    let mut body = Vec::with_capacity(announced.min(LONGEST_ERROR));
    while let Some(chunk) = response.chunk().await.map_err(connection_error)? {
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error for a failed connection. Before the request was sent, it cost nothing; afterwards its cost is
/// unknown.
fn connection_error(error: reqwest::Error) -> CallError {
    let (connect, timeout) = (error.is_connect(), error.is_timeout());
    let error = error.without_url();
    let mut deepest: &dyn Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let class = if timeout {
        ErrorClass::Timeout
    } else {
        ErrorClass::Network
    };
    let prefix = if connect { "could not connect: " } else { "" };
    let spend = if connect || error.is_builder() {
        CallCost::Nothing
    } else {
        CallCost::Unknown
    };
    CallError::new(class, format!("{prefix}{deepest}")).spend(spend)
}
