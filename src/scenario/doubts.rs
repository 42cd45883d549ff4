//! What is legal in a scenario and probably not meant: a subscription to which nobody in the fleet ever writes, and a calm
//! that is too short for what must come in it.
//!
//! It is no mistake where somebody outside of the fleet writes there, as may be on a live target, so a run does not end for
//! it. A calm that is too short leaves promises unproven. Whatever gaps leave open is taken for a match: what is told here is certain.

use std::time::Duration;

use harness::fault::Fault;
use harness::link::{Nat, Sleep};

use super::check::Problem;
use super::places::Places;
use super::plan::{Duty, Expectation, Group, Happening, Moment, Plan};
use super::template::{ANYTHING, EVERYTHING, Template};

/// What a scenario says that `plan` was made of and that comes to nothing, in the order of the places.
pub fn doubts(text: &str, plan: &Plan) -> Vec<Problem> {
    let written = written(plan);
    let places = Places::of(text);
    let mut doubts = Vec::new();
    for (number, group) in plan.groups.iter().enumerate() {
        if let Some(why) = too_short(plan, number) {
            doubts.push(Problem { place: places.at(&format!("fleet[{number}]")), why });
        }
        for (place, duty) in group.does.iter().enumerate() {
            let (field, filter, what) = match duty {
                Duty::Listen { filter, .. } => ("filter", filter, "writes to"),
                Duty::Answer { filter, .. } => ("filter", filter, "asks at"),
                Duty::Ask { answer, .. } => ("answer", answer, "answers at"),
                Duty::Publish(_) => continue,
            };
            let target = if matches!(duty, Duty::Ask { of: Some(_), .. }) { "+" } else { "" };
            let shape = shape(filter, group, target);
            let shape = shape.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(&*shape, |it| it.1);
            // The server itself writes to what begins like this.
            if shape.starts_with('$') || written.iter().any(|topic| may_match(shape, topic)) {
                continue;
            }
            let shown = shape.replace(ANYTHING, "*");
            let why = format!(
                "nobody in the fleet {what} `{shown}`: unless somebody outside does, nothing will ever come; compare it with the topics of the groups"
            );
            let place = places.at(&format!("fleet[{number}].does[{place}].{field}"));
            doubts.push(Problem { place, why });
        }
    }
    doubts.sort_by_key(|doubt| doubt.place);
    doubts
}

/// Why what a group must hear may still be under way when the calm ends; nothing if it must hear nothing, or the calm lasts.
fn too_short(plan: &Plan, number: usize) -> Option<String> {
    let Plan { groups, timeline, lasts, calm, expect, .. } = plan;
    let Group { name, link, keep_alive, does, .. } = &groups[number];
    let owes = |it: &Expectation| matches!(it, Expectation::NoLoss(..) | Expectation::WillsExact);
    if !expect.iter().any(owes) || does.iter().all(|duty| matches!(duty, Duty::Publish(_))) {
        return None;
    }
    let keep_alive = Duration::from_secs((*keep_alive).into());
    let or_for_ever = |span: Duration| if span.is_zero() { Duration::MAX } else { span };
    let cycle = link.sleep.as_ref().map(|(Sleep::Edrx { cycle, .. } | Sleep::Psm { cycle, .. })| cycle.0);
    // A ping wakes the device as well.
    if let Some(silent) = cycle.map(|cycle| cycle.min(or_for_ever(keep_alive))).filter(|silent| silent > calm) {
        return Some(format!(
            "`{name}` sleeps for up to {silent:?}, longer than the calm of {calm:?}: what is for it may still be under way in the end; make the calm longer"
        ));
    }
    let missed = or_for_ever(keep_alive).saturating_mul(3) / 2;
    let end = *lasts + *calm;
    // What the network forgets shows at the next ping, if there is one.
    let forgets = |nat: &Nat| !nat.reset && nat.idle.iter().any(|(weight, idle)| *weight > 0.0 && idle.0 < end);
    let half_opens = |it: &Moment| {
        matches!(it.what, Happening::Link { group, fault: Fault::HalfOpen, .. } if group == number)
            && it.at.saturating_add(missed) > end
    };
    let silent = timeline.iter().any(half_opens) || keep_alive.is_zero() && link.nat.as_ref().is_some_and(forgets);
    if !silent {
        return None;
    }
    Some(if keep_alive.is_zero() {
        format!(
            "with keep alive 0 nobody misses a connection of `{name}` that ends without a word, and what is for it stays under way; give it a keep alive"
        )
    } else {
        format!(
            "a connection of `{name}` that ends without a word is missed after one and a half keep alives, {missed:?}, and that is after the end: what is for it may still be under way then; make the calm longer, or the keep alive shorter"
        )
    })
}

