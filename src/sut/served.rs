//! The reference broker on loopback sockets, on a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use harness::node::{Close, Node};
use harness::rng::Rng;
use harness::world::{Broken, Endpoint, Sut};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::rustls::ServerConfig;

use crate::net::certificate::SelfSigned;
use crate::net::host::{self, Host, Listener};
use crate::net::live::Restart;
use crate::net::stream::Dialer;
use crate::net::tls::{self, Trust};
use crate::net::url::Url;
use crate::reference::{LISTENERS, Setup};

/// It serves until this is dropped. Stopped, it has neither listeners nor connections, and keeps all else: a broker with
/// a store that nothing can hurt.
#[derive(Debug)]
pub struct Served {
    thread: Option<JoinHandle<()>>,
    /// Dropped to end it.
    orders: Option<UnboundedSender<Order>>,
    listeners: BTreeMap<Endpoint, Dialer>,
}

/// What it is to do, and whom to tell when it has.
type Order = (Sut, mpsc::Sender<io::Result<()>>);

impl Served {
    /// Starts it on free ports. All that it draws comes from `seed`.
    ///
    /// # Errors
    /// If the system refuses the means.
    pub fn start(seed: u64) -> io::Result<Self> {
        let runtime = host::runtime()?;
        let anywhere = LISTENERS.map(|(endpoint, _)| Url { port: 0, ..Url::loopback(endpoint) });
        let identity = SelfSigned::fresh()?;
        let config = tls::server_itself(&identity).map_err(io::Error::other)?;
        let believing = tls::client(&Trust::Anyone, None).map_err(io::Error::other)?;
        let bound = runtime.block_on(bind(&anywhere, &config))?;
        let doors: Vec<_> = bound.iter().map(|listener| listener.url().clone()).collect();
        let dialer = |url: &Url| {
            let tls = url.is_secure().then(|| Arc::clone(&believing));
            (url.endpoint, Dialer { url: url.clone(), tls })
        };
        let listeners = doors.iter().map(dialer).collect();
        let (orders, taken) = unbounded_channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let host = Host::new(Setup::full().node(Rng::stream(seed, "broker")), bound, None);
                serve(host, &doors, &config, taken).await;
            });
        });
        Ok(Self { thread: Some(thread), orders: Some(orders), listeners })
    }

    /// How to reach it.
    pub fn listeners(&self) -> BTreeMap<Endpoint, Dialer> {
        self.listeners.clone()
    }
}

async fn bind(doors: &[Url], config: &Arc<ServerConfig>) -> io::Result<Vec<Listener>> {
    let mut bound = Vec::new();
    for url in doors {
        bound.push(Listener::bind(url, url.is_secure().then(|| Arc::clone(config))).await?);
    }
    Ok(bound)
}

/// Serves, and obeys until there is nobody left to give orders.
async fn serve<N: Node>(
    mut host: Host<N>,
    doors: &[Url],
    config: &Arc<ServerConfig>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut runs = true;
    loop {
        let (what, done) = tokio::select! {
            () = host.turn() => continue,
            order = orders.recv() => match order {
                Some(order) => order,
                None => return,
            },
        };
        let result = match what {
            Sut::Start if runs => Ok(()),
            Sut::Start => bind(doors, config).await.map(|bound| host.listen(bound)),
            Sut::Stop | Sut::Kill => {
                host.close_listeners();
                host.cut(if what == Sut::Kill { Close::Abruptly } else { Close::Gracefully });
                Ok(())
            }
        };
        runs = what == Sut::Start && result.is_ok();
        // Whoever asked may have given up.
        let _ = done.send(result);
    }
}

impl Restart for Served {
    fn restart(&self, what: Sut) -> Result<(), Broken> {
        let gone = || Broken("the reference broker is gone".to_owned());
        let (done, told) = mpsc::channel();
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send((what, done)).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?.map_err(|why| Broken(format!("the reference broker does not start: {why}")))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked, that has been printed.
            let _ = thread.join();
        }
    }
}
