//! `-F FORMAT`: how `testament sub` prints a message.

#![expect(clippy::disallowed_types, reason = "messages are printed with the time of day")]

use std::fmt::Write as _;
use std::time::SystemTime;

use crate::client::Message;
use crate::packet::{Property, Publish};

/// A format, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(char),
}

/// The fields, as the help and error messages list them.
pub(super) const FIELDS: &str = "%t topic, %p payload, %x payload in hexadecimal (%X in capitals), %j message as JSON, \
%l payload length, %q QoS, %r retain flag, %d DUP flag, %U Unix time, %I time of day in UTC; of 5.0: %A topic alias, \
%C content type, %D correlation data, %E message expiry, %F payload format, %P user properties, %R response topic, \
%S subscription identifiers; %% a percent sign, \\n \\r \\t \\0 \\e \\a \\v \\\\";

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = vec![Piece::Text(String::new())];
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            let plain = match c {
                '%' => match rest.next() {
                    Some('%') => '%',
                    Some(field) if "tpxXjlqrdUIACDEFPRS".contains(field) => {
                        pieces.extend([Piece::Field(field), Piece::Text(String::new())]);
                        continue;
                    }
                    Some(other) => return Err(format!("`%{other}` is unknown; there are {FIELDS}")),
                    None => return Err("ends in a single `%`; write `%%` for a percent sign".to_owned()),
                },
                '\\' => match rest.next() {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('0') => '\0',
                    Some('e') => '\u{1b}',
                    Some('a') => '\u{7}',
                    Some('v') => '\u{b}',
                    Some('\\') => '\\',
                    Some(other) => return Err(format!("`\\{other}` is unknown; there are {FIELDS}")),
                    None => return Err("ends in a single `\\`; write `\\\\` for a backslash".to_owned()),
                },
                c => c,
            };
            if let Some(Piece::Text(text)) = pieces.last_mut() {
                text.push(plain);
            }
        }
        Ok(Self(pieces))
    }
}

impl Format {
    /// The payload alone, or the topic before it.
    pub(super) fn plain(verbose: bool) -> Self {
        let space = Piece::Text(" ".to_owned());
        let payload = Piece::Field('p');
        Self(if verbose { vec![Piece::Field('t'), space, payload] } else { vec![payload] })
    }

    /// Appends `message`, which arrived `at` this time of day.
    pub(super) fn write(&self, message: &Message, at: SystemTime, out: &mut Vec<u8>) {
        let publish = message.publish();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend(text.as_bytes()),
                Piece::Field('p') => out.extend(publish.payload),
                Piece::Field('D') => out.extend(publish.properties.correlation_data().unwrap_or_default()),
                Piece::Field(field) => out.extend(words(*field, &publish, at).as_bytes()),
            }
        }
    }
}

/// The present time of day.
#[expect(clippy::disallowed_methods, reason = "messages are printed with the time of day")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

