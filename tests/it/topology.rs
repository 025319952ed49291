//! Connections to Redis and Postgres as production has them: TLS, logins in files, Sentinel, a cluster.

mod acl;
mod cluster;
mod load;
mod sentinel;
mod server;
mod tls;
mod tls_proxy;
