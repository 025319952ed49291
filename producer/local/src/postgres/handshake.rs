//! The first step of Postgres's protocol, to see whether it takes sessions.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Protocol 3.0.
const VERSION: u32 = 3 << 16;
const PARAMETERS: &[u8] = b"user\0longshore\0database\0longshore\0\0";

/// Whether a new session gets as far as being asked for its password. While the server
/// starts up or shuts down it answers with an error instead.
pub(super) fn takes_sessions(port: u16) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let length = u32::try_from(8 + PARAMETERS.len()).map_err(io::Error::other)?;
    let mut message = Vec::new();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&VERSION.to_be_bytes());
    message.extend_from_slice(PARAMETERS);
    stream.write_all(&message)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    Ok(kind == *b"R")
}
