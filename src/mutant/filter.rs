//! Mutants of what topic filters match, and which of them are legal (4.7 and 4.8.2 of 5.0, 4.7 of 3.1.1).

use super::Mutant;
use super::change::{heard_names, unsaid};
use super::subscribe::granting;
use crate::packet::Packet;
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("does-not-match-the-parent-with-a-hash", &["mqtt5:ext-197", "mqtt311:ext-095"], || {
            heard_names(|_, name| match name.strip_suffix("/#") {
                Some(parent) => format!("{parent}/+/#"),
                None => name.into(),
            })
        }),
        Mutant::seam("matches-one-level-with-a-hash", &["mqtt5:ext-197", "mqtt311:ext-095"], || {
            heard_names(|_, name| name.strip_suffix('#').map_or(name.into(), |parent| format!("{parent}+")))
        }),
        Mutant::seam("matches-several-levels-with-a-plus", &["mqtt5:ext-198", "mqtt311:ext-096"], || {
            heard_names(|_, name| name.strip_suffix('+').map_or(name.into(), |parent| format!("{parent}#")))
        }),
        Mutant::seam("matches-no-empty-level", &["mqtt5:ext-199", "mqtt5:ext-198", "mqtt311:ext-096"], || {
            unsaid(|packet| matches!(packet, Packet::Publish(publish) if publish.topic.split('/').any(str::is_empty)))
        }),
        Mutant::seam("grants-a-misplaced-hash", &["mqtt5:4.7.1-1", "mqtt311:4.7.1-2", "mqtt311:ext-068"], || {
            granting(|filter| {
                filter.find('#').is_some_and(|at| at + 1 != filter.len() || (at > 0 && !filter.ends_with("/#")))
            })
        }),
        Mutant::seam("grants-a-misplaced-plus", &["mqtt5:4.7.1-2", "mqtt311:4.7.1-3", "mqtt311:ext-068"], || {
            granting(|filter| filter.split('/').any(|level| level.len() > 1 && level.contains('+')))
        }),
        Mutant::seam("grants-an-empty-filter", &["mqtt5:4.7.3-1", "mqtt311:4.7.3-1"], || granting(str::is_empty)),
        Mutant::seam("grants-an-empty-share-name", &["mqtt5:4.8.2-1"], || {
            granting(|filter| filter.starts_with("$share//"))
        }),
        Mutant::seam("grants-a-share-name-with-a-wildcard", &["mqtt5:4.8.2-2"], || {
            granting(|filter| {
                let name = filter.strip_prefix("$share/").and_then(|rest| rest.split('/').next());
                name.is_some_and(|name| name.contains(['+', '#']))
            })
        }),
        Mutant::seam("grants-a-share-without-a-filter", &["mqtt5:4.8.2-2"], || {
            granting(|filter| {
                filter
                    .strip_prefix("$share/")
                    .is_some_and(|rest| rest.split_once('/').is_none_or(|(_, rest)| rest.is_empty()))
            })
        }),
    ]
    .into_iter()
}
