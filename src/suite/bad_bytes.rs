//! Bad bytes, row by row: `fixtures/malformed` holds what no client may send, each row with the clause it breaks and what
//! a broker may do about it. Every row is a case like any other; this module reads the rows and plays them.
//!
//! A row is played by an offender, on a connection of its own, beside a canary: another client, which must hear what was
//! published to it before the bad bytes came and what is published after. What bytes alone cannot say, such as a wrong
//! answer to a wrong protocol level, is in [`super::bad_connect`] and [`super::malformed`].

use std::sync::LazyLock;

use harness::case::{Case, Deviation, Outcome, Playable, Stop};
use serde::Deserialize;

use super::bad_connect::{format_error, judged};
use super::expect::{accepted, rejected};
use super::malformed::REASONS;
use super::peer::{Delivery, Peer};
use super::script::{disconnect, publish, pubrec, will};
use super::setting::Login;
use super::supports::Capability::{self, QoS2, Wills};
use super::testbed::{Testbed, about, as_step};
use crate::codec;
use crate::forge::{Forged, field};
use crate::packet::PacketType::{self, PubAck, PubRec, PubRel};
use crate::packet::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::packet::{ReasonCode, Side, Version};
use crate::violation::Refusal;

/// The files, in the order of the standard.
const FILES: [(&str, &str); 11] = [
    ("fixed_header", include_str!("../../fixtures/malformed/fixed_header.ron")),
    ("connect", include_str!("../../fixtures/malformed/connect.ron")),
    ("will", include_str!("../../fixtures/malformed/will.ron")),
    ("publish", include_str!("../../fixtures/malformed/publish.ron")),
    ("acknowledgements", include_str!("../../fixtures/malformed/acknowledgements.ron")),
    ("subscribe", include_str!("../../fixtures/malformed/subscribe.ron")),
    ("unsubscribe", include_str!("../../fixtures/malformed/unsubscribe.ron")),
    ("pingreq", include_str!("../../fixtures/malformed/pingreq.ron")),
    ("disconnect", include_str!("../../fixtures/malformed/disconnect.ron")),
    ("auth", include_str!("../../fixtures/malformed/auth.ron")),
    ("out_of_place", include_str!("../../fixtures/malformed/out_of_place.ron")),
];

/// One row: bytes that no client may send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The id of the case.
    pub id: &'static str,
    /// What a conforming broker does.
    pub claim: &'static str,
    /// The requirements judged. The row is played under every version that one of them binds.
    pub covers: Vec<&'static str>,
    /// A broker that takes the bytes for good sends everybody a message, or holds much memory for them: nothing else may
    /// run beside it.
    #[serde(default)]
    pub alone: bool,
    /// What has happened on the offender's connection.
    #[serde(default)]
    pub before: Before,
    /// What the offender then sends.
    pub bytes: Bytes,
    /// What the broker may do about it.
    #[serde(default)]
    pub legal: Legal,
    /// Reason codes that fit beside those for bad bytes in general: 0x81 and 0x82 in 5.0, none before. A return code of
    /// CONNACK before 5.0 is meant by the reason code that 5.0 has for it.
    #[serde(default)]
    pub reasons: Vec<u8>,
    /// What the broker must be able to do, so that the bytes are wrong for no other reason.
    #[serde(default)]
    pub needs: Option<Capability>,
}

/// The bytes of a row under each version: pairs of hexadecimal digits, text between apostrophes, and names in braces:
/// `{client}` for the offender's client identifier, [`CLIENT_BYTES`] long, and `{id}` for the packet identifier of the
/// message that [`Before`] speaks of. Blanks part fields and mean nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bytes {
    /// Under 3.1, where they differ from those of 3.1.1.
    pub v31: Option<&'static str>,
    /// Under 3.1.1.
    pub v311: Option<&'static str>,
    /// Under 5.0.
    pub v5: Option<&'static str>,
}

/// What has happened on a connection before the bad bytes come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Before {
    /// Nothing: CONNECT is due.
    Opened,
    /// CONNECT and CONNACK.
    #[default]
    Connected,
    /// The same, with a will; it must come, for the bytes are no DISCONNECT.
    WithWill,
    /// The client has got a message at QoS 1, `{id}`, and owes PUBACK.
    PubAckDue,
    /// The client has got a message at QoS 2, `{id}`, and owes PUBREC.
    PubRecDue,
    /// The client has published at QoS 2 with packet identifier 1, has got PUBREC and owes PUBREL.
    PubRelDue,
    /// The client has got a message at QoS 2, `{id}`, and PUBREL for it, and owes PUBCOMP.
    PubCompDue,
}

