//! How to reach Redis: the servers that a URL names, logins, and the files of TLS.

use std::{fmt, path::PathBuf, str::FromStr};

use longshore_settings::redacted;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// The port of a Redis server whose URL names none.
const REDIS_PORT: u16 = 6379;

/// The port of a Sentinel whose URL names none.
const SENTINEL_PORT: u16 = 26379;

/// Everything that a connection to Redis needs.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    pub url: RedisUrl,
    pub access: RedisAccess,
}

impl From<RedisUrl> for RedisSettings {
    fn from(url: RedisUrl) -> Self {
        Self {
            url,
            access: RedisAccess::default(),
        }
    }
}

/// What a URL does not say: logins in files, and certificates. Files are read whenever a connection is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisAccess {
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// The authorities that may sign the certificates of servers; `None` for the public ones.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub sentinel_username: Option<String>,
    pub sentinel_password_file: Option<PathBuf>,
}

impl RedisAccess {
    /// The files that are set, by the names of their settings.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        [
            ("redis.password_file", &self.password_file),
            ("redis.ca_file", &self.ca_file),
            ("redis.cert_file", &self.cert_file),
            ("redis.key_file", &self.key_file),
            ("redis.sentinel_password_file", &self.sentinel_password_file),
        ]
        .into_iter()
        .filter_map(|(name, path)| Some((name, path.as_ref()?)))
    }
}

/// The URL of Redis. It may contain a password.
#[derive(Debug, Clone)]
pub struct RedisUrl {
    text: SecretString,
    servers: RedisServers,
    login: RedisLogin,
    has_tls: bool,
}

impl Default for RedisUrl {
    /// A server on this machine.
    fn default() -> Self {
        Self {
            text: "redis://127.0.0.1:6379".into(),
            servers: RedisServers::Standalone,
            login: RedisLogin::default(),
            has_tls: false,
        }
    }
}

/// The servers that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisServers {
    /// One server.
    Standalone,
    /// Sentinels, which know the primary of this name.
    Sentinel {
        sentinels: Vec<HostPort>,
        primary: String,
        database: i64,
    },
    /// Some nodes of a cluster.
    Cluster { nodes: Vec<HostPort> },
}

