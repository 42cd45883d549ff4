//! The kernel of this machine, across an emulated bad link: two network namespaces of our own, each with a TUN device, and
//! between them a loop that delays and drops packets. Nothing outside of these namespaces is touched, and they vanish
//! with the threads that made them.

use std::collections::{BTreeMap, BinaryHeap};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use harness::rng::Draws;
use harness::time::Instant;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::{CloneFlags, unshare};

use socket2::{Domain, Socket, Type};

use super::thin::{Case, Loss};

const CLIENT: [u8; 4] = [10, 99, 0, 1];
const SERVER: [u8; 4] = [10, 99, 0, 2];
const PORT: u16 = 1883;

/// The TUN device of one namespace.
type Tun = fs::File;

nix::ioctl_write_ptr_bad!(tun_set_interface, 0x4004_54ca, [u8; 40]);

/// Why the kernel cannot be measured here, if it cannot.
pub(crate) fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("needs /dev/net/tun".to_owned());
    }
    let ip = Command::new("ip").arg("-V").output();
    if ip.is_err() {
        return Some("needs the program `ip` (package iproute2)".to_owned());
    }
    let cubic = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control").unwrap_or_default();
    (!cubic.contains("cubic")).then(|| "needs the congestion control `cubic` in the kernel".to_owned())
}

/// Makes the calling thread a namespace of its own with a TUN device.
fn namespace(own: [u8; 4]) -> Result<Tun, String> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))?;
    let tun = fs::File::options().read(true).write(true).open("/dev/net/tun").map_err(|error| error.to_string())?;
    let mut request = [0; 40];
    request[..4].copy_from_slice(b"tun0");
    // IFF_TUN | IFF_NO_PI
    request[16..18].copy_from_slice(&0x1001u16.to_ne_bytes());
    #[expect(unsafe_code, reason = "the one call that makes a TUN device, which no safe interface offers")]
    // SAFETY: the request is a `struct ifreq` of forty bytes that outlives the call.
    unsafe { tun_set_interface(tun.as_raw_fd(), &raw const request) }
        .map_err(|error| format!("a TUN device: {error}"))?;
    let address = format!("{}.{}.{}.{}/24", own[0], own[1], own[2], own[3]);
    for line in [
        "link set lo up".to_owned(),
        format!("addr add {address} dev tun0"),
        "link set tun0 mtu 1400 txqueuelen 10000 up".to_owned(),
    ] {
        let done = Command::new("ip").args(line.split(' ')).status();
        if !done.as_ref().is_ok_and(|status| status.success()) {
            return Err(format!("`ip {line}` failed: {done:?}"));
        }
    }
    for (name, value) in [("tcp_no_metrics_save", "1"), ("tcp_ecn", "0"), ("ip_local_port_range", "10000 65000")] {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), value).map_err(|error| format!("{name}: {error}"))?;
    }
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&tun, nix::fcntl::FcntlArg::F_SETFL(flags)).map_err(|error| error.to_string())?;
    Ok(tun)
}

/// Whether the packets of one flow in one direction get lost.
struct Weather {
    loss: Loss,
    draws: Draws,
    bad: bool,
    until: f64,
}

impl Weather {
    fn loses(&mut self, now: f64) -> bool {
        match self.loss {
            Loss::Each(each) => self.draws.unit() < each,
            Loss::Spells(good, bad, in_bad, in_good) => {
                while self.until <= now {
                    self.bad = !self.bad;
                    let mean = f64::from(if self.bad { bad } else { good }) / 1e3;
                    self.until += mean * self.draws.exponential();
                }
                self.draws.unit() < if self.bad { in_bad } else { in_good }
            }
        }
    }
}

/// A packet under way; first due first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due(std::cmp::Reverse<(Instant, u64)>, usize, Vec<u8>);