/// What a broker may do about bad bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Legal {
    /// End the connection. In 5.0 it may say why: by DISCONNECT, or by CONNACK where CONNECT is due.
    #[default]
    Closed,
    /// The same, or a PUBACK for packet identifier 1 with an error code.
    ClosedOrPubAck,
    /// The same, or a PUBREC for packet identifier 1 with an error code.
    ClosedOrPubRec,
    /// Nothing is stated: what does not end the connection is remarked, and no more.
    Unstated,
    /// Anything, such as to wait for the rest of a packet. Only the canary is judged.
    Anything,
}

/// How long the client identifier is that `{client}` stands for, in bytes. Its length goes before it.
pub const CLIENT_BYTES: usize = 13;

/// What the names in the bytes of a row stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// [`CLIENT_BYTES`] letters and digits.
    pub client: String,
    /// A packet identifier.
    pub id: u16,
}

/// Every row, in the order of its file.
pub fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        let rows = FILES.iter().flat_map(|(name, text)| {
            ron::from_str::<Vec<Row>>(text).unwrap_or_else(|error| panic!("fixtures/malformed/{name}.ron:{error}"))
        });
        rows.collect()
    });
    &ROWS
}

/// The rows as cases.
pub(super) fn cases() -> impl Iterator<Item = &'static Case<Testbed>> {
    static CASES: LazyLock<Vec<Case<Testbed>>> = LazyLock::new(|| {
        let case = |row: &'static Row| {
            let case = Case::of(row.id, row).claim(row.claim).covers(&row.covers).bystander();
            if row.alone { case.alone() } else { case }
        };
        rows().iter().map(case).collect()
    });
    CASES.iter()
}

impl Row {
    /// Its bytes under this version; `None` where it has none.
    ///
    /// # Errors
    /// What is no byte, no text and no name, in words.
    pub fn bytes(&self, version: Version, names: &Names) -> Option<Result<Vec<u8>, String>> {
        let Bytes { v31, v311, v5 } = self.bytes;
        let text = match version {
            Version::V31 => v31.or(v311),
            Version::V311 => v311,
            Version::V5 => v5,
        };
        text.map(|text| read(text, names))
    }

    /// The reason codes that fit.
    fn reasons(&self, usual: &[ReasonCode]) -> Vec<ReasonCode> {
        usual.iter().copied().chain(self.reasons.iter().filter_map(|&code| ReasonCode::from_u8(code))).collect()
    }

    /// What the broker may do under this version. 3.1 states no duty to close for violations in general
    /// (mqtt31:diff-028), and recommends it for those of CONNECT (mqtt31:diff-003).
    fn legal(&self, version: Version) -> Legal {
        match self.legal {
            Legal::Anything => Legal::Anything,
            _ if version == Version::V31 => Legal::Unstated,
            legal => legal,
        }
    }

    /// What a broker has accepted that it should not have must not come down on others later: no will with a QoS of 3 and no
    /// message that is stored with one.
    fn take_back(&self, t: &Testbed, offender: &Peer<'_>, bytes: &[u8]) -> Outcome {
        const RETAINED_PUBLISH: u8 = 0x31;
        if bytes.first().is_some_and(|first| first & 0xF1 == RETAINED_PUBLISH) {
            t.remember_retained("t/bad");
        }
        match self.before {
            Before::Opened => offender.send(disconnect()),
            _ => Ok(()),
        }
    }

    /// What came of the offender.
    fn judge(&self, t: &Testbed, offender: &Peer<'_>) -> Outcome {
        let closed = || match self.before {
            Before::Opened => {
                let mut reasons = self.reasons(format_error(t));
                if t.login().is_some() {
                    // Bytes that have no place for the credentials of the run may be refused for that.
                    reasons.extend([ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized]);
                }
                offender.turned_away(&reasons)
            }
            _ => offender.refused(&self.reasons(REASONS)),
        };
        let or = |answer| offender.refused_by(answer, &self.reasons(REASONS)).map(drop);
        match self.legal(t.version()) {
            Legal::Closed => judged(t, closed()),
            Legal::ClosedOrPubAck => or(rejected(PubAck, 1)),
            Legal::ClosedOrPubRec => or(rejected(PubRec, 1)),
            Legal::Unstated => t.advised(closed()),
            Legal::Anything => Ok(()),
        }
    }
}

