//! Who may publish and subscribe to what: ordered rules, the first that applies decides.
//!
//! A rule about subscriptions is sound whatever wildcards are asked for: an allowing rule applies only where it covers
//! everything the requested filter could match, a denying rule already where it overlaps it. Names follow 4.7 of both
//! standards: a wildcard at the first level does not match names that begin with `$`.

use serde::Deserialize;

/// The rules of one server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Asked in order.
    pub rules: Vec<Rule>,
    /// What holds where no rule applies.
    pub otherwise: Effect,
}

impl Default for Policy {
    /// Everything is allowed.
    fn default() -> Self {
        Self { rules: Vec::new(), otherwise: Effect::Allow }
    }
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Effect {
    /// Let it happen.
    Allow,
    /// Refuse it.
    Deny,
}

/// What somebody wants to do with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Act {
    /// Publish to a topic name, also by a will.
    Publish,
    /// Subscribe to a topic filter.
    Subscribe,
}

/// One rule. It applies where all of its fields do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it says.
    pub effect: Effect,
    /// To which act; to both if absent.
    #[serde(default)]
    pub act: Option<Act>,
    /// To the user of this name; to everybody if absent.
    #[serde(default)]
    pub user: Option<String>,
    /// To the client of this identifier; to all if absent.
    #[serde(default)]
    pub client: Option<String>,
    /// To names this filter matches. The levels `%u` and `%c` stand for the user name and the client identifier of who
    /// asks; where one is absent or is not itself a single plain level, allowing rules do not apply and denying ones do.
    pub filter: String,
    /// Only to subscriptions to this very filter, letter by letter, and not to others that overlap it.
    #[serde(default)]
    pub exactly: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker<'a> {
    /// Its user name, once it has been proved.
    pub user: Option<&'a str>,
    /// Its client identifier.
    pub client: &'a str,
}

impl Policy {
    /// Whether `asker` may do this. `name` is a legal topic name to publish to, or a legal topic filter to subscribe to,
    /// without the `$share/group/` of a shared subscription.
    pub fn allows(&self, asker: Asker<'_>, act: Act, name: &str) -> bool {
        let decided = self.rules.iter().find(|rule| rule.applies(asker, act, name));
        decided.map_or(self.otherwise, |rule| rule.effect) == Effect::Allow
    }

    /// Whether everything is allowed to everybody, so that there is no need to ask.
    pub fn is_open(&self) -> bool {
        self.rules.is_empty() && self.otherwise == Effect::Allow
    }
}

impl Rule {
    fn applies(&self, asker: Asker<'_>, act: Act, name: &str) -> bool {
        self.act.is_none_or(|of| of == act)
            && self.user.as_deref().is_none_or(|user| asker.user == Some(user))
            && self.client.as_deref().is_none_or(|client| client == asker.client)
            && if self.exactly { self.filter == name } else { self.reaches(asker, name) }
    }

    fn reaches(&self, asker: Asker<'_>, name: &str) -> bool {
        // 4.7.2: a leading wildcard on either side does not reach names that begin with `$` on the other.
        let wild = |text: &str| text.starts_with(['+', '#']);
        if wild(&self.filter) && name.starts_with('$') || wild(name) && self.filter.starts_with('$') {
            return false;
        }
        let mut asked = name.split('/');
        for level in self.filter.split('/') {
            if level == "#" {
                return true;
            }
            let level = match level {
                "+" => Level::Any,
                "%u" => asker.user.map_or(Level::Unknown, Level::plain),
                "%c" => Level::plain(asker.client),
                text => Level::Text(text),
            };
            let holds = match (asked.next(), self.effect) {
                (Some("#"), effect) => return effect == Effect::Deny,
                (Some("+"), Effect::Allow) => level == Level::Any,
                (Some("+"), Effect::Deny) => true,
                (Some(asked), effect) => match level {
                    Level::Any => true,
                    Level::Text(text) => text == asked,
                    Level::Unknown => effect == Effect::Deny,
                },
                (None, _) => false,
            };
            if !holds {
                return false;
            }
        }
        match asked.next() {
            None => true,
            // `a/#` also matches `a` itself, so it overlaps a rule about `a`.
            Some("#") => self.effect == Effect::Deny,
            Some(_) => false,
        }
    }
}

/// One level of a rule, as it reads for who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level<'a> {
    Any,
    Text(&'a str),
    /// A placeholder that stands for nothing that is safe to compare.
    Unknown,
}