/// Moves packets between the two devices until told to stop.
fn emulate(tuns: &mut [Tun; 2], case: &Case, seed: u64, stop: &AtomicBool) {
    let began = now();
    let root = Draws::stream(seed, &case.name);
    let (mut weather, mut queue, mut nth) = (BTreeMap::new(), BinaryHeap::new(), 0u64);
    let delay = Duration::from_millis(case.rtt_ms.into()) / 2;
    let mut packet = vec![0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let wait = queue.peek().map_or(Duration::from_millis(50), |due: &Due| due.0.0.0 - now());
        let [one, other] = &*tuns;
        let mut polled = [PollFd::new(one.as_fd(), PollFlags::POLLIN), PollFd::new(other.as_fd(), PollFlags::POLLIN)];
        // Coarse waits are cut short, and the rest is spent looking.
        let millis = u16::try_from(wait.saturating_sub(Duration::from_micros(100)).as_millis()).unwrap_or(50).min(50);
        let _ = nix::poll::poll(&mut polled, PollTimeout::from(millis));
        for (from, tun) in tuns.iter_mut().enumerate() {
            while let Ok(length) = tun.read(&mut packet) {
                let bytes = &packet[..length];
                let Some(port) = flow(bytes, from) else { continue };
                let weather = weather.entry((port, from)).or_insert_with(|| {
                    let mut draws = root.branch(u64::from(port) * 2 + from as u64);
                    let until = match case.loss {
                        Loss::Each(_) => 0.0,
                        Loss::Spells(good, ..) => f64::from(good) / 1e3 * draws.exponential(),
                    };
                    Weather { loss: case.loss, draws, bad: false, until: (now() - began).as_secs_f64() + until }
                });
                let at = now();
                if !weather.loses((at - began).as_secs_f64()) {
                    nth += 1;
                    queue.push(Due(std::cmp::Reverse((at + delay, nth)), 1 - from, bytes.to_vec()));
                }
            }
        }
        while queue.peek().is_some_and(|due| due.0.0.0 <= now()) {
            if let Some(Due(_, to, bytes)) = queue.pop() {
                let _ = tuns[to].write(&bytes);
            }
        }
    }
}

