//! A fleet on sockets: one task owns all devices, their links and their connections, and one timer serves them.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::pin::pin;
use std::time::Duration;

use harness::node::{Input, Node, Ticket};
use harness::rng::Rng;
use harness::time::Instant;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant as Moment, MissedTickBehavior, interval};

use super::host::Host;
use super::reach::Reach;
use super::stream::Dialer;
use super::url::Url;
use crate::fleet::shore::Shore;
use crate::fleet::visitor::{Kept, Visitor};
use crate::scenario::plan::Plan;
use crate::ws::WebSocket;

/// How many devices share a source address on loopback: connecting slows down once some 14,000 connections to one port
/// come from one address, and devices leave connections behind.
pub const PER_SOURCE: u32 = 10_000;
/// A server that has sent a late subscriber nothing for so long has sent all that is retained.
const QUIET: Duration = Duration::from_secs(1);
/// And a server is heard for no longer.
const VISIT: Duration = Duration::from_secs(30);
/// How often a run tells how it stands.
const TELL: Duration = Duration::from_secs(1);

/// The dialer of each device: by the group and its number in it. On loopback the devices spread over source addresses.
fn chooser(reach: &Reach, plan: &Plan) -> impl Fn(Ticket) -> Dialer + Send + use<> {
    let spreads = cfg!(target_os = "linux") && plan.devices() > PER_SOURCE;
    let mut first = 0;
    let groups: Vec<_> = plan
        .groups
        .iter()
        .map(|group| {
            let dialer = reach.dialer(group.tls, group.version).cloned();
            let local = dialer.as_ref().is_some_and(|dialer| spreads && is_loopback(dialer));
            first += group.count;
            (dialer, first - group.count, local)
        })
        .collect();
    let any = reach.listeners.values().next().cloned();
    move |ticket| {
        let (group, number) = Shore::caller(ticket);
        let (dialer, first, local) = &groups[group];
        let source = local.then(|| source(first + number));
        let dialer = dialer.clone().or_else(|| any.clone()).expect("a target has a listener");
        Dialer { source, ..dialer }
    }
}

/// Whether whom it calls is this machine, by its address of the fourth edition.
fn is_loopback(dialer: &Dialer) -> bool {
    let addresses = (dialer.url.host.as_str(), dialer.url.port).to_socket_addrs();
    addresses.is_ok_and(|mut all| all.next().is_some_and(|addr| addr.is_ipv4() && addr.ip().is_loopback()))
}

/// From which address of loopback this device calls: 127.0.0.2 to 127.0.0.254.
fn source(device: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (device / PER_SOURCE % 253) as u8))
}

/// How a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// At which second.
    pub at: f64,
    /// How many devices are connected.
    pub connected: u32,
    /// How many messages were made.
    pub published: u64,
    /// How many wait for the server's answer, or for their turn.
    pub in_flight: u64,
    /// How long 99 of 100 messages took at most that arrived lately, in seconds.
    pub p99: Option<f64>,
}

impl Standing {
    fn of(shore: &Shore, now: Instant) -> Self {
        let fleet = shore.fleet();
        let tally = &fleet.floor.tally;
        let latest = tally.series.iter().last().and_then(|(_, interval)| interval.latency.as_ref());
        Self {
            at: now.elapsed().as_secs_f64(),
            connected: fleet.connected(),
            published: tally.groups.iter().flat_map(|group| group.published).sum(),
            in_flight: fleet.outstanding() as u64,
            p99: latest.and_then(|latency| latency.quantile(0.99)).map(|span| span.as_secs_f64()),
        }
    }

    /// Adds how another process of the run stands.
    pub fn add(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.connected += other.connected;
        self.published += other.published;
        self.in_flight += other.in_flight;
        self.p99 = [self.p99, other.p99].into_iter().flatten().reduce(f64::max);
    }
}

