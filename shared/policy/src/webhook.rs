//! Webhooks: signed requests to hosts that the configuration allows.
//!
//! The signature follows [Standard Webhooks 1.0](https://www.standardwebhooks.com), so receivers can
//! verify it with its libraries. Delivery is at least once (a sender may die before it records a
//! delivery): a repeated message has the same `webhook-id`, by which receivers drop it.

use std::{fmt, time::Duration};

use url::Url;

pub use key::SigningKey;

mod key;

/// The allowed hosts and the signing key.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The allowed hosts. Default: none.
    pub hosts: Vec<WebhookHost>,
    /// The signing key; absent if its variable is not set.
    pub secret: Option<SigningKey>,
    /// How long to wait for a response. Default 10 s.
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
    /// Parses a URL and checks that webhooks may go there.
    pub fn check(&self, text: &str) -> Result<Url, WebhookRefusal> {
        let url = Url::parse(text).map_err(|_| WebhookRefusal::Address)?;
        self.allow(&url)?;
        Ok(url)
    }

    /// Checks that webhooks may go to a URL.
    pub fn allow(&self, url: &Url) -> Result<(), WebhookRefusal> {
        let host = WebhookHost::from_url(url).ok_or(WebhookRefusal::Address)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebhookRefusal::Login(host));
        }
        if self.hosts.contains(&host) {
            Ok(())
        } else {
            Err(WebhookRefusal::NotAllowed(host))
        }
    }
}

/// Why no webhook may go to a URL. Names only the host, because the path may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// Not a URL.
    #[error("a webhook's address is not valid; expected https://HOST/PATH")]
    Address,
    /// A user name or password in the URL.
    #[error(
        "a webhook's address at {0} has a login in it; take it out: webhooks are signed with \
         `webhooks.secret`, and that is how the receiver knows them"
    )]
    Login(WebhookHost),
    /// A host that is not allowed.
    #[error("no webhook may go to {0}; if it should, add `{0}` to `webhooks.hosts`")]
    NotAllowed(WebhookHost),
}

/// An allowed server: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookHost {
    secure: bool,
    host: String,
    port: u16,
}

impl WebhookHost {
    /// Parses `host`, `host:port`, or `http://host:port` for a server without TLS.
    pub fn parse(text: &str) -> Option<Self> {
        let url = if text.starts_with("http://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        let url = Url::parse(&url).ok()?;
        let login = !url.username().is_empty() || url.password().is_some();
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        // An asterisk would look like a pattern, which is not supported.
        let whole = !text.contains('*') && !text.ends_with('/');
        (!login && bare && whole)
            .then(|| Self::from_url(&url))
            .flatten()
    }

    /// The server of a URL; `None` if it is not a web URL.
    pub fn from_url(url: &Url) -> Option<Self> {
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

/// As written in `webhooks.hosts`.
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
