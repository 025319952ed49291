//! Webhooks: signed messages to addresses that the configuration allows.
//!
//! They are signed as [Standard Webhooks 1.0](https://www.standardwebhooks.com) says, so that receivers
//! can check them with its libraries. A message may come twice (its sender may die before it has
//! noted that it arrived): its `webhook-id` is the same then, and the receiver drops the second.

use std::{fmt, time::Duration};

use url::Url;

pub use error::WebhookError;
pub use key::SigningKey;
pub use send::Webhooks;

mod error;
mod key;
mod send;

/// Where webhooks may go, and how they are signed.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The hosts that may be written to. Default: none.
    pub hosts: Vec<WebhookHost>,
    /// What they are signed with; absent where its variable is not set.
    pub secret: Option<SigningKey>,
    /// How long an answer is waited for. Default 10 s.
    pub timeout: Duration,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            secret: None,
            timeout: Duration::from_secs(10),
        }
    }
}

impl WebhookSettings {
    /// Reads an address to which webhooks may go.
    pub fn check(&self, text: &str) -> Result<Url, WebhookError> {
        let url = Url::parse(text).map_err(|_| WebhookError::Address)?;
        self.allow(&url)?;
        Ok(url)
    }

    /// Refuses an address to which no webhook may go.
    fn allow(&self, url: &Url) -> Result<(), WebhookError> {
        let host = WebhookHost::of(url).ok_or(WebhookError::Address)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebhookError::Login(host));
        }
        if self.hosts.contains(&host) {
            Ok(())
        } else {
            Err(WebhookError::NotAllowed(host))
        }
    }
}

/// One server that may be written to: its scheme, host and port, and nothing beside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHost {
    secure: bool,
    host: String,
    port: u16,
}

impl WebhookHost {
    /// Understands `host`, `host:port`, and `http://host:port` for a server without TLS.
    pub fn parse(text: &str) -> Option<Self> {
        let url = if text.starts_with("http://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&url).ok()?;
        let login = !url.username().is_empty() || url.password().is_some();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        // An asterisk would be taken for a pattern, which it is not.
        let whole = !text.contains('*') && !text.ends_with('/');
        (!login && bare && whole).then(|| Self::of(&url)).flatten()
    }

    /// The server of an address; `None` if it is no web address.
    fn of(url: &Url) -> Option<Self> {
        Some(Self {
            secure: match url.scheme() {
                "https" => true,
                "http" => false,
                _ => return None,
            },
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

/// As it is written in `webhooks.hosts`.
impl fmt::Display for WebhookHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.secure {
            ("", 443)
        } else {
            ("http://", 80)
        };
        write!(f, "{scheme}{}", self.host)?;
        if self.port == usual {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests;
