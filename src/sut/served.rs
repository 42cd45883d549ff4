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
type Order = (What, mpsc::Sender<io::Result<()>>);

#[derive(Clone, Copy, Debug)]
enum What {
    Sut(Sut),
    /// Be another broker, which is stopped and knows nothing.
    Forget,
}

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
            (url.endpoint, Dialer { url: url.clone(), tls, source: None })
        };
        let listeners = doors.iter().map(dialer).collect();
        let (orders, taken) = unbounded_channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let fresh = |bound| Host::new(Setup::full().node(Rng::stream(seed, "broker")), bound, None);
                serve(fresh, bound, &doors, &config, taken).await;
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
    fresh: impl Fn(Vec<Listener>) -> Host<N>,
    bound: Vec<Listener>,
    doors: &[Url],
    config: &Arc<ServerConfig>,
    mut orders: UnboundedReceiver<Order>,
) {
    let mut host = fresh(bound);
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
            What::Sut(Sut::Start) if runs => Ok(()),
            What::Sut(Sut::Start) => bind(doors, config).await.map(|bound| host.listen(bound)),
            What::Sut(stop @ (Sut::Stop | Sut::Kill)) => {
                host.close_listeners();
                host.cut(if stop == Sut::Kill { Close::Abruptly } else { Close::Gracefully });
                Ok(())
            }
            What::Forget => {
                host.close_listeners();
                host.cut(Close::Abruptly);
                host = fresh(Vec::new());
                Ok(())
            }
        };
        runs = matches!(what, What::Sut(Sut::Start)) && result.is_ok();
        // Whoever asked may have given up.
        let _ = done.send(result);
    }
}

impl Served {
    fn order(&self, what: What) -> Result<(), Broken> {
        let gone = || Broken("the reference broker is gone".to_owned());
        let (done, told) = mpsc::channel();
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send((what, done)).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())?.map_err(|why| Broken(format!("the reference broker does not start: {why}")))
    }
}

impl Restart for Served {
    fn restart(&self, what: Sut) -> Result<(), Broken> {
        self.order(What::Sut(what))
    }

    fn forget(&self) -> Result<(), Broken> {
        self.order(What::Forget)
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
