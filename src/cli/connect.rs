//! The options that `pub` and `sub` share: where the server is, who we are, and how to speak to it.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgAction, Args};
use harness::world::Endpoint;

use crate::client::{Authenticator, Client, Identity, Options, Reconnect, Reply, Session, Will};
use crate::net::stream::Dialer;
use crate::net::url::{Url, default_port};
use crate::net::{random, seed};
use crate::packet::{Host, PacketType, Property, QoS, Version};
use crate::scram;
use crate::topic::Topic;

use super::line::Line;
use super::property::PropertyArgs;
use super::tls::Tls;

/// Connection options. `-h` is the host, as in mosquitto_pub; help is `--help`.
#[derive(Debug, Args)]
pub(super) struct Connect {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Host name or address of the server [default: localhost]
    #[arg(short = 'h', long, value_name = "HOST", conflicts_with = "url")]
    host: Option<String>,

    /// Port [default: 1883, with TLS 8883]
    #[arg(short = 'p', long, value_name = "PORT", conflicts_with = "url")]
    port: Option<u16>,

    /// Server, credentials and topic in one: mqtt[s]://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC] or
    /// ws[s]://[USER[:PASSWORD]@]HOST[:PORT][/PATH]
    #[arg(short = 'L', long, value_name = "URL")]
    url: Option<String>,

    /// User name
    #[arg(short = 'u', long, value_name = "NAME")]
    username: Option<String>,

    /// Password
    #[arg(short = 'P', long, visible_alias = "pw", value_name = "PASSWORD")]
    password: Option<String>,

    /// Client identifier [default: one is made up, or asked of a 5.0 server]
    #[arg(short = 'i', long, value_name = "ID")]
    id: Option<String>,

    /// Protocol version: 5.0 (or mqttv5), 3.1.1 (mqttv311), 3.1 (mqttv31). Unlike mosquitto_pub, 5.0 is the default
    #[arg(short = 'V', long, value_name = "VERSION", default_value = "5.0", value_parser = version)]
    protocol_version: Version,

    /// Keep alive in seconds; 0 turns it off
    #[arg(short = 'k', long, value_name = "SECONDS", default_value_t = 60)]
    keepalive: u16,

    /// Keep the session: do not ask for a clean one. In 5.0 it then never expires, unless -x says otherwise
    #[arg(short = 'c', long)]
    disable_clean_session: bool,

    /// How long the session outlives the connection, in seconds; 4294967295 or `never` for ever (5.0)
    #[arg(short = 'x', long, value_name = "SECONDS", value_parser = expiry)]
    session_expiry_interval: Option<u32>,

    /// Topic of the will
    #[arg(long, value_name = "TOPIC")]
    will_topic: Option<String>,

    /// Payload of the will [default: empty]
    #[arg(long, value_name = "TEXT", requires = "will_topic")]
    will_payload: Option<String>,

    /// Quality of service of the will
    #[arg(long, value_name = "QOS", default_value = "0", value_parser = qos, requires = "will_topic")]
    will_qos: QoS,

    /// Retain the will
    #[arg(long, requires = "will_topic")]
    will_retain: bool,

    // Where any of these is given, TLS is spoken also without -L.
    #[command(flatten)]
    tls: Tls,

    /// Authenticate with SCRAM-SHA-256 instead of sending the password (5.0)
    #[arg(long)]
    scram: bool,

    /// How long to wait for the server before giving up, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    patience: u64,

    #[command(flatten)]
    pub(super) properties: PropertyArgs,
}

impl Connect {
    /// The version to speak.
    pub(super) fn version(&self) -> Version {
        self.protocol_version
    }

    /// The topic in the path of `-L mqtt://HOST/TOPIC`, if there is one.
    pub(super) fn topic(&self) -> Option<&str> {
        self.url.as_deref().and_then(|url| split_topic(url).1)
    }