/// What became of a run.
pub struct Played {
    /// The fleet.
    pub shore: Shore,
    /// When it was stopped, if it was.
    pub stopped: Option<Instant>,
    /// What the late subscriber was sent in the end, or why it was sent nothing; absent where there is none.
    pub kept: Option<Result<Vec<Kept>, String>>,
}

/// Plays until `end`, or until `stop` comes, on a clock that begins at `began`; `tell` hears once in a second how it
/// stands. In the end comes `late`, if anybody. Must be called inside the runtime.
pub async fn play(
    shore: Shore,
    reach: &Reach,
    (began, end): (Moment, Instant),
    mut tell: impl FnMut(Standing),
    stop: impl Future<Output = ()>,
    late: Option<(Visitor, Dialer)>,
) -> Played {
    let choose = chooser(reach, &shore.fleet().floor.plan);
    let web = reach.listeners.values().map(|dialer| &dialer.url).find(|url| url.is_web_socket());
    // Where there is anything else, nobody takes WebSockets.
    let node = over(shore, web.filter(|_| reach.listeners.len() == 1));
    let mut host = Host::new(node, Vec::new(), None).dialing(choose).since(began);
    let mut stop = pin!(stop);
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut over = pin!(tokio::time::sleep_until(began + end.elapsed()));
    let stopped = loop {
        tokio::select! {
            biased;
            () = &mut stop => break Some(host.now()),
            () = &mut over => break None,
            _ = ticks.tick() => tell(Standing::of(host.node().inner(), host.now())),
            () = host.turn() => {}
        }
    };
    // The connections of the fleet still stand, so that no will comes in between.
    let kept = match late.filter(|_| stopped.is_none()) {
        Some((visitor, dialer)) => Some(visit(visitor, dialer).await),
        None => None,
    };
    let ended = stopped.unwrap_or(end);
    let mut shore = host.into_node().into_inner();
    shore.handle(ended, Input::Wake);
    while shore.poll().is_some() {}
    Played { shore, stopped, kept }
}

/// A client on sockets that lead to this URL, which may be one of WebSockets.
pub(super) fn over<N: Node>(node: N, url: Option<&Url>) -> WebSocket<N> {
    let Some(url) = url.filter(|url| url.is_web_socket()) else { return WebSocket::none(node) };
    WebSocket::client(node, url.authority(), url.path.clone(), Rng::stream(super::seed(), "websocket masks"))
}

/// Lets a late subscriber hear what the server sends, until it has sent nothing for [`QUIET`].
async fn visit(visitor: Visitor, dialer: Dialer) -> Result<Vec<Kept>, String> {
    let node = over(visitor, Some(&dialer.url));
    let mut host = Host::new(node, Vec::new(), Some(dialer));
    let mut heard = None;
    let mut over = pin!(tokio::time::sleep(QUIET + VISIT));
    let mut quiet = pin!(tokio::time::sleep(VISIT));
    loop {
        tokio::select! {
            () = &mut over => break,
            () = &mut quiet => break,
            () = host.turn() => {}
        }
        let visitor = host.node().inner();
        if let Some(why) = visitor.refused() {
            return Err(why.to_owned());
        }
        if visitor.heard() != heard {
            heard = visitor.heard();
            quiet.as_mut().reset(Moment::now() + QUIET);
        }
    }
    match heard {
        Some(_) => Ok(host.into_node().into_inner().found()),
        None => Err("no answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_source_address_has_too_many_devices() {
        let address = |device| source(device).to_string();
        assert_eq!(address(0), "127.0.0.2");
        assert_eq!((address(PER_SOURCE - 1), address(PER_SOURCE)), ("127.0.0.2".to_owned(), "127.0.0.3".to_owned()));
        assert_eq!(
            (address(253 * PER_SOURCE - 1), address(253 * PER_SOURCE)),
            ("127.0.0.254".to_owned(), "127.0.0.2".to_owned())
        );
    }
}
