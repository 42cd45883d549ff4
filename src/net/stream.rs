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
#[cfg(target_os = "linux")]
use socket2::SockRef;
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
pub struct Stream {
    over: Over,
    /// We dialed. What comes is acknowledged at once then: a server that leaves Nagle's algorithm on holds back every small
    /// packet behind one that the system here acknowledges 40 ms late, which says nothing of the server.
    dialed: bool,
}

#[derive(Debug)]
enum Over {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// One that was accepted, without TLS.
    pub const fn accepted(socket: TcpStream) -> Self {
        Self { over: Over::Tcp(socket), dialed: false }
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match &self.over {
            Over::Tcp(socket) => socket,
            Over::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Has the system acknowledge what comes next as soon as it comes; it forgets that by and by. Elsewhere than on Linux
    /// nothing can be said.
    fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(self.socket()).set_tcp_quickack(true);
    }

    /// What is known of the other end.
    fn peer(&self, addr: Option<SocketAddr>) -> Peer {
        let shown = match &self.over {
            Over::Tcp(_) => None,
            Over::Tls(stream) => stream.get_ref().1.peer_certificates().and_then(<[_]>::first),
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
    let stream = Stream { over: Over::Tls(Box::new(stream.into())), dialed: false };
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
            let over = match (&self.tls, self.url.is_secure()) {
                (_, false) => Over::Tcp(socket),
                (Some(config), true) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    let name = tls::server_name(&self.url.host)?;
                    let stream = connector.connect(name, socket).await.map_err(tls::with_remedy)?;
                    Over::Tls(Box::new(stream.into()))
                }
                (None, true) => return Err(io::Error::other("no TLS configuration for a URL that needs one")),
            };
            let stream = Stream { over, dialed: true };
            stream.acknowledge_at_once();
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
        let this = self.get_mut();
        let filled = buf.filled().len();
        let read = match &mut this.over {
            Over::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Over::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if this.dialed && buf.filled().len() > filled {
            this.acknowledge_at_once();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().over {
            Over::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Over::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().over {
            Over::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Over::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().over {
            Over::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Over::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