    /// The client these options describe, on a line to its server. `sends` names what the command will send besides
    /// CONNECT, its will and DISCONNECT; a property for anything else is an error. Must be called inside the runtime.
    pub(super) fn line(
        &self,
        sends: &[Host],
        reconnect: Option<Reconnect>,
        send_maximum: NonZeroU16,
    ) -> anyhow::Result<Line> {
        let own = [Host::Packet(PacketType::Connect), Host::Packet(PacketType::Disconnect)];
        let will = self.will_topic.is_some().then_some(Host::Will);
        let carriers: Vec<Host> = own.into_iter().chain(will).chain(sends.iter().copied()).collect();
        self.properties.check(&carriers, self.protocol_version)?;
        let dialer = self.dialer()?;
        let mut identity = self.identity(&dialer.url)?;
        let scram = self.scram.then(|| identity.username.take().zip(identity.password.take()));
        let options = Arc::new(Options { reconnect, send_maximum, ..self.options()? });
        let clean_start = options.clean_start;
        let mut client = Client::new(options, identity, seed()).context("cannot connect like this")?;
        if !clean_start {
            client = client.with_session(Session::default());
        }
        if let Some(credentials) = scram {
            let (username, password) = credentials.context("--scram proves a password: give -u and -P")?;
            let scram = Box::new(Scram::new(username, password));
            client = client.with_authenticator(scram).context("--scram needs -V 5.0")?;
        }
        let farewell = self.properties.of(Host::Packet(PacketType::Disconnect))?;
        Ok(Line::new(client, dialer, farewell))
    }

    fn dialer(&self) -> anyhow::Result<Dialer> {
        let wants_tls = self.tls.is_asked_for();
        let url = match &self.url {
            Some(url) => split_topic(url).0.parse::<Url>().context("-L")?,
            None => {
                let endpoint = if wants_tls { Endpoint::Tls } else { Endpoint::Tcp };
                let host = self.host.clone().unwrap_or_else(|| "localhost".to_owned());
                let port = self.port.unwrap_or(default_port(endpoint));
                Url { endpoint, username: None, password: None, host, port, path: String::new() }
            }
        };
        if wants_tls && !url.is_secure() {
            bail!("-L {url}: this scheme has no TLS; write mqtts:// or wss://, or leave out the TLS options");
        }
        let tls = url.is_secure().then(|| self.tls.client()).transpose()?;
        Ok(Dialer { url, tls, source: None })
    }

    fn identity(&self, url: &Url) -> anyhow::Result<Identity> {
        let client_id = match &self.id {
            Some(id) => id.clone(),
            None if self.disable_clean_session => {
                bail!("-c keeps the session of a client identifier: give one with -i")
            }
            None if self.protocol_version == Version::V5 => String::new(),
            // 3.1 allows 23 characters; these are 22.
            None => format!("testament-{:012x}", seed() & 0xFFFF_FFFF_FFFF),
        };
        let username = self.username.as_ref().or(url.username.as_ref());
        let password = self.password.as_ref().or(url.password.as_ref());
        let will = match &self.will_topic {
            None => None,
            Some(topic) => {
                Topic::new(topic).with_context(|| format!("--will-topic `{topic}`"))?;
                Some(Box::new(Will {
                    topic: topic.as_str().into(),
                    payload: self.will_payload.clone().unwrap_or_default().into_bytes().into(),
                    qos: self.will_qos,
                    retain: self.will_retain,
                    properties: self.properties.of(Host::Will)?,
                }))
            }
        };
        Ok(Identity {
            client_id: client_id.into(),
            username: username.map(|name| name.as_str().into()),
            password: password.map(|word| word.as_bytes().into()),
            will,
        })
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options {
            version: self.protocol_version,
            clean_start: !self.disable_clean_session,
            session_expiry: if self.disable_clean_session { u32::MAX } else { 0 },
            keep_alive: self.keepalive,
            patience: Duration::from_secs(self.patience),
            ..Options::default()
        };
        for property in self.properties.of(Host::Packet(PacketType::Connect))?.view() {
            match property {
                Property::SessionExpiryInterval(seconds) => options.session_expiry = seconds,
                Property::ReceiveMaximum(number) => {
                    options.receive_maximum =
                        number.try_into().context("`-D connect receive-maximum` is at least 1")?;
                }
                Property::MaximumPacketSize(size) => {
                    options.maximum_packet_size =
                        size.try_into().context("`-D connect maximum-packet-size` is at least 1")?;
                }
                Property::TopicAliasMaximum(number) => options.topic_alias_maximum = number,
                Property::RequestResponseInformation(wanted) => options.request_response_information = wanted == 1,
                Property::RequestProblemInformation(wanted) => options.request_problem_information = wanted == 1,
                Property::UserProperty(..) => options.user_properties.push(property),
                other => bail!("`-D connect`: {} is not for the command line; see --scram", other.id()),
            }
        }
        if let Some(expiry) = self.session_expiry_interval {
            if self.protocol_version != Version::V5 {
                bail!("-x: only 5.0 has a session expiry; leave it out, or use -V 5.0");
            }
            options.session_expiry = expiry;
        }
        Ok(options)
    }
}