/// The client's port, if it is a TCP packet of ours.
fn flow(packet: &[u8], from: usize) -> Option<u16> {
    let header = usize::from(packet.first()? & 15) * 4;
    if packet[0] >> 4 != 4 || packet.get(9) != Some(&6) {
        return None;
    }
    let at = header + 2 * from;
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

/// The time, in the terms of the model.
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "it measures a kernel in real time")]
fn now() -> Instant {
    static BEGAN: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::ZERO + BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

#[expect(clippy::disallowed_methods, reason = "it paces senders in real time")]
fn sleep(span: Duration) {
    thread::sleep(span);
}

/// Plays the case on the kernel, with the whole of it done after its seconds and a little; gives delays in
/// milliseconds, sorted.
pub(crate) fn measure(case: &Case, seed: u64) -> Result<Vec<f64>, String> {
    let stop = AtomicBool::new(false);
    let began = now();
    let (tell_server, server_tun) = mpsc::channel();
    let (tell_client, client_tun) = mpsc::channel();
    let (listening, listens) = mpsc::channel();
    thread::scope(|scope| {
        let stop = &stop;
        let server = scope.spawn(move || {
            let tun = namespace(SERVER);
            let failed = tun.is_err();
            let _ = tell_server.send(tun);
            if failed {
                return Ok(Vec::new());
            }
            serve(began, stop, &listening)
        });
        let client = scope.spawn(move || {
            let tun = namespace(CLIENT);
            let failed = tun.is_err();
            let _ = tell_client.send(tun);
            if failed || listens.recv().is_err() {
                return Ok(());
            }
            let sent = send(case, began);
            stop.store(true, Ordering::Relaxed);
            sent
        });
        let take = |from: mpsc::Receiver<Result<Tun, String>>| from.recv().map_err(|_| "a thread ended".to_owned())?;
        let tuns = take(client_tun).and_then(|client| Ok([client, take(server_tun)?]));
        stop.store(tuns.is_err(), Ordering::Relaxed);
        let mut tuns = tuns?;
        emulate(&mut tuns, case, seed, stop);
        client.join().map_err(|_| "the client panicked".to_owned())??;
        let mut delays = server.join().map_err(|_| "the server panicked".to_owned())??;
        delays.sort_by(f64::total_cmp);
        Ok(delays)
    })
}

/// Takes connections, reads messages at once, and notes how old each is.
fn serve(began: Instant, stop: &AtomicBool, listening: &mpsc::Sender<()>) -> Result<Vec<f64>, String> {
    let words = |error: std::io::Error| format!("the server: {error}");
    let listener = TcpListener::bind(SocketAddr::from((SERVER, PORT))).map_err(words)?;
    listener.set_nonblocking(true).map_err(words)?;
    let _ = listening.send(());
    let (mut streams, mut delays): (Vec<(TcpStream, Vec<u8>, usize)>, _) = (Vec::new(), Vec::new());
    let mut buffer = [0; 65_536];
    while !stop.load(Ordering::Relaxed) {
        let mut polled = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        polled.extend(streams.iter().map(|(stream, ..)| PollFd::new(stream.as_fd(), PollFlags::POLLIN)));
        let _ = nix::poll::poll(&mut polled, PollTimeout::from(50u8));
        let ready: Vec<bool> = polled.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(polled);
        for (nth, (stream, held, size)) in streams.iter_mut().enumerate() {
            if !ready.get(nth + 1).copied().unwrap_or(false) {
                continue;
            }
            let Ok(read) = stream.read(&mut buffer) else { continue };
            let at = (now() - began).as_nanos() as u64;
            held.extend_from_slice(&buffer[..read]);
            while held.len() >= 12 && held.len() >= *size {
                let (mut sent, mut length) = ([0; 8], [0; 4]);
                sent.copy_from_slice(&held[..8]);
                length.copy_from_slice(&held[8..12]);
                *size = u32::from_be_bytes(length) as usize;
                if held.len() < *size {
                    break;
                }
                delays.push(at.saturating_sub(u64::from_be_bytes(sent)) as f64 / 1e6);
                held.drain(..*size);
            }
        }
        if ready[0] {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(true).map_err(words)?;
                streams.push((stream, Vec::new(), 12));
            }
        }
    }
    Ok(delays)
}

/// A connection with CUBIC, whatever the default of this machine is.
fn connect() -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_tcp_congestion(b"cubic")?;
    socket.connect(&SocketAddr::from((SERVER, PORT)).into())?;
    Ok(socket.into())
}

/// Opens connections and sends on each at its pace.
fn send(case: &Case, began: Instant) -> Result<(), String> {
    let interval = Duration::from_millis(case.interval_ms.into());
    let workers: Vec<_> = (0..case.connections)
        .map(|nth| {
            // Spread evenly, so that no two ticks of the kernel are favoured.
            let begin = interval.min(Duration::from_secs(2)).mul_f64(f64::from(nth) * 0.618_034 % 1.0);
            let (seconds, size) = (case.seconds, case.bytes as usize);
            let worker = thread::Builder::new().stack_size(128 * 1024);
            worker.spawn(move || {
                sleep(begin);
                let words = |error: std::io::Error| format!("the client: {error}");
                let mut stream = connect().map_err(words)?;
                stream.set_nodelay(true).map_err(words)?;
                stream.set_nonblocking(true).map_err(words)?;
                let mut next = now();
                let end = next + Duration::from_secs(seconds.into());
                let mut message = vec![0; size];
                while next < end {
                    message[..8].copy_from_slice(&(now() - began).as_nanos().to_be_bytes()[8..]);
                    message[8..12].copy_from_slice(&(size as u32).to_be_bytes());
                    match stream.write_all(&message) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        other => other.map_err(words)?,
                    }
                    next += interval;
                    sleep(next - now());
                }
                Ok::<(), String>(())
            })
        })
        .collect();
    for worker in workers {
        let worker = worker.map_err(|error| error.to_string())?;
        worker.join().map_err(|_| "a sender panicked".to_owned())??;
    }
    Ok(())
}
