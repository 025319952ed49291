//! Tools that are requests: to an address of the configuration, with the arguments of the call as body or query.

use std::{sync::OnceLock, time::Duration};

use http::header::CONTENT_TYPE;
use longshore_policy::tools::{SecretPairs, ToolMethod};
use reqwest::{Client, Response};
use serde_json::Value;
use url::Url;

use crate::provider::client;

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) method: ToolMethod,
    pub(super) url: &'a Url,
    pub(super) headers: &'a SecretPairs,
}

/// Sends the arguments, and reads at most `most` bytes of the answer. Redirects are not followed.
pub(super) async fn send(
    target: Target<'_>,
    arguments: &Value,
    timeout: Duration,
    most: usize,
) -> Result<String, String> {
    let client = shared_client()?;
    let request = match target.method {
        ToolMethod::Get => client.get(with_query(target.url, arguments)),
        ToolMethod::Post => client
            .post(target.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(arguments.to_string()),
    };
    let headers = target.headers.exposed();
    let request = headers.fold(request.timeout(timeout), |request, (name, value)| {
        request.header(name, value)
    });
    // The address may contain a key.
    let failed = |error: reqwest::Error| {
        if error.is_timeout() {
            return format!("no answer within {} s", timeout.as_secs_f64());
        }
        format!("the request failed: {}", error.without_url())
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let body = body(response, most).await.map_err(failed)?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(format!("status {status}\n{body}"))
    }
}

/// The client of all tools. It follows no redirect.
fn shared_client() -> Result<&'static Client, String> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let created = client().map_err(|error| error.to_string())?;
    Ok(CLIENT.get_or_init(|| created))
}

/// The address with the arguments after its own query, which they do not change.
fn with_query(fixed: &Url, arguments: &Value) -> Url {
    let mut url = fixed.clone();
    let members = arguments.as_object().into_iter().flatten();
    let is_new = |name: &str| fixed.query_pairs().all(|(known, _)| known != name);
    for (name, value) in members.filter(|(name, _)| is_new(name)) {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        url.query_pairs_mut().append_pair(name, &value);
    }
    url
}

async fn body(mut response: Response, most: usize) -> Result<String, reqwest::Error> {
    let mut body: Vec<u8> = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            body.extend_from_slice("\n… cut off …".as_bytes());
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_never_change_the_address() {
        let url = Url::parse("https://host/path?key=1").unwrap();
        let arguments = json!({"city": "Köln&x=2#f", "n": 3, "key": "2"});
        assert_eq!(
            with_query(&url, &arguments).as_str(),
            "https://host/path?key=1&city=K%C3%B6ln%26x%3D2%23f&n=3"
        );
    }
}