/// `mqtt://host/topic` as `mqtt://host` and `topic`; the path of a WebSocket URL is its own.
fn split_topic(url: &str) -> (&str, Option<&str>) {
    let web = ["ws://", "wss://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    let authority = url.find("://").map_or(0, |at| at + 3);
    match url[authority..].split_once('/') {
        Some((host, topic)) if !web => (&url[..authority + host.len()], Some(topic).filter(|topic| !topic.is_empty())),
        _ => (url, None),
    }
}

/// A protocol version, also as mosquitto_pub writes it.
fn version(text: &str) -> Result<Version, String> {
    text.strip_prefix("mqttv").unwrap_or(text).parse()
}

fn expiry(text: &str) -> Result<u32, String> {
    match text {
        "never" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "write a number of seconds from 0 to 4294967295, or `never`".to_owned()),
    }
}

/// A span in seconds, with or without a fraction.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "write a number of seconds, such as 2 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A quality of service.
pub(super) fn qos(text: &str) -> Result<QoS, String> {
    text.parse().ok().and_then(QoS::from_u8).ok_or_else(|| "a quality of service is 0, 1 or 2".to_owned())
}

/// SCRAM-SHA-256 as a method of enhanced authentication.
struct Scram {
    username: Box<str>,
    password: Box<[u8]>,
    exchange: Arc<Mutex<Exchange>>,
}

/// One exchange, and how its slow part went.
struct Exchange {
    scram: scram::Client,
    failure: Option<scram::Failure>,
}

impl Scram {
    fn new(username: Box<str>, password: Box<[u8]>) -> Self {
        let exchange = Self::exchange(&username, &password);
        Self { username, password, exchange }
    }

    fn exchange(username: &str, password: &[u8]) -> Arc<Mutex<Exchange>> {
        Arc::new(Mutex::new(Exchange { scram: scram::Client::new(username, password, &random()), failure: None }))
    }
}

/// Whoever panicked inside has left a whole exchange behind: nothing in it is written half.
fn lock(exchange: &Mutex<Exchange>) -> MutexGuard<'_, Exchange> {
    exchange.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Authenticator for Scram {
    fn method(&self) -> &str {
        scram::METHOD
    }

    fn begin(&mut self) -> Option<Vec<u8>> {
        // A new one, so that work for the last cannot spoil it.
        self.exchange = Self::exchange(&self.username, &self.password);
        Some(lock(&self.exchange).scram.first())
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<Reply, String> {
        let (exchange, challenge) = (Arc::clone(&self.exchange), challenge.to_vec());
        Ok(Reply::Slow(Box::new(move || {
            let mut exchange = lock(&exchange);
            exchange.scram.answer(&challenge).unwrap_or_else(|failure| {
                exchange.failure = Some(failure);
                Vec::new()
            })
        })))
    }

    fn worked(&mut self, result: &[u8]) -> Result<Vec<u8>, String> {
        match lock(&self.exchange).failure {
            Some(failure) => Err(failure.to_string()),
            None => Ok(result.to_vec()),
        }
    }

    fn finish(&mut self, proof: &[u8]) -> Result<(), String> {
        lock(&self.exchange).scram.confirm(proof).map_err(|failure| failure.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_stands_in_the_path_of_plain_urls_only() {
        let check = |url, server, topic| assert_eq!(split_topic(url), (server, topic));
        check("mqtt://h", "mqtt://h", None);
        check("mqtt://h/", "mqtt://h", None);
        check("mqtts://u:p@h:1/a/#", "mqtts://u:p@h:1", Some("a/#"));
        check("mqtt://h//a", "mqtt://h", Some("/a"));
        check("WS://h/mqtt", "WS://h/mqtt", None);
        check("wss://h/a?b", "wss://h/a?b", None);
        check("h/a", "h", Some("a"));
    }

    #[test]
    fn versions_go_by_both_names() {
        let check = |text, expect: Option<Version>| assert_eq!(version(text).ok(), expect, "{text}");
        check("mqttv31", Some(Version::V31));
        check("3.1", Some(Version::V31));
        check("mqttv311", Some(Version::V311));
        check("3.1.1", Some(Version::V311));
        check("mqttv5", Some(Version::V5));
        check("5.0", Some(Version::V5));
        check("mqttv6", None);
        check("", None);
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(expiry("never"), Ok(u32::MAX));
        assert_eq!(expiry("4294967295"), Ok(u32::MAX));
        assert!(expiry("4294967296").is_err() && expiry("-1").is_err());
        assert_eq!(qos("2"), Ok(QoS::ExactlyOnce));
        assert!(qos("3").is_err() && qos("one").is_err());
        assert_eq!(span("0.5"), Ok(Duration::from_millis(500)));
        assert!(span("-1").is_err() && span("soon").is_err() && span("inf").is_err());
    }
}
