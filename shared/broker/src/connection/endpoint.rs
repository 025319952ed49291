//! Where connections lead: the one server, or the present primary of a Sentinel group or of a cluster's slot.
//!
//! All keys of a namespace share a hash slot, so one primary has them all. Every connection asks where it is
//! before it opens; when the primary moves, connections fail and are opened anew.

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use longshore_policy::redis::{HostPort, RedisLogin, RedisServers, RedisSettings};
use longshore_protocol::keys::Keys;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, RedisError, RedisResult, TlsCertificates,
    aio::{MultiplexedConnection, PubSub},
    io::tcp::socket2::TcpKeepalive,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{primary, slot};
use crate::{BrokerError, CONNECT_TIMEOUT};

/// How long a connection is idle before it is probed, and between two probes. A peer that is gone without
/// a word is noticed after a few.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Opens connections to the primary.
pub(crate) struct Endpoint {
    settings: RedisSettings,
    /// The hash slot of the namespace.
    slot: u16,
    /// What is configured, for messages.
    address: String,
    learned: Mutex<Learned>,
}

/// What the servers said.
#[derive(Default)]
struct Learned {
    /// The primary, while nothing contradicts it.
    primary: Option<HostPort>,
    /// The servers to ask, the most promising first.
    guides: Vec<HostPort>,
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{setting}`: {path} {reason}", path = path.display())]
pub struct UnusableFile {
    /// The setting that names the file.
    pub setting: &'static str,
    pub path: PathBuf,
    /// Why not.
    pub reason: String,
}

impl From<UnusableFile> for RedisError {
    fn from(error: UnusableFile) -> Self {
        io::Error::other(error).into()
    }
}

impl Endpoint {
    /// Fails if the URL is not valid, or if a file cannot be read.
    pub(crate) fn new(settings: RedisSettings, keys: &Keys) -> Result<Self, BrokerError> {
        let guides = configured_guides(&settings).to_vec();
        let endpoint = Self {
            slot: slot::hash_slot(keys.prefix()),
            address: String::new(),
            learned: Mutex::new(Learned {
                primary: None,
                guides,
            }),
            settings,
        };
        for (setting, path) in endpoint.settings.access.files() {
            read_file(setting, path)?;
        }
        let address = match endpoint.settings.url.servers() {
            RedisServers::Standalone => endpoint
                .standalone_client()
                .map_err(|error| BrokerError::Url(error.to_string()))?
                .get_connection_info()
                .addr()
                .to_string(),
            _ => endpoint.settings.url.shown(),
        };
        Ok(Self {
            address,
            ..endpoint
        })
    }

    /// Host and port, or the Sentinels or nodes that are configured, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn servers(&self) -> &RedisServers {
        self.settings.url.servers()
    }

    /// The hash slot of the namespace.
    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether the primary may move.
    pub(crate) fn has_failover(&self) -> bool {
        *self.servers() != RedisServers::Standalone
    }

    /// The primary that connections lead to, if it may move and is known.
    pub(crate) fn primary(&self) -> Option<HostPort> {
        self.learned().primary.clone()
    }

    /// A connection to the primary whose commands take at most `longest`.
    pub(crate) async fn open(&self, longest: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(longest))
            .set_pipeline_buffer_size(4096);
        let client = self.client().await?;
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// A connection to the primary for subscriptions.
    pub(crate) async fn open_pubsub(&self) -> RedisResult<PubSub> {
        let client = self.client().await?;
        tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub())
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    /// Forgets where the primary is, because a connection to it failed. `said` is the node that it named instead.
    /// The server that named it may be cut off from the others, so another one is asked next.
    pub(crate) fn forget_primary(&self, said: Option<HostPort>) {
        let mut learned = self.learned();
        learned.primary = None;
        if !learned.guides.is_empty() {
            learned.guides.rotate_left(1);
        }
        if let (Some(said), RedisServers::Cluster { .. }) = (said, self.servers()) {
            learned.ask_first(said);
        }
    }

    /// A client of the primary. The files are read anew: passwords and certificates rotate.
    async fn client(&self) -> RedisResult<Client> {
        if !self.has_failover() {
            return self.standalone_client();
        }
        let guides = self.learned().guides.clone();
        let mut failures = Vec::new();
        for guide in guides {
            match self.ask(&guide).await {
                Ok(client) => return Ok(client),
                Err(error) => failures.push(format!("{guide}: {error}")),
            }
        }
        self.learned().primary = None;
        Err(io::Error::other(format!("no primary found ({})", failures.join("; "))).into())
    }

    /// Asks one server where the primary is, and the primary whether it is one.
    async fn ask(&self, guide: &HostPort) -> RedisResult<Client> {
        let (found, nodes) = if let RedisServers::Sentinel { primary, .. } = self.servers() {
            let mut sentinel = self.connect_to(&self.sentinel_client(guide)?).await?;
            let found = primary::by_sentinel(&mut sentinel, primary).await?;
            (found, Vec::new())
        } else {
            let mut node = self.connect_to(&self.node_client(guide)?).await?;
            primary::by_cluster(&mut node, guide, self.slot).await?
        };
        let client = self.node_client(&found)?;
        let mut connection = self.connect_to(&client).await?;
        primary::check_role(&mut connection, &found).await?;
        self.learn(guide, found, &nodes);
        Ok(client)
    }

    async fn connect_to(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(CONNECT_TIMEOUT));
        let connected = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        connected.map_err(|error| {
            let address = client.get_connection_info().addr();
            io::Error::other(format!("{address}: {error}")).into()
        })
    }

    /// Remembers what `guide` said. Nodes that have left the cluster are forgotten, those of the URL never.
    fn learn(&self, guide: &HostPort, found: HostPort, nodes: &[HostPort]) {
        let mut guides = vec![guide.clone()];
        for node in nodes.iter().chain(configured_guides(&self.settings)) {
            if !guides.contains(node) {
                guides.push(node.clone());
            }
        }
        let mut learned = self.learned();
        learned.guides = guides;
        if learned.primary.as_ref() != Some(&found) {
            tracing::info!(primary = %found, redis = self.address, "Redis primary found");
            learned.primary = Some(found);
        }
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The Sentinels or nodes that the URL names.
fn configured_guides(settings: &RedisSettings) -> &[HostPort] {
    match settings.url.servers() {
        RedisServers::Standalone => &[],
        RedisServers::Sentinel { sentinels, .. } => sentinels,
        RedisServers::Cluster { nodes } => nodes,
    }
}

impl Learned {
    fn ask_first(&mut self, guide: HostPort) {
        self.guides.retain(|other| *other != guide);
        self.guides.insert(0, guide);
    }
}

/// Clients, with logins and certificates.
impl Endpoint {
    fn standalone_client(&self) -> RedisResult<Client> {
        let url = self.settings.url.text().expose_secret();
        let info = url.into_connection_info()?;
        self.client_with(info, &self.login(&RedisLogin::default())?)
    }

    /// A client of a node of the group or cluster.
    fn node_client(&self, node: &HostPort) -> RedisResult<Client> {
        let login = self.login(self.settings.url.login())?;
        let mut info = self.info_of(node)?;
        if let RedisServers::Sentinel { database, .. } = self.servers() {
            let redis = info.redis_settings().clone().set_db(*database);
            info = info.set_redis_settings(redis);
        }
        self.client_with(info, &login)
    }

    fn sentinel_client(&self, sentinel: &HostPort) -> RedisResult<Client> {
        let access = &self.settings.access;
        let login = RedisLogin {
            username: access.sentinel_username.clone(),
            password: access
                .sentinel_password_file
                .as_ref()
                .map(|path| read_password("redis.sentinel_password_file", path))
                .transpose()?,
        };
        self.client_with(self.info_of(sentinel)?, &login)
    }

    fn info_of(&self, server: &HostPort) -> RedisResult<ConnectionInfo> {
        let (host, port) = (server.host.clone(), server.port);
        let address = if self.settings.url.has_tls() {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        address.into_connection_info()
    }

    /// The login that the settings name; what they omit is as in the URL.
    fn login(&self, in_url: &RedisLogin) -> RedisResult<RedisLogin> {
        let access = &self.settings.access;
        let password = match &access.password_file {
            Some(path) => Some(read_password("redis.password_file", path)?),
            None => in_url.password.clone(),
        };
        Ok(RedisLogin {
            username: access.username.clone().or_else(|| in_url.username.clone()),
            password,
        })
    }

    fn client_with(&self, info: ConnectionInfo, login: &RedisLogin) -> RedisResult<Client> {
        // The name of the library would be one more command, which the users of producers may not send.
        let mut redis = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(username) = &login.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &login.password {
            redis = redis.set_password(password.expose_secret());
        }
        let tcp = info.tcp_settings().clone().set_keepalive(
            TcpKeepalive::new()
                .with_time(KEEPALIVE)
                .with_interval(KEEPALIVE),
        );
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(4 * KEEPALIVE);
        let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
        match self.certificates()? {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn certificates(&self) -> Result<Option<TlsCertificates>, UnusableFile> {
        let access = &self.settings.access;
        let root_cert = access
            .ca_file
            .as_ref()
            .map(|path| read_file("redis.ca_file", path))
            .transpose()?;
        let client_tls = match (&access.cert_file, &access.key_file) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read_file("redis.cert_file", cert)?,
                client_key: read_file("redis.key_file", key)?,
            }),
            _ => None,
        };
        let is_needed = root_cert.is_some() || client_tls.is_some();
        Ok(is_needed.then_some(TlsCertificates {
            client_tls,
            root_cert,
        }))
    }
}

fn read_file(setting: &'static str, path: &PathBuf) -> Result<Vec<u8>, UnusableFile> {
    std::fs::read(path).map_err(|error| UnusableFile {
        setting,
        path: path.clone(),
        reason: format!("cannot be read: {error}"),
    })
}

fn read_password(setting: &'static str, path: &PathBuf) -> Result<SecretString, UnusableFile> {
    let unusable = |reason: &str| UnusableFile {
        setting,
        path: path.clone(),
        reason: reason.to_owned(),
    };
    let text = String::from_utf8(read_file(setting, path)?)
        .map_err(|_| unusable("does not contain UTF-8 text"))?;
    // Editors and `echo` end a file with a line break.
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(unusable("is empty; expected a password")),
        password => Ok(SecretString::from(password)),
    }
}

pub(super) fn timed_out() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}
