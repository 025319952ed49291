//! Webhooks: signed messages to addresses that the configuration allows.
//!
//! They are signed as [Standard Webhooks 1.0](https://www.standardwebhooks.com) says, so that receivers
//! can check them with its libraries. A message may come twice (its sender may die before it has
//! noted that it arrived): its `webhook-id` is the same then, and the receiver drops the second.

use std::{fmt, time::Duration};

use url::Url;

pub use key::SigningKey;

mod key;

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
    pub fn check(&self, text: &str) -> Result<Url, WebhookRefusal> {
        let url = Url::parse(text).map_err(|_| WebhookRefusal::Address)?;
        self.allow(&url)?;
        Ok(url)
    }

    /// Refuses an address to which no webhook may go.
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

/// Why no webhook may go to an address. Names only its host: its path may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookRefusal {
    /// Not an address.
    #[error("a webhook's address is not valid; expected https://HOST/PATH")]
    Address,
    /// A name or a password in the address.
    #[error(
        "a webhook's address at {0} has a login in it; take it out: webhooks are signed with \
         `webhooks.secret`, and that is how the receiver knows them"
    )]
    Login(WebhookHost),
    /// A host that is not in the list.
    #[error("no webhook may go to {0}; if it should, add `{0}` to `webhooks.hosts`")]
    NotAllowed(WebhookHost),
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
        (!login && bare && whole)
            .then(|| Self::from_url(&url))
            .flatten()
    }

    /// The server of an address; `None` if it is no web address.
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
