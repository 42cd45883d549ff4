//! One connection's bytes, whether TLS lies below or not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use harness::node::Peer;
#[cfg(target_os = "linux")]
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::tls;
use super::url::Url;

/// How long a peer may take for a TLS handshake, or to answer when it is dialed.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// What is known of the other end.
    fn peer(&self, addr: Option<SocketAddr>) -> Peer {
        let shown = match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates().and_then(<[_]>::first),
        };
        Peer { addr, certificate: shown.and_then(tls::common_name) }
    }
}

/// Plays the server's part of a TLS handshake.
///
/// # Errors
/// The handshake's, or a time-out after 10 seconds.
pub async fn accept_tls(socket: TcpStream, addr: SocketAddr, config: Arc<ServerConfig>) -> io::Result<(Stream, Peer)> {
    socket.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_MAX, TlsAcceptor::from(config).accept(socket)).await??;
    let stream = Stream::Tls(Box::new(stream.into()));
    let peer = stream.peer(Some(addr));
    Ok((stream, peer))
}

/// Where and how to connect.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Whom to call.
    pub url: Url,
    /// How to speak TLS; needed for `mqtts` and `wss`.
    pub tls: Option<Arc<ClientConfig>>,
    /// From which address of this machine; the system's choice if absent.
    pub source: Option<IpAddr>,
}

impl Dialer {
    /// Connects: name resolution, TCP, and TLS where the URL says so. Each address of the name is tried in turn.
    ///
    /// # Errors
    /// The last attempt's, or a time-out after 10 seconds in all.
    pub async fn dial(&self) -> io::Result<(Stream, Peer)> {
        timeout(HANDSHAKE_MAX, async {
            let socket = self.connect().await?;
            socket.set_nodelay(true)?;
            let addr = socket.peer_addr().ok();
            let stream = match (&self.tls, self.url.is_secure()) {
                (_, false) => Stream::Tcp(socket),
                (Some(config), true) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    let name = tls::server_name(&self.url.host)?;
                    let stream = connector.connect(name, socket).await.map_err(tls::with_remedy)?;
                    Stream::Tls(Box::new(stream.into()))
                }
                (None, true) => return Err(io::Error::other("no TLS configuration for a URL that needs one")),
            };
            let peer = stream.peer(addr);
            Ok((stream, peer))
        })
        .await?
    }
}

impl Dialer {
    async fn connect(&self) -> io::Result<TcpStream> {
        let place = (self.url.host.as_str(), self.url.port);
        let Some(source) = self.source else { return TcpStream::connect(place).await };
        let mut last = io::Error::other("the host has no address of the family of the source address");
        for addr in lookup_host(place).await?.filter(|addr| addr.is_ipv4() == source.is_ipv4()) {
            let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // The port is chosen when the other end is known, so that it need only differ for the same pair of ends.
            #[cfg(target_os = "linux")]
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
            socket.bind(SocketAddr::new(source, 0))?;
            match socket.connect(addr).await {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
