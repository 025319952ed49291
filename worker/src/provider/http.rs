//! One call over HTTP: everything that is the same for all dialects.

use std::{error::Error, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, header};
use longshore_protocol::call::{Answer, Call, CallError, ErrorClass, Spend, Usage};
use reqwest::{Body, Client, Request, Response, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::{Dialect, Provider, dns::Remembering, error, room, wait};

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 32 << 20;
/// As much of an error as can hold what it says.
const LONGEST_ERROR: usize = 64 << 10;

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// The client that all providers of a process share.
///
/// HTTP/1.1 on purpose: over HTTP/2 all calls to a provider would share one connection and its limit
/// of streams (often 100), and the others would wait unseen until they time out.
pub fn client() -> Result<Client, ClientError> {
    longshore_service::tls::install_crypto_provider();
    let client = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .connect_timeout(Duration::from_secs(10))
        // As long as models think, nothing is sent: without this, what lies between forgets us.
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_nodelay(true)
        // Shorter than providers keep theirs, so that a call seldom meets a closing one.
        .pool_idle_timeout(Duration::from_secs(30))
        // The key goes where the configuration says, and nowhere else.
        .redirect(Policy::none())
        .referer(false)
        .dns_resolver(Arc::new(Remembering::default()))
        .build()?;
    Ok(client)
}

/// A provider that is asked over HTTP.
pub struct HttpProvider {
    name: String,
    dialect: Arc<dyn Dialect>,
    base: Url,
    key: Option<SecretString>,
    client: Client,
}

impl HttpProvider {
    /// A provider with the name that people know it by, the dialect that it speaks, and its address.
    ///
    /// A key that is only white space is no key; space around a key (a file's last line break) is
    /// not part of it.
    pub fn new(
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
        let attempt = HeaderValue::from_str(&call.attempt_id.to_string())
            .map_err(|_| CallError::new(ErrorClass::Internal, "the attempt's id fits no header"))?;
        headers.insert("idempotency-key", attempt);
        if let Some(key) = self.key() {
            let (name, before) = self.dialect.key_header();
            let mut value = HeaderValue::from_str(&format!("{before}{key}")).map_err(|_| {
                CallError::new(ErrorClass::Auth, "the key has characters that no key has")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn request(&self, call: &Call) -> Result<Request, CallError> {
        let body = serde_json::to_vec(&self.dialect.encode(call))
            .map_err(|error| CallError::new(ErrorClass::Internal, error.to_string()))?;
        let mut request = Request::new(http::Method::POST, self.url(&call.model));
        *request.headers_mut() = self.headers(call)?;
        // Wrapped, it cannot be copied, and so is freed once it is sent: not held, thousands at a
        // time, for as long as the models think.
        *request.body_mut() = Some(Body::wrap(Body::from(body)));
        Ok(request)
    }

    async fn exchange(&self, request: Request) -> Result<Answer, CallError> {
        let mut response = self.client.execute(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            // An error that cannot be read is still the error that its status says.
            let body = read(&mut response, LONGEST_ERROR).await.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            return Err(error::from_status(
                &*self.dialect,
                status,
                response.headers(),
                &body,
            ));
        }
        let room = room::read(response.headers(), wait::clock(response.headers()));
        let told = |error| CallError { room, ..error };
        let body = read(&mut response, LONGEST_ANSWER).await.map_err(told)?;
        drop(response);
        match self.decode(&body) {
            Ok(answer) => Ok(Answer { room, ..answer }),
            Err(error) => Err(CallError {
                status: Some(status),
                ..told(error)
            }),
        }
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, CallError> {
        let reported_cost = self.dialect.reported_cost(body);
        let body: Value = serde_json::from_slice(body).map_err(|_| {
            CallError::new(ErrorClass::BadOutput, "the answer is not JSON").spend(Spend::Unknown)
        })?;
        if error::is_error(&body) {
            return Err(error::in_band(&*self.dialect, &body, Usage::default()));
        }
        let answer = Answer {
            reported_cost,
            ..self.dialect.decode(body)?
        };
        if answer.usage == Usage::default() {
            tracing::warn!(provider = self.name, "an answer came without its usage");
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
            let result = exchange.unwrap_or_else(|_| {
                let said = format!("waited {} s", call.timeout.as_secs_f64());
                Err(CallError::new(ErrorClass::Timeout, said).spend(Spend::Unknown))
            });
            result.map_err(|error| {
                let key = self.key();
                let what = error::what(&self.name, key.is_some(), &error);
                error::explain(what, key.as_slice(), call, error)
            })
        })
    }
}

async fn read(response: &mut Response, limit: usize) -> Result<Vec<u8>, CallError> {
    let too_long = || {
        let said = format!("the answer is longer than {} MiB", LONGEST_ANSWER >> 20);
        CallError::new(ErrorClass::BadOutput, said).spend(Spend::Unknown)
    };
    let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_long());
    }
    // What is announced is not yet there: memory follows what comes.
    let mut body = Vec::with_capacity(announced.min(LONGEST_ERROR));
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A failure of the connection. Before the request left, nothing can have been spent; after that,
/// nobody knows.
fn broken(error: reqwest::Error) -> CallError {
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
    let before = if connect { "could not connect: " } else { "" };
    let spend = if connect || error.is_builder() {
        Spend::Nothing
    } else {
        Spend::Unknown
    };
    CallError::new(class, format!("{before}{deepest}")).spend(spend)
}
