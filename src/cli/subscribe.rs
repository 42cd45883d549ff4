//! `testament sub`: subscribes and prints what arrives.

use std::future::pending;
use std::io::{self, Write as _};
use std::num::NonZeroU16;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::time::sleep;

use super::connect::{Connect, qos, span};
use super::format::{self, FIELDS, Format};
use super::line::Line;
use super::{FAILED, OK};
use crate::client::{Event, Message, Reconnect};
use crate::net::host::runtime;
use crate::packet::{
    FilterBuf, Host, Packet, PacketType, PropertyBuf, QoS, RetainHandling, SubscriptionBuf, SubscriptionOptions,
    Version,
};
use crate::topic::{Filter, Topic};

/// What the number at the end means.
const EXIT_CODES: &str = "Exit codes: 0 done or interrupted; 1 the time of -W ran out before the messages of -C had come; \
2 bad options, no connection, or a subscription refused.";

/// Options of `testament sub`: those of mosquitto_sub.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, after_help = format!("Fields of -F: {FIELDS}.\n\n{EXIT_CODES}"))]
pub(super) struct Subscribe {
    #[command(flatten)]
    connect: Connect,

    /// Topic filter to subscribe to; may be repeated
    #[arg(short = 't', long, value_name = "FILTER")]
    topic: Vec<String>,

    /// Topic filter to unsubscribe from, once connected; may be repeated
    #[arg(short = 'U', long, value_name = "FILTER")]
    unsubscribe: Vec<String>,

    /// Do not print messages whose topic matches this filter; may be repeated
    #[arg(short = 'T', long, value_name = "FILTER")]
    filter_out: Vec<String>,

    /// Quality of service
    #[arg(short = 'q', long, value_name = "QOS", default_value = "0", value_parser = qos)]
    qos: QoS,

    /// End after this many messages were printed
    #[arg(short = 'C', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after so many seconds; with -C and too few messages the exit code is 1
    #[arg(short = 'W', long, value_name = "SECONDS", value_parser = span)]
    timeout: Option<Duration>,

    /// End as soon as the subscriptions are acknowledged
    #[arg(short = 'E', long)]
    exit_after_subscribe: bool,

    /// Print the topic before each payload
    #[arg(short = 'v', long, conflicts_with = "format")]
    verbose: bool,

    /// Print each message in this format, such as '%t %p'; the fields are below
    #[arg(short = 'F', long, value_name = "FORMAT")]
    format: Option<Format>,

    /// Do not end each message with a new line
    #[arg(short = 'N', long)]
    no_newline: bool,

    /// Do not print messages that were already stored when we subscribed
    #[arg(short = 'R', long, conflicts_with = "retained_only")]
    no_retained: bool,

    /// Print stored messages only, and end at the first other one
    #[arg(long)]
    retained_only: bool,

    /// Leave the retain flag as the publisher set it (5.0)
    #[arg(long)]
    retain_as_published: bool,

    /// Do not receive what this client itself publishes (5.0)
    #[arg(long)]
    no_local: bool,
}

impl Subscribe {
    /// Does it; the number is the exit code.
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let filters: Vec<&str> = self.topic.iter().map(String::as_str).chain(self.connect.topic()).collect();
        if filters.is_empty() && self.unsubscribe.is_empty() {
            bail!("no topic filter: give one with -t, or in the path of -L");
        }
        let given = [("-t", &filters), ("-U", &self.unsubscribe.iter().map(String::as_str).collect())];
        for (option, filters) in given {
            for filter in filters {
                Filter::new(filter).with_context(|| format!("{option} `{filter}`"))?;
            }
        }
        let hidden = self.filter_out.iter().map(|filter| Filter::new(filter).with_context(|| format!("-T `{filter}`")));
        let hidden: Vec<Filter<'_>> = hidden.collect::<Result<_, _>>()?;
        let (subscribe, unsubscribe) = (Host::Packet(PacketType::Subscribe), Host::Packet(PacketType::Unsubscribe));
        if self.connect.version() != Version::V5 && (self.retain_as_published || self.no_local) {
            bail!("--retain-as-published and --no-local: only 5.0 has them; leave them out, or use -V 5.0");
        }
        runtime()?.block_on(async {
            let receiver = Receiver {
                filters: &filters,
                hidden,
                format: self.format.clone().unwrap_or_else(|| Format::plain(self.verbose)),
                subscribe: self.connect.properties.of(subscribe)?,
                unsubscribe: self.connect.properties.of(unsubscribe)?,
                line: self.connect.line(&[subscribe, unsubscribe], Some(Reconnect::default()), NonZeroU16::MAX)?,
                asked: false,
                left: self.count,
                options: &self,
            };
            receiver.run().await
        })
    }

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions {
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// One run of the command.
struct Receiver<'a> {
    options: &'a Subscribe,
    filters: &'a [&'a str],
    hidden: Vec<Filter<'a>>,
    format: Format,
    subscribe: PropertyBuf,
    unsubscribe: PropertyBuf,
    line: Line,
    /// Whether a subscription was ever sent.
    asked: bool,
    /// How many messages are still to be printed; `None` for any number.
    left: Option<u64>,
}

