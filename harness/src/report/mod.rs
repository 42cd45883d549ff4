//! Reports: consumers of what the runner emits, nothing else. They write what they are told to a writer they are given;
//! files, terminals and clocks belong to the caller.

mod chapters;
pub mod compare;
pub mod difference;
pub mod fingerprint;
pub mod html;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod matrix;
pub mod pcap;
pub mod plot;
pub mod steady;
pub mod terminal;
pub mod trace;

/// What every report says of the run as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// The version of this tool.
    pub tool_version: String,
    /// The seed of the run.
    pub seed: u64,
    /// The target, by the name it was asked for.
    pub target: String,
    /// The version the target says it has, where it says one.
    pub target_version: Option<String>,
    /// Where it was reached; `None` in virtual time.
    pub url: Option<String>,
    /// What it makes of the freedoms that the standard leaves it.
    pub fingerprint: Vec<fingerprint::Trait>,
}

impl Heading {
    /// What was judged, with the version it says it has.
    fn judged(&self) -> String {
        [Some(self.target.as_str()), self.target_version.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// How many of something: `1 run`, `2 runs`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::case::{Evidence, Verdict};
    use crate::run::{Done, Report};
    use crate::trace::{Excerpt, Line, Trace};

    /// A result of each verdict, with text that every format must escape.
    pub(crate) fn sample() -> (Heading, Report) {
        let line = |at, dir, packet: &str, hex: &str, len| {
            let (conn, packet, hex) = ("reader".to_owned(), packet.to_owned(), hex.to_owned());
            Line { at, dir, conn, packet, hex, len }
        };
        let evidence = |clauses: &[&'static str]| Evidence {
            clauses: clauses.to_vec(),
            expected: "PUBREC 7".to_owned(),
            came: "nothing <in> 3 s & \"more\"\u{1}".to_owned(),
            trace: Excerpt {
                lines: vec![
                    line(0, "--", "opened: reader, mqtt", "", 0),
                    line(1_000_000, "->", "PUBLISH qos 2 id 7", "34051234", 300),
                ],
                omitted: 0,
            },
        };
        let done = |id: &'static str, protocol, verdict| Done {
            id,
            claim: "it is acknowledged again",
            protocol,
            clauses: vec!["mqtt5:4.3.3-10", "mqtt5:4.4.0-1"],
            verdict,
            duration: Duration::from_micros(1_500),
            trace: Trace::default(),
            in_company: id.starts_with("tls/").then(|| "the canary <fell> silent".to_owned()),
        };
        let results = vec![
            done("qos2/repeat", "3.1.1", Verdict::Pass),
            done("qos2/repeat", "5.0", Verdict::Fail(evidence(&["mqtt5:4.3.3-10"]))),
            done("retain/advises", "5.0", Verdict::Advise(evidence(&["mqtt5:4.4.0-1"]))),
            done("tls/handshake", "5.0", Verdict::Skip("needs a TLS listener".to_owned())),
            done("will/unclear", "5.0", Verdict::Inconclusive(evidence(&[]))),
            done("will/broken", "5.0", Verdict::Broken(evidence(&[]))),
        ];
        let choice = |protocol| fingerprint::Trait {
            name: "overlap",
            question: "a message that two subscriptions match comes in",
            protocol,
            choice: if protocol == "5.0" { "one <copy>" } else { "2 copies" }.to_owned(),
        };
        let heading = Heading {
            tool_version: "0.1.0".to_owned(),
            seed: 7,
            target: "mosquitto".to_owned(),
            target_version: Some("2.0.11".to_owned()),
            url: Some("mqtt://127.0.0.1:1883".to_owned()),
            fingerprint: ["3.1.1", "5.0"].map(choice).to_vec(),
        };
        (heading, Report { results, unplayed: 0, cut_short: None })
    }
}