/// The topics that the fleet writes to.
fn written(plan: &Plan) -> Vec<String> {
    let mut written = Vec::new();
    for group in &plan.groups {
        for duty in &group.does {
            match duty {
                Duty::Publish(publish) => written.push(shape(&publish.topic, group, "")),
                Duty::Answer { topic, .. } => written.push(shape(topic, group, "")),
                Duty::Ask { topic, of, .. } => {
                    let target =
                        of.map(|of| shape(&plan.groups[of].client_id, &plan.groups[of], "")).unwrap_or_default();
                    written.push(shape(topic, group, &target));
                }
                Duty::Listen { .. } => {}
            }
        }
        written.extend(group.will.as_ref().map(|will| shape(&will.topic, group, "")));
    }
    written
}

/// What all devices of a group fill it with alike, and [`ANYTHING`] for the rest.
fn shape(template: &Template, group: &Group, target: &str) -> String {
    let id = group.client_id.shape("", &group.name, "");
    template.shape(&id, &group.name, target)
}

/// Whether a filter may match a topic.
fn may_match(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            // A `#` may have matched so many levels, of which any can stand here.
            (_, Some(level)) if level.contains(EVERYTHING) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || may_be_equal(wanted, level) => {}
            _ => return false,
        }
    }
}

/// Whether two levels can be the same once their gaps are filled: what stands before the first and behind the last must fit.
fn may_be_equal(one: &str, other: &str) -> bool {
    let ends = |text: &str| Some((text.split(ANYTHING).next()?.to_owned(), text.rsplit(ANYTHING).next()?.to_owned()));
    let open = |text: &str| text.contains(ANYTHING);
    let (Some((begin, end)), Some((start, finish))) = (ends(one), ends(other)) else { return true };
    let fits = |fixed: &str, begin: &str, end: &str| {
        fixed.len() >= begin.len() + end.len() && fixed.starts_with(begin) && fixed.ends_with(end)
    };
    match (open(one), open(other)) {
        (false, false) => one == other,
        (true, false) => fits(other, &begin, &end),
        (false, true) => fits(one, &start, &finish),
        (true, true) => {
            (begin.starts_with(&start) || start.starts_with(&begin))
                && (end.ends_with(&finish) || finish.ends_with(&end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The doubts about a fleet of devices with these duties beside a writer of `a/{id}`, `b/c/{n}/d` and the will `gone/{id}`.
    #[track_caller]
    fn check(duty: &str, expect: Option<&str>) {
        let text = format!(
            r#"Scenario(about: "a test", lasts: "1m", fleet: [
            (name: "w", count: 3, will: (topic: "gone/{{id}}"), does: [
                Publish(topic: "a/{{id}}", every: "1s"), Publish(topic: "b/c/{{n}}/d", every: "1s"),
            ]),
            (name: "r", count: 2, client_id: "r{{n}}x", does: [
                {duty},
            ])])"#
        );
        let plan = crate::scenario::check(&text, &[]).expect("a legal scenario");
        let found: Vec<_> = doubts(&text, &plan).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), usize::from(expect.is_some()), "{duty}: {found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.starts_with("6:") && found.contains(expect), "{found}");
        }
    }

    #[test]
    fn a_subscription_to_which_nobody_writes_is_doubted() {
        let listen =
            |filter: &str, expect: Option<&str>| check(&format!("Listen(filter: \"{filter}\", qos: 1)"), expect);
        for heard in
            ["a/+", "a/w-7", "+/+", "#", "a/w-7/#", "b/c/2/d", "b/+/+/d", "b/#", "gone/+", "$SYS/#", "$share/x/a/+"]
        {
            listen(heard, None);
        }
        for unheard in ["a", "a/+/b", "a/v-7", "a/w", "b/c/2/e", "b/d/#", "c/#", "gone", "A/+", "/a/+"] {
            listen(unheard, Some(&format!("nobody in the fleet writes to `{unheard}`")));
        }
        listen("$share/x/c", Some("writes to `c`"));
        listen("a/{id}", Some("6:32: nobody in the fleet writes to `a/r*x`"));
    }

    #[test]
    fn a_calm_is_doubted_that_is_too_short_for_what_must_be_heard_in_it() {
        #[track_caller]
        fn check(link: &str, keep_alive: &str, calm: &str, moment: &str, expect: Option<&str>) {
            let text = format!(
                r#"Scenario(about: "a test", lasts: "1h", calm: "{calm}", links: {{ "it": Link({link}) }}, fleet: [
                (name: "r", count: 1, link: "it", keep_alive: "{keep_alive}", does: [Listen(filter: "a", qos: 1)]),
                (name: "w", count: 1, link: "it", keep_alive: "{keep_alive}", does: [Publish(topic: "a", every: "1s")]),
                ], timeline: [{moment}], expect: [NoLoss()])"#
            );
            let plan = crate::scenario::check(&text, &[]).expect("a legal scenario");
            let found: Vec<_> = doubts(&text, &plan).iter().map(ToString::to_string).collect();
            assert_eq!(found.len(), usize::from(expect.is_some()), "{found:?}");
            assert!(expect.is_none_or(|expect| found[0].contains(expect)), "{found:?}");
        }
        let psm = "sleep: Psm(after: \"10s\", cycle: \"2h\")";
        check(psm, "4h", "2m", "", Some("`r` sleeps for up to 7200s"));
        check(psm, "1m", "2m", "", None);
        check(psm, "4h", "2h", "", None);
        check("sleep: Edrx(after: \"10s\", cycle: \"40s\")", "0s", "30s", "", Some("40s"));
        let half_open = "At(\"59m\", HalfOpen(group: \"r\"))";
        check("", "1m", "30s", half_open, None);
        check("", "1m", "29s", half_open, Some("after one and a half keep alives, 90s"));
        check("", "0s", "29s", half_open, Some("with keep alive 0"));
        check("", "1m", "29s", "At(\"59m\", HalfOpen(group: \"w\"))", None);
        check("nat: \"30s\"", "1m", "29s", "", None);
        check("nat: \"30s\"", "0s", "29s", "", Some("with keep alive 0"));
        check("nat: \"30s\", nat_resets: true", "0s", "29s", "", None);
        check("nat: \"2h\"", "0s", "29s", "", None);
    }

    #[test]
    fn questions_and_answers_count_as_written() {
        let ask = "Ask(topic: \"q/{target}\", answer: \"s/{target}/{id}\", of: \"r\", qos: 1, every: \"5s\")";
        check(ask, Some("answers at `s/+/r*x`"));
        check(
            &format!("{ask}, Answer(filter: \"q/{{id}}\", topic: \"s/{{id}}/{{1}}\", qos: 1)").replace("{1}", "r1x"),
            None,
        );
        check("Answer(filter: \"q/+\", topic: \"s/{1}\", qos: 1)", Some("asks at `q/+`"));
        check("Answer(filter: \"a/#\", topic: \"s/{1}\", qos: 1), Listen(filter: \"s/x/y\", qos: 0)", None);
    }

    #[test]
    fn levels_may_be_equal_where_what_is_fixed_fits() {
        fn check(one: &str, other: &str, expect: bool) {
            let (one, other) = (one.replace('*', "\0"), other.replace('*', "\0"));
            assert_eq!(may_be_equal(&one, &other), expect, "{one:?} {other:?}");
            assert_eq!(may_be_equal(&other, &one), expect, "{other:?} {one:?}");
        }
        check("a", "a", true);
        check("a", "ab", false);
        check("*", "", true);
        check("a*b", "ab", true);
        check("ab*bc", "abc", false);
        check("a*b", "axb", true);
        check("a*b", "axc", false);
        check("a*", "ab*c", true);
        check("a*", "b*", false);
        check("*a", "*ba", true);
        check("*a", "*b", false);
    }
}
