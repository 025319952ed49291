//! Ports on 127.0.0.1.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use super::error::LocalError;

/// Below the range from which systems choose the ports of outgoing connections: a client that retries the port
/// of a dead server inside that range can connect to itself, and the restarted server then finds its port taken.
const LOWEST: u64 = 15_000;
const COUNT: u64 = 17_000;
const TRIES: usize = 200;

/// The port at which a service listens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Port {
    /// Any unused one.
    #[default]
    Any,
    /// This one, or another if it is in use.
    Preferred(u16),
    /// This one and no other.
    Fixed(u16),
}

impl Port {
    /// A port to listen at. Another process may take it before the caller does.
    pub fn pick(self) -> Result<u16, LocalError> {
        match self {
            Self::Preferred(port) | Self::Fixed(port) if is_unused(port) => Ok(port),
            Self::Any | Self::Preferred(_) => free_port(),
            Self::Fixed(port) => Err(LocalError::PortInUse { port }),
        }
    }

    /// Whether another port would do.
    pub fn is_replaceable(self) -> bool {
        !matches!(self, Self::Fixed(_))
    }
}

fn is_unused(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port on 127.0.0.1 that is unused now.
///
/// Another process may take it before the caller does, so callers should retry.
pub fn free_port() -> Result<u16, LocalError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        let random = RandomState::new().build_hasher().finish();
        let Ok(port) = u16::try_from(LOWEST + random % COUNT) else {
            continue;
        };
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_listener) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(LocalError::NoPort { source: last })
}
