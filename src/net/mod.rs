//! Sockets: what the cores never see. [`url`] names a listener, [`tls`] makes configurations from PEM, [`certificate`] a certificate to try them with, [`stream`] is
//! one connection of any kind, [`reach`] the ways to a target, [`host`] runs a node on them, and [`probe`] asks first whether anybody is let in.

pub mod certificate;
pub mod fleet;
pub mod host;
pub mod live;
pub mod probe;
pub mod reach;
pub mod stream;
pub mod tls;
pub mod url;

/// Random bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let source = tls::provider().secure_random;
    source.fill(&mut bytes).expect("an operating system without randomness can serve nobody");
    bytes
}

/// A seed for the generators that are handed to the cores in a live run.
pub fn seed() -> u64 {
    u64::from_ne_bytes(random())
}