fn words(field: char, publish: &Publish<'_>, at: SystemTime) -> String {
    let said = publish.properties;
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    match field {
        't' => publish.topic.to_owned(),
        'x' => hex(publish.payload),
        'X' => hex(publish.payload).to_uppercase(),
        'j' => json(publish, at).to_string(),
        'l' => publish.payload.len().to_string(),
        'q' => (publish.qos as u8).to_string(),
        'r' => u8::from(publish.retain).to_string(),
        'd' => u8::from(publish.dup).to_string(),
        'U' => {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
        }
        'I' => humantime::format_rfc3339_seconds(at).to_string(),
        'A' => number(said.topic_alias().map(u32::from)),
        'C' => said.content_type().unwrap_or_default().to_owned(),
        'E' => number(said.message_expiry_interval()),
        'F' => number(said.payload_format_indicator().map(u32::from)),
        'P' => said.user_properties().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(" "),
        'R' => said.response_topic().unwrap_or_default().to_owned(),
        'S' => said.subscription_identifiers().map(|id| id.to_string()).collect::<Vec<_>>().join(" "),
        _ => unreachable!("a format has no other fields"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The message as one JSON object. A payload that is not UTF-8 becomes an array of bytes.
fn json(publish: &Publish<'_>, at: SystemTime) -> serde_json::Value {
    let payload: serde_json::Value = match std::str::from_utf8(publish.payload) {
        Ok(text) => text.into(),
        Err(_) => publish.payload.into(),
    };
    let mut object = serde_json::json!({
        "tst": humantime::format_rfc3339_micros(at).to_string(),
        "topic": publish.topic,
        "qos": publish.qos as u8,
        "retain": u8::from(publish.retain),
        "payloadlen": publish.payload.len(),
        "payload": payload,
    });
    let mut properties = serde_json::Map::new();
    let mut user = Vec::new();
    for property in publish.properties {
        let (name, value) = match property {
            Property::PayloadFormatIndicator(value) => ("payload-format-indicator", value.into()),
            Property::MessageExpiryInterval(value) => ("message-expiry-interval", value.into()),
            Property::ContentType(value) => ("content-type", value.into()),
            Property::ResponseTopic(value) => ("response-topic", value.into()),
            Property::CorrelationData(value) => {
                ("correlation-data", String::from_utf8_lossy(value).into_owned().into())
            }
            Property::SubscriptionIdentifier(value) => ("subscription-identifier", value.into()),
            Property::TopicAlias(value) => ("topic-alias", value.into()),
            Property::UserProperty(name, value) => {
                user.push(serde_json::json!({ name: value }));
                continue;
            }
            // No other property stands in a PUBLISH.
            _ => continue,
        };
        properties.insert(name.to_owned(), value);
    }
    if !user.is_empty() {
        properties.insert("user-properties".to_owned(), user.into());
    }
    if !properties.is_empty() {
        object["properties"] = properties.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Properties, PropertyBuf, QoS};

    fn written(format: &str, publish: &Publish<'_>) -> String {
        let mut out = Vec::new();
        let message = Message::new(publish.topic, publish);
        format.parse::<Format>().unwrap().write(&message, SystemTime::UNIX_EPOCH, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_has_its_words() {
        let list = [
            Property::ContentType("text"),
            Property::UserProperty("a", "b"),
            Property::UserProperty("c", "d"),
            Property::MessageExpiryInterval(9),
            Property::CorrelationData(b"cd"),
        ];
        let list = list.into_iter().fold(PropertyBuf::new(), PropertyBuf::with);
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "a/b",
            packet_id: None,
            properties: list.view(),
            payload: b"x\xc3\xa9",
        };
        let check = |format: &str, expect: &str| assert_eq!(written(format, &publish), expect);
        check("%t %p", "a/b xé");
        check("%q%r%d %l %x %X", "110 3 78c3a9 78C3A9");
        check("%C|%P|%E|%D|%A|%S|%R|%F", "text|a:b c:d|9|cd||||");
        check("%U %I", "0.000000000 1970-01-01T00:00:00Z");
        check("100%%\\t\\\\", "100%\t\\");
        check(
            "%j",
            "{\"payload\":\"xé\",\"payloadlen\":3,\"properties\":{\"content-type\":\"text\",\"correlation-data\":\"cd\",\
             \"message-expiry-interval\":9,\"user-properties\":[{\"a\":\"b\"},{\"c\":\"d\"}]},\"qos\":1,\"retain\":1,\
             \"topic\":\"a/b\",\"tst\":\"1970-01-01T00:00:00.000000Z\"}",
        );
        let binary = Publish { payload: b"\xff", properties: Properties::EMPTY, ..publish };
        assert!(written("%j", &binary).contains("\"payload\":[255]"));
    }

    #[test]
    fn what_is_unknown_is_named() {
        let check = |format: &str, expect: &str| {
            let why = format.parse::<Format>().expect_err(format);
            assert!(why.contains(expect), "{why}");
        };
        check("%y", "`%y` is unknown; there are %t topic");
        check("\\q", "`\\q` is unknown");
        check("%", "single `%`");
        check("\\", "single `\\`");
    }
}
