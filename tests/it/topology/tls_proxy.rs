//! TLS in front of a Redis that may have been built without it, with an authority of the test's own.

use std::{net::SocketAddr, path::Path, sync::Arc};

use longshore_broker::task;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 0x16;

/// An authority that signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        Signed {
            certificate: params.signed_by(&key, &self.issuer).unwrap(),
            key,
        }
    }

    /// The certificate of a server at 127.0.0.1, and its key, as PEM.
    pub(super) fn server_pem(&self) -> (String, String) {
        let own = self.sign("127.0.0.1");
        (own.certificate.pem(), own.key.serialize_pem())
    }

    /// Writes `ca.pem`, and a client's `cert.pem` and `key.pem`, into a folder.
    pub(super) fn write_files(&self, folder: &Path) {
        let client = self.sign("worker");
        for (name, pem) in [
            ("ca.pem", self.certificate.pem()),
            ("cert.pem", client.certificate.pem()),
            ("key.pem", client.key.serialize_pem()),
        ] {
            std::fs::write(folder.join(name), pem).unwrap();
        }
    }
}

/// Forwards connections to a server: those with TLS, from clients with a certificate, and plain ones.
pub(super) struct TlsProxy {
    pub(super) address: SocketAddr,
}

impl TlsProxy {
    pub(super) async fn start(server: u16, authority: &Authority) -> Self {
        longshore_service::tls::install_crypto_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = acceptor(authority);
        task::spawn("TLS proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                task::spawn("TLS connection", forward(client, server, acceptor.clone()));
            }
        });
        Self { address }
    }
}

fn acceptor(authority: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots));
    let own = authority.sign("127.0.0.1");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key.serialize_der()));
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![own.certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn forward(mut client: TcpStream, server: u16, acceptor: TlsAcceptor) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
        return;
    };
    let mut first = [0];
    if !matches!(client.peek(&mut first).await, Ok(1)) {
        return;
    }
    // Either side may close the connection at any time.
    if first == [HANDSHAKE] {
        if let Ok(mut client) = acceptor.accept(client).await {
            drop(copy_bidirectional(&mut client, &mut server).await);
        }
    } else {
        drop(copy_bidirectional(&mut client, &mut server).await);
    }
}