impl Playable<Testbed> for Row {
    fn play(&self, t: &Testbed) -> Outcome {
        self.needs.map_or(Ok(()), |capability| t.needs(capability))?;
        let canary = Canary::new(t)?;
        let client = format!("{:x<CLIENT_BYTES$}", t.client_id(""));
        let Offender { peer, id, watcher } = self.before.bring_about(t, &client, &canary)?;
        let bytes = self.bytes(t.version(), &Names { client, id });
        let bytes = bytes.unwrap_or_else(|| Err("the row has none under this version".into()));
        let mut bytes = bytes.map_err(|why| Stop::Broken(format!("the bytes of {}: {why}", self.id)))?;
        if let (Before::Opened, Some(login)) = (self.before, t.login()) {
            bytes = logged_in(bytes, t.version(), login);
        }
        canary.told("before")?;
        peer.send_raw(&bytes)?;
        let judged = self.judge(t, &peer);
        self.take_back(t, &peer, &bytes)?;
        canary.told("after")?;
        // What the bad bytes did to others weighs more than what became of the offender.
        canary.has_lost_nothing()?;
        judged?;
        let Some(watcher) = watcher else { return Ok(()) };
        if self.legal(t.version()) != Legal::Unstated {
            return watcher.hears(["offender"]);
        }
        // Whatever the broker made of the bytes, they did not discard the will.
        peer.vanish()?;
        about(t.clause(&["mqtt5:3.1.2-8"]), watcher.hears(["offender"]))
    }
}

/// A client that has nothing to do with the bad bytes.
struct Canary<'t> {
    peer: Peer<'t>,
    qos: QoS,
}

impl<'t> Canary<'t> {
    /// Connects, subscribes, and has got a message: whoever serves it serves somebody.
    fn new(t: &'t Testbed) -> Result<Self, Stop> {
        let qos = if t.supports().carries(AtLeastOnce) { AtLeastOnce } else { AtMostOnce };
        let canary = Self { peer: t.join("canary")?.patient(), qos };
        canary.peer.subscribe("canary", qos)?;
        canary.peer.publish(publish("canary", "sings").at(qos, 0))?;
        as_step("the canary's own message", canary.peer.hears(["sings"]))?;
        Ok(canary)
    }

    /// Publishes a message to itself and leaves it for later.
    fn told(&self, payload: &str) -> Result<(), Stop> {
        let told = self.peer.publish(publish("canary", payload).at(self.qos, 0));
        told.map_err(|stop| self.harmed(stop))
    }

    /// It hears what it was told.
    fn has_lost_nothing(&self) -> Outcome {
        self.peer.hears(["before", "after"]).map_err(|stop| self.harmed(stop))
    }

    /// What does not work any more did before the bad bytes came: these, or a neighbour's.
    fn harmed(&self, stop: Stop) -> Stop {
        let came = match stop {
            Stop::Deviation(Deviation { came, .. }) | Stop::Inconclusive(came) => came,
            other => return other,
        };
        Stop::Harm(Deviation {
            clause: self.peer.testbed().clause(&["mqtt5:ext-229", "mqtt311:ext-104"]),
            expected: "another client, the canary, served as before".into(),
            came,
        })
    }
}

/// Who will send the bad bytes.
struct Offender<'t> {
    peer: Peer<'t>,
    /// The packet identifier of its message; 0 where there is none.
    id: u16,
    /// Who waits for its will.
    watcher: Option<Peer<'t>>,
}

impl Before {
    /// An offender in this state.
    fn bring_about<'t>(self, t: &'t Testbed, client: &str, canary: &Canary<'t>) -> Result<Offender<'t>, Stop> {
        let connect = t.connect("offender").client_id(client);
        let mut watcher = None;
        let peer = match self {
            Self::Opened => t.dial("offender")?,
            Self::WithWill => {
                t.needs(Wills)?;
                watcher.insert(t.join("watcher")?).subscribe("gone", AtMostOnce)?;
                t.join_with("offender", &connect.will(will("gone", "offender")))?
            }
            _ => t.join_with("offender", &connect)?,
        };
        let delivered = |qos| -> Result<u16, Stop> {
            peer.subscribe("bell", qos)?;
            canary.peer.publish(publish("bell", "rings").at(qos, 0))?;
            let Delivery { id, .. } = as_step("the delivery", peer.delivery("a message to acknowledge"))?;
            Ok(id)
        };
        let id = match self {
            Self::Opened | Self::Connected | Self::WithWill => 0,
            Self::PubAckDue => delivered(AtLeastOnce)?,
            Self::PubRecDue => delivered(ExactlyOnce)?,
            Self::PubRelDue => {
                t.needs(QoS2)?;
                peer.send(publish("bell", "rings").exactly_once(1))?;
                as_step("publishing", peer.expect(accepted(PubRec, 1)))?;
                1
            }
            Self::PubCompDue => {
                let id = delivered(ExactlyOnce)?;
                peer.send(pubrec(id))?;
                as_step("the delivery", peer.expect(accepted(PubRel, id)))?;
                id
            }
        };
        Ok(Offender { peer, id, watcher })
    }
}