impl<'a> Level<'a> {
    fn plain(name: &'a str) -> Self {
        if name.is_empty() || name.contains(['/', '+', '#']) { Self::Unknown } else { Self::Text(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Asker<'_> = Asker { user: Some("anna"), client: "pump" };

    fn rule(effect: Effect, filter: &str) -> Rule {
        Rule { effect, act: None, user: None, client: None, filter: filter.to_owned(), exactly: false }
    }

    /// Whether a rule of each effect applies to a name: (allowing, denying).
    fn check(asker: Asker<'_>, filter: &str, name: &str, expect: (bool, bool)) {
        let applies = |effect| rule(effect, filter).applies(asker, Act::Subscribe, name);
        assert_eq!((applies(Effect::Allow), applies(Effect::Deny)), expect, "{filter} to {name}");
    }

    #[test]
    fn a_plain_name_is_reached_as_by_any_filter() {
        check(ANNA, "a/b", "a/b", (true, true));
        check(ANNA, "a/b", "a/B", (false, false));
        check(ANNA, "a/b", "a/b/c", (false, false));
        check(ANNA, "a/b", "a", (false, false));
        check(ANNA, "a/+", "a/b", (true, true));
        check(ANNA, "a/+", "a/", (true, true));
        check(ANNA, "a/+", "a", (false, false));
        check(ANNA, "a/#", "a", (true, true));
        check(ANNA, "a/#", "a/b/c", (true, true));
        check(ANNA, "#", "a", (true, true));
        check(ANNA, "#", "$SYS/a", (false, false));
        check(ANNA, "+/a", "$SYS/a", (false, false));
        check(ANNA, "$SYS/#", "$SYS/a", (true, true));
    }

    #[test]
    fn a_filter_is_allowed_when_covered_and_denied_when_touched() {
        check(ANNA, "a/#", "a/+/c", (true, true));
        check(ANNA, "a/#", "a/#", (true, true));
        check(ANNA, "a/+", "a/+", (true, true));
        check(ANNA, "a/+", "a/#", (false, true));
        check(ANNA, "a/b", "a/+", (false, true));
        check(ANNA, "a/b", "+/b", (false, true));
        check(ANNA, "a/b", "#", (false, true));
        check(ANNA, "a/b", "a/b/#", (false, true));
        check(ANNA, "a/b", "a/c/#", (false, false));
        check(ANNA, "a/b", "a/b/+", (false, false));
        check(ANNA, "$SYS/#", "#", (false, false));
        check(ANNA, "$SYS/a", "+/a", (false, false));
        check(ANNA, "#", "$SYS/#", (false, false));
        check(ANNA, "#", "#", (true, true));
    }

    #[test]
    fn placeholders_stand_for_plain_levels_only() {
        check(ANNA, "home/%u/#", "home/anna/door", (true, true));
        check(ANNA, "home/%u/#", "home/bert/door", (false, false));
        check(ANNA, "home/%u/#", "home/+/door", (false, true));
        check(ANNA, "home/%c", "home/pump", (true, true));
        for user in [None, Some(""), Some("+"), Some("#"), Some("a/b")] {
            let sly = Asker { user, client: "#" };
            check(sly, "home/%u/#", "home/anna/door", (false, true));
            check(sly, "home/%u/#", "home/+/door", (false, true));
            check(sly, "home/%c", "home/#", (false, true));
            check(sly, "home/%c", "away/#", (false, false));
        }
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let policy: Policy = ron::from_str(
            r##"(otherwise: Deny, rules: [
                (effect: Deny, act: Some(Subscribe), filter: "test/nosubscribe", exactly: true),
                (effect: Allow, user: Some("root"), filter: "$SYS/#"),
                (effect: Deny, filter: "secret/#", client: Some("pump")),
                (effect: Allow, filter: "#"),
            ])"##,
        )
        .unwrap();
        let check = |user, client, act, name, expect| {
            assert_eq!(policy.allows(Asker { user, client }, act, name), expect, "{user:?} {client} {act:?} {name}");
        };
        check(None, "x", Act::Subscribe, "test/nosubscribe", false);
        check(None, "x", Act::Publish, "test/nosubscribe", true);
        check(None, "x", Act::Subscribe, "#", true);
        check(None, "pump", Act::Subscribe, "#", false);
        check(None, "pump", Act::Publish, "secret/x", false);
        check(None, "x", Act::Publish, "secret/x", true);
        check(Some("root"), "x", Act::Subscribe, "$SYS/uptime", true);
        check(Some("anna"), "x", Act::Subscribe, "$SYS/uptime", false);
        assert!(!policy.is_open());
        assert!(Policy::default().is_open() && Policy::default().allows(ANNA, Act::Publish, "a"));
    }
}
