//! One TLS implementation for every connection.

/// Makes ring the cryptography of all TLS connections of this process. Calling it again changes nothing.
///
/// One provider is compiled in. The HTTP client does not choose it by itself.
pub fn install_crypto_provider() {
    // The error is the provider that is installed already: the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
}