/// This CONNECT with these credentials at its end, where that leaves wrong what is wrong; anything else as it is.
fn logged_in(bytes: Vec<u8>, version: Version, login: &Login) -> Vec<u8> {
    const BOTH: u8 = 0xC0;
    let flaw = |bytes: &[u8]| codec::decode(bytes, version, Side::Client).err().map(Refusal::rule);
    // The flags stand behind the protocol name, with its length, and the level.
    let flags_at = 2 + version.protocol_name().len() + 1;
    let is_connect = bytes.first().is_some_and(|first| first >> 4 == PacketType::Connect as u8);
    let Some(flags) = bytes.get(2 + flags_at).copied().filter(|flags| is_connect && flags & BOTH == 0) else {
        return bytes;
    };
    // What cannot be cut into a frame has no end to put them to.
    let Ok(Some(length)) = codec::frame::frame_len(&bytes, codec::frame::MAX_FRAME) else { return bytes };
    if length != bytes.len() {
        return bytes;
    }
    let more = [field(login.username.as_bytes()), field(&login.password)].concat();
    let logged_in = Forged::from_frame(&bytes).patch(flags_at, &[flags | BOTH]).append(&more).bytes();
    if flaw(&logged_in) == flaw(&bytes) { logged_in } else { bytes }
}

/// The bytes that `text` writes down.
fn read(text: &str, names: &Names) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = match first {
            '\'' => {
                let (quoted, after) = rest[1..].split_once('\'').ok_or("a text without its second apostrophe")?;
                bytes.extend_from_slice(quoted.as_bytes());
                after
            }
            _ => {
                let (word, after) = rest.split_at(rest.find([' ', '\'']).unwrap_or(rest.len()));
                match word {
                    "{client}" => bytes.extend_from_slice(names.client.as_bytes()),
                    "{id}" => bytes.extend_from_slice(&names.id.to_be_bytes()),
                    _ => {
                        let digits = word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
                        let byte = u8::from_str_radix(word, 16).ok().filter(|_| digits);
                        bytes.push(byte.ok_or_else(|| format!("`{word}` is no byte, no text and no name"))?);
                    }
                }
                after
            }
        };
        rest = after.trim_start();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_where_they_mend_nothing() {
        fn check(id: &str, expect: bool) {
            let row = rows().iter().find(|row| row.id == id).unwrap();
            let names = Names { client: "c".repeat(CLIENT_BYTES), id: 1 };
            let bytes = row.bytes(Version::V5, &names).unwrap().unwrap();
            let login = Login { username: "u".into(), password: b"p".into() };
            let logged_in = logged_in(bytes.clone(), Version::V5, &login);
            assert_eq!(logged_in.ends_with(b"\0\x01u\0\x01p"), expect, "{id}");
            assert_eq!(logged_in == bytes, !expect, "{id}");
        }
        check("connect/reserved-flag", true);
        check("connect/with-topic-alias", true);
        check("connect/will-qos-3", true);
        check("connect/user-name-missing", false);
        check("connect/client-identifier-missing", false);
        check("connect/of-no-bytes", false);
        check("connect/pingreq-must-not-come-first", false);
        check("malformed/connect-of-half-a-length", false);
        check("malformed/connect-one-byte-short", false);
    }

    #[test]
    fn bytes_are_written_as_digits_text_and_names() {
        fn check(text: &str, expect: Result<&[u8], &str>) {
            let names = Names { client: "who".into(), id: 0x1234 };
            let expect = expect.map(<[u8]>::to_vec).map_err(str::to_owned);
            assert_eq!(read(text, &names), expect, "{text}");
        }
        check("", Ok(b""));
        check("C0 00", Ok(b"\xC0\0"));
        check("30 05  00 03'a b'", Ok(b"\x30\x05\0\x03a b"));
        check("40 02  {id}", Ok(b"\x40\x02\x12\x34"));
        check("00 03 {client}", Ok(b"\0\x03who"));
        check("C", Err("`C` is no byte, no text and no name"));
        check("C0FF", Err("`C0FF` is no byte, no text and no name"));
        check("XY", Err("`XY` is no byte, no text and no name"));
        check("+1", Err("`+1` is no byte, no text and no name"));
        check("'a", Err("a text without its second apostrophe"));
    }
}