/// A user and its password.
#[derive(Debug, Clone, Default)]
pub struct RedisLogin {
    pub username: Option<String>,
    pub password: Option<SecretString>,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl HostPort {
    fn parse(text: &str, default_port: u16) -> Result<Self, InvalidRedisUrl> {
        let (host, port) = match text.rsplit_once(':') {
            // The last colon is inside an IPv6 address.
            Some((_, after)) if after.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let port = match port {
            None => default_port,
            Some(port) => port
                .parse()
                .map_err(|_| InvalidRedisUrl("a port is not a number from 0 to 65535"))?,
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(InvalidRedisUrl("a host is missing"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// What is wrong with a URL. Does not repeat it, because it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRedisUrl(&'static str);

impl RedisUrl {
    /// The URL as it was written.
    pub fn text(&self) -> &SecretString {
        &self.text
    }

    pub fn servers(&self) -> &RedisServers {
        &self.servers
    }

    /// The login of a Sentinel or cluster URL. That of a single server is read by the client.
    pub fn login(&self) -> &RedisLogin {
        &self.login
    }

    pub fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// Whether the URL names a user, and whether it contains a password.
    pub fn has_login(&self) -> (bool, bool) {
        match (&self.servers, Url::parse(self.text.expose_secret())) {
            (RedisServers::Standalone, Ok(url)) => {
                (!url.username().is_empty(), url.password().is_some())
            }
            _ => (self.login.username.is_some(), self.login.password.is_some()),
        }
    }

    /// Hosts and ports, for people.
    pub fn shown(&self) -> String {
        match &self.servers {
            RedisServers::Standalone => redacted(self.text.expose_secret()),
            RedisServers::Sentinel {
                sentinels, primary, ..
            } => format!("{primary} (Sentinel {})", joined(sentinels)),
            RedisServers::Cluster { nodes } => format!("cluster {}", joined(nodes)),
        }
    }
}

fn joined(servers: &[HostPort]) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    servers.join(",")
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRedisUrl> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(InvalidRedisUrl("it has no scheme"))?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let has_tls = match (base, kind) {
            ("rediss" | "valkeys", "" | "sentinel" | "cluster") => true,
            ("redis" | "valkey", "" | "sentinel" | "cluster" | "unix") | ("unix", "") => false,
            _ => return Err(InvalidRedisUrl("its scheme is unknown")),
        };
        let url = |servers, login| Self {
            text: SecretString::from(text),
            servers,
            login,
            has_tls,
        };
        if !matches!(kind, "sentinel" | "cluster") {
            Url::parse(text).map_err(|_| InvalidRedisUrl("it is not a URL"))?;
            return Ok(url(RedisServers::Standalone, RedisLogin::default()));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (parse_login(login)?, hosts),
            None => (RedisLogin::default(), authority),
        };
        if path.contains(['?', '@', '#']) || hosts.contains(['?', '#']) {
            return Err(InvalidRedisUrl(
                "it has options, or a password whose special characters are not percent-encoded",
            ));
        }
        let servers = if kind == "sentinel" {
            parse_sentinel(hosts, path)?
        } else if matches!(path, "" | "0") {
            RedisServers::Cluster {
                nodes: parse_hosts(hosts, REDIS_PORT)?,
            }
        } else {
            return Err(InvalidRedisUrl("a cluster has no database but 0"));
        };
        Ok(url(servers, login))
    }
}

fn parse_sentinel(hosts: &str, path: &str) -> Result<RedisServers, InvalidRedisUrl> {
    let (primary, database) = path.split_once('/').unwrap_or((path, "0"));
    if primary.is_empty() {
        return Err(InvalidRedisUrl(
            "the name of the primary is missing behind the Sentinels",
        ));
    }
    Ok(RedisServers::Sentinel {
        sentinels: parse_hosts(hosts, SENTINEL_PORT)?,
        primary: decoded(primary)?,
        database: database
            .parse()
            .map_err(|_| InvalidRedisUrl("the database is not a number"))?,
    })
}

fn parse_hosts(hosts: &str, default_port: u16) -> Result<Vec<HostPort>, InvalidRedisUrl> {
    hosts
        .split(',')
        .map(|host| HostPort::parse(host, default_port))
        .collect()
}

fn parse_login(login: &str) -> Result<RedisLogin, InvalidRedisUrl> {
    let (username, password) = match login.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (login, None),
    };
    Ok(RedisLogin {
        username: Some(decoded(username)?).filter(|name| !name.is_empty()),
        password: password.map(decoded).transpose()?.map(SecretString::from),
    })
}

fn decoded(text: &str) -> Result<String, InvalidRedisUrl> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(String::from)
        .map_err(|_| InvalidRedisUrl("a percent-encoded character is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RedisUrl {
        text.parse().unwrap()
    }

    fn server(host: &str, port: u16) -> HostPort {
        HostPort {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn sentinels_and_the_name_of_their_primary() {
        let url = parsed("redis+sentinel://me:p%40ss@a:1,[::1],10.0.0.1:26380/main/2");
        let expected = RedisServers::Sentinel {
            sentinels: vec![
                server("a", 1),
                server("::1", 26379),
                server("10.0.0.1", 26380),
            ],
            primary: "main".to_owned(),
            database: 2,
        };
        assert_eq!(*url.servers(), expected);
        assert_eq!(url.login().username.as_deref(), Some("me"));
        let password = url.login().password.as_ref().unwrap();
        assert_eq!(password.expose_secret(), "p@ss");
        assert!(!url.has_tls());
        assert_eq!(
            url.shown(),
            "main (Sentinel a:1,[::1]:26379,10.0.0.1:26380)"
        );
        assert!(!format!("{url:?}").contains("p@ss"));
    }

    #[test]
    fn nodes_of_a_cluster() {
        let url = parsed("rediss+cluster://:secret@a,b:7001");
        let nodes = vec![server("a", 6379), server("b", 7001)];
        assert_eq!(*url.servers(), RedisServers::Cluster { nodes });
        assert!(url.has_tls());
        assert_eq!(url.has_login(), (false, true));
        assert_eq!(url.shown(), "cluster a:6379,b:7001");
    }

    #[test]
    fn one_server() {
        for (text, has_tls, shown) in [
            ("redis://me:secret@cache/2", false, "cache:6379/2"),
            ("rediss://cache:6380", true, "cache:6380"),
            ("unix:///run/redis.sock", false, "/run/redis.sock"),
            ("redis+unix:///run/redis.sock", false, "/run/redis.sock"),
        ] {
            let url = parsed(text);
            assert_eq!(*url.servers(), RedisServers::Standalone, "{text}");
            assert_eq!((url.has_tls(), url.shown().as_str()), (has_tls, shown));
        }
        assert_eq!(parsed("redis://me:secret@cache").has_login(), (true, true));
        assert_eq!(parsed("redis://cache").has_login(), (false, false));
    }

    #[test]
    fn refuses_what_is_incomplete() {
        for (text, reason) in [
            ("cache:6379", "it has no scheme"),
            ("http://cache", "its scheme is unknown"),
            ("redis+other://cache", "its scheme is unknown"),
            (
                "redis+sentinel://a:1,b:2",
                "the name of the primary is missing behind the Sentinels",
            ),
            ("redis+sentinel://a:1,/main", "a host is missing"),
            (
                "redis+sentinel://a:x/main",
                "a port is not a number from 0 to 65535",
            ),
            ("redis+sentinel://a/main/x", "the database is not a number"),
            ("redis+cluster://a/3", "a cluster has no database but 0"),
            (
                "redis+cluster://:pa/ss@a",
                "it has options, or a password whose special characters are not percent-encoded",
            ),
        ] {
            let error = text.parse::<RedisUrl>().unwrap_err();
            assert_eq!(error.to_string(), reason, "{text}");
        }
    }
}
