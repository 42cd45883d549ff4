//! What the broker tells of itself below `$SYS/broker/`: at once to who subscribes, and then at intervals as long as
//! somebody does.

use std::time::Duration;

use super::Broker;
use super::message::{Draft, Message};
use super::timers::Owner;
use crate::packet::{Properties, QoS};
use crate::topic::{Filter, Topic};

/// What has happened since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// PUBLISH from clients.
    pub(super) received: u64,
    /// PUBLISH to clients, repeats not counted.
    pub(super) sent: u64,
    /// Copies that found a queue full or a session without a connection.
    pub(super) dropped: u64,
}

impl Broker {
    /// Each topic with its value now.
    fn report(&self) -> [(&'static str, String); 9] {
        [
            ("$SYS/broker/version", concat!("testament ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("$SYS/broker/uptime", format!("{} seconds", self.now.since(self.started).as_secs())),
            ("$SYS/broker/clients/connected", self.connections.len().to_string()),
            ("$SYS/broker/clients/total", self.sessions.len().to_string()),
            ("$SYS/broker/subscriptions/count", self.subscriptions.len().to_string()),
            ("$SYS/broker/retained messages/count", self.retained.len().to_string()),
            ("$SYS/broker/messages/received", self.counters.received.to_string()),
            ("$SYS/broker/messages/sent", self.counters.sent.to_string()),
            ("$SYS/broker/messages/dropped", self.counters.dropped.to_string()),
        ]
    }

    /// The messages a new subscription to `filter` brings. From now on there are reports.
    pub(super) fn watch(&mut self, filter: Filter<'_>) -> Vec<Message> {
        let interval = self.settings.behaviour.limits.report_interval;
        if interval == 0 {
            return Vec::new();
        }
        if self.report_alarm.is_none() {
            let next = self.now + Duration::from_secs(interval.into());
            self.timers.set(Owner::Report, &mut self.report_alarm, Some(next));
        }
        let values = self.report();
        let matching = values.iter().filter_map(|(topic, value)| {
            let draft = draft(topic, value)?;
            filter.matches(draft.topic).then(|| Message::new(&draft, self.now, &mut Vec::new()))
        });
        matching.collect()
    }

    /// A report is due. The last one that nobody heard is the last.
    pub(super) fn handle_report_due(&mut self) {
        self.report_alarm = None;
        let values = self.report();
        let drafts = values.iter().filter_map(|(topic, value)| draft(topic, value));
        let heard = drafts.fold(false, |heard, draft| self.route(&draft, None) | heard);
        if heard {
            let next = self.now + Duration::from_secs(self.settings.behaviour.limits.report_interval.into());
            self.timers.set(Owner::Report, &mut self.report_alarm, Some(next));
        }
    }
}

fn draft<'a>(topic: &'a str, value: &'a str) -> Option<Draft<'a>> {
    let (qos, payload) = (QoS::AtMostOnce, value.as_bytes());
    Some(Draft { topic: Topic::new(topic).ok()?, qos, retain: false, properties: Properties::EMPTY, payload })
}