impl Receiver<'_> {
    /// Takes leave of the server also when something went wrong, so that no will is published for it.
    async fn run(mut self) -> anyhow::Result<u8> {
        let done = self.receive().await;
        self.line.leave().await?;
        done
    }

    async fn receive(&mut self) -> anyhow::Result<u8> {
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        let timeout = self.options.timeout;
        let mut time_out = pin!(async {
            match timeout {
                Some(span) => sleep(span).await,
                None => pending().await,
            }
        });
        loop {
            tokio::select! {
                biased;
                result = &mut interrupt => {
                    result?;
                    return Ok(OK);
                }
                event = self.line.next() => {
                    if let Some(event) = event?
                        && self.take_in(event)?
                    {
                        return Ok(OK);
                    }
                }
                () = &mut time_out => return Ok(if self.left.is_some() { FAILED } else { OK }),
            }
        }
    }

    /// Tells whether that was all.
    fn take_in(&mut self, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::Connected(connack) => self.connected(&connack.packet()),
            Event::Subscribed(_, suback) => self.subscribed(&suback.packet()),
            Event::Message(message) => self.print(&message),
            // A connection that broke in between is made again, and with it the subscription.
            _ => Ok(false),
        }
    }

    fn connected(&mut self, connack: &Packet<'_>) -> anyhow::Result<bool> {
        let resumed = matches!(connack, Packet::ConnAck(connack) if connack.session_present);
        if resumed && self.asked {
            // The session goes on and our subscriptions with it; asking again would bring every retained message again.
            return Ok(false);
        }
        let (now, client) = self.line.command();
        if !self.asked && !self.options.unsubscribe.is_empty() {
            let filters = self.options.unsubscribe.iter().fold(FilterBuf::new(), |list, filter| list.with(filter));
            client.unsubscribe(now, filters.view(), self.unsubscribe.view()).context("cannot unsubscribe")?;
        }
        if !self.filters.is_empty() {
            let options = self.options.options();
            let list = self.filters.iter().fold(SubscriptionBuf::new(), |list, filter| list.with(filter, options));
            client.subscribe(now, list.view(), self.subscribe.view()).context("cannot subscribe")?;
        }
        self.asked = true;
        Ok(false)
    }

    fn subscribed(&mut self, suback: &Packet<'_>) -> anyhow::Result<bool> {
        let Packet::SubAck(suback) = suback else { return Ok(false) };
        let refused: Vec<String> = self
            .filters
            .iter()
            .zip(suback.reasons.iter())
            .filter(|(_, reason)| reason.is_error())
            .map(|(filter, reason)| format!("subscription to `{filter}` refused: {reason}"))
            .collect();
        if !refused.is_empty() {
            bail!("{}", refused.join("; "));
        }
        Ok(self.options.exit_after_subscribe)
    }

    /// Prints a message, unless it is not wanted.
    fn print(&mut self, message: &Message) -> anyhow::Result<bool> {
        let publish = message.publish();
        if self.options.retained_only && !publish.retain {
            return Ok(true);
        }
        let topic = Topic::new(publish.topic).context("a topic that is none")?;
        let hidden = self.hidden.iter().any(|filter| filter.matches(topic));
        if hidden || self.options.no_retained && publish.retain {
            return Ok(false);
        }
        let mut out = Vec::new();
        self.format.write(message, format::now(), &mut out);
        if !self.options.no_newline {
            out.push(b'\n');
        }
        let mut stdout = io::stdout().lock();
        match stdout.write_all(&out).and_then(|()| stdout.flush()) {
            // Whoever read us has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            result => result.context("cannot write to standard output")?,
        }
        self.left = self.left.map(|left| left - 1);
        Ok(self.left == Some(0))
    }
}
