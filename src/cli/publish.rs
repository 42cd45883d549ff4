//! `testament pub`: publishes messages.

use std::io::{self, BufRead as _, Read as _};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use clap::{ArgGroup, Args};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::connect::{Connect, qos};
use super::line::Line;
use super::{OK, TROUBLE};
use crate::client::{Dropped, Event, Reconnect};
use crate::net::host::runtime;
use crate::packet::{Host, PacketType, PropertyBuf, Publish as Message, QoS};
use crate::topic::Topic;

/// How many lines are read ahead of the network.
const LINES_AHEAD: usize = 64;

/// What the number at the end means.
const EXIT_CODES: &str = "Exit codes: 0 everything was sent, and acknowledged where the QoS asks for it; 2 bad options, no \
connection, or a message refused or lost.";

/// Options of `testament pub`: those of mosquitto_pub.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = EXIT_CODES)]
#[command(group(ArgGroup::new("source").required(true).args(["message", "file", "lines", "null", "stdin"])))]
pub(super) struct Publish {
    #[command(flatten)]
    connect: Connect,

    /// Topic to publish to
    #[arg(short = 't', long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Send this text
    #[arg(short = 'm', long, value_name = "TEXT", allow_hyphen_values = true)]
    message: Option<String>,

    /// Send the contents of this file
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Send each line of standard input as a message
    #[arg(short = 'l', long = "stdin-line", id = "lines")]
    lines: bool,

    /// Send a message without payload
    #[arg(short = 'n', long = "null-message", id = "null")]
    null: bool,

    /// Send all of standard input as one message
    #[arg(short = 's', long = "stdin-file", id = "stdin")]
    stdin: bool,

    /// Quality of service
    #[arg(short = 'q', long, value_name = "QOS", default_value = "0", value_parser = qos)]
    qos: QoS,

    /// How many messages may be unfinished at a time, at QoS 1 and 2
    #[arg(short = 'M', long, value_name = "COUNT", default_value = "20")]
    max_inflight: NonZeroU16,

    /// Have the server retain the message
    #[arg(short = 'r', long)]
    retain: bool,

    /// How often to send the message
    #[arg(long, value_name = "COUNT", default_value_t = 1, conflicts_with = "lines")]
    repeat: u64,

    /// How long to wait between two repeats, in seconds; fractions are fine
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = super::connect::span)]
    repeat_delay: Duration,
}

impl Publish {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let topic = self.topic.as_deref().or_else(|| self.connect.topic());
        let topic = topic.context("no topic: give one with -t, or in the path of -L")?;
        Topic::new(topic).with_context(|| format!("-t `{topic}`"))?;
        let publish = Host::Packet(PacketType::Publish);
        let properties = self.connect.properties.of(publish)?;
        // What takes long to read is read before the server begins to wait.
        let payload = self.payload()?;
        runtime()?.block_on(async {
            // A stream of lines outlives a connection; a single message reports what happened to it.
            let reconnect = self.lines.then(Reconnect::default);
            let line = self.connect.line(&[publish], reconnect, self.max_inflight)?;
            let source = match payload {
                Some(payload) => {
                    Source::Repeat { payload, left: self.repeat, due: Instant::now(), delay: self.repeat_delay }
                }
                None => Source::Lines(read_lines()),
            };
            Sender { line, source: Some(source), topic, properties, qos: self.qos, retain: self.retain, code: OK }
                .run()
                .await
        })
    }

    /// The payload; `None` if it comes line by line.
    fn payload(&self) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(match (&self.message, &self.file) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (_, Some(file)) => Some(std::fs::read(file).with_context(|| format!("-f {}", file.display()))?),
            _ if self.stdin => {
                let mut bytes = Vec::new();
                io::stdin().read_to_end(&mut bytes).context("-s: cannot read standard input")?;
                Some(bytes)
            }
            _ if self.null => Some(Vec::new()),
            _ => None,
        })
    }
}

/// Where payloads come from.
enum Source {
    /// The same one again and again.
    Repeat { payload: Vec<u8>, left: u64, due: Instant, delay: Duration },
    /// Standard input, read by a thread of its own.
    Lines(mpsc::Receiver<io::Result<Vec<u8>>>),
}

impl Source {
    /// The next payload; `None` when there is none left. May be dropped at any time.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Self::Repeat { left: 0, .. } => Ok(None),
            Self::Repeat { payload, left, due, delay } => {
                sleep_until(*due).await;
                *due += *delay;
                *left -= 1;
                Ok(Some(payload.clone()))
            }
            Self::Lines(lines) => lines.recv().await.transpose().context("-l: cannot read standard input"),
        }
    }
}

fn read_lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    // Not a task: a read of standard input cannot be interrupted, and nobody waits for this thread at the end.
    std::thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                line.pop_if(|byte| *byte == b'\r');
                line
            });
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One run of the command.
struct Sender<'a> {
    line: Line,
    /// `None` once it is used up.
    source: Option<Source>,
    topic: &'a str,
    properties: PropertyBuf,
    qos: QoS,
    retain: bool,
    code: u8,
}

impl Sender<'_> {
    /// Takes leave of the server also when something went wrong, so that no will is published for it.
    async fn run(mut self) -> anyhow::Result<u8> {
        let done = self.send().await;
        self.line.leave().await?;
        done.map(|()| self.code)
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        let mut connected = false;
        while !(connected && self.source.is_none() && self.line.client().outstanding() == 0) {
            let place = connected && self.line.client().has_place();
            tokio::select! {
                biased;
                result = &mut interrupt => return Ok(result?),
                event = self.line.next() => {
                    if let Some(event) = event? {
                        connected |= matches!(event, Event::Connected(_));
                        self.take_note(&event);
                    }
                }
                payload = next(&mut self.source), if place => match payload? {
                    Some(payload) => self.publish(&payload)?,
                    None => self.source = None,
                },
            }
        }
        Ok(())
    }

    fn publish(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let message = Message {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: None,
            properties: self.properties.view(),
            payload,
        };
        let (now, client) = self.line.command();
        client.publish(now, &message).with_context(|| format!("cannot publish to `{}`", self.topic))?;
        Ok(())
    }

    /// A refused or lost message is no reason to hold back the others, but the command has failed.
    fn take_note(&mut self, event: &Event) {
        match event {
            Event::Published(_, reason) if reason.is_error() => {
                eprintln!("testament: the server refused a message for `{}`: {reason}", self.topic);
            }
            Event::Dropped(_, Dropped::Unacceptable(misuse)) => {
                eprintln!("testament: a message for `{}` was not sent: {misuse}", self.topic);
            }
            Event::Dropped(..) => {
                eprintln!(
                    "testament: a message for `{}` may be lost: the connection ended before its acknowledgement",
                    self.topic
                );
            }
            _ => return,
        }
        self.code = TROUBLE;
    }
}

/// The next payload of a source that may be used up.
async fn next(source: &mut Option<Source>) -> anyhow::Result<Option<Vec<u8>>> {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}
