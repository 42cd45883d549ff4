//! What a message says: bytes that mean nothing, or an object whose values change as those of a device do.

use std::collections::BTreeMap;

use harness::rng::Draws;

use super::tag::{FIELD, Tag};
use crate::scenario::plan::Publish;
use crate::scenario::schema::Field;
use crate::scenario::template::{Names, Template};

/// Writes the payload of the message with this `tag` into `out`, which it empties first. `draws` belong to the device
/// and duty alone.
pub(super) fn write(out: &mut Vec<u8>, publish: &Publish, tag: &Tag, names: &Names<'_>, draws: &Draws) {
    out.clear();
    let (least, most) = publish.size;
    let place = u64::from(tag.sequence);
    let size = least as usize + (draws.at(place) * f64::from(most - least + 1)) as usize;
    if publish.fields.is_empty() {
        out.extend_from_slice(&tag.bytes());
    } else {
        let text = object(&publish.fields, tag, names, draws).to_string();
        out.extend_from_slice(text.as_bytes());
    }
    // White space behind an object is still that object.
    let filler = if publish.fields.is_empty() { 0 } else { b' ' };
    if out.len() < size {
        out.resize(size, filler);
    }
}

/// A text with its tag, as wills carry it: in 3.1 they are ASCII.
pub(super) fn says(text: &str, tag: &Tag) -> String {
    serde_json::json!({ "says": text, FIELD: hex(tag) }).to_string()
}

fn hex(tag: &Tag) -> String {
    tag.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn object(fields: &BTreeMap<String, Field>, tag: &Tag, names: &Names<'_>, draws: &Draws) -> serde_json::Value {
    let number = f64::from(tag.sequence);
    let mut object = serde_json::Map::new();
    for (order, (name, field)) in fields.iter().enumerate() {
        let draws = draws.branch(order as u64 + 1);
        let value = match field {
            Field::Counter { from, step } => (from + step * number).into(),
            Field::Walk { from, step, min, max } => walk(*from, *step, (*min, *max), tag.sequence, &draws).into(),
            Field::Sine { mean, amplitude, period } => {
                // The plan was checked, so this is a span.
                let period = harness::link::Span::parse(period).map_or(1.0, |span| span.0.as_secs_f64());
                let angle = tag.intended as f64 / 1e6 / period * std::f64::consts::TAU;
                (mean + amplitude * libm::sin(angle)).into()
            }
            Field::OneOf(words) => {
                let place = draws.at(u64::from(tag.sequence)) * words.len() as f64;
                words.get(place as usize).cloned().unwrap_or_default().into()
            }
            Field::Text(text) => Template::parse(text).map_or_else(|_| text.clone(), |it| it.fill(names)).into(),
        };
        object.insert(name.clone(), value);
    }
    object.insert(FIELD.to_owned(), hex(tag).into());
    object.into()
}

/// How many steps a walk goes back at most: what came before them is forgotten, so that a value costs the same whatever
/// its number.
const MEMORY: u32 = 64;

/// Where a random walk stands at step `number`. It turns back at its ends.
fn walk(from: f64, step: f64, (min, max): (f64, f64), number: u32, draws: &Draws) -> f64 {
    let begin = number - number % MEMORY;
    let start = if begin == 0 { from } else { min + (max - min) * draws.at(u64::from(begin) | 1 << 40) };
    (begin..number).fold(start, |value, place| {
        let moved = value + step * (2.0 * draws.at(u64::from(place)) - 1.0);
        if moved < min {
            (2.0 * min - moved).min(max)
        } else if moved > max {
            (2.0 * max - moved).max(min)
        } else {
            moved
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;
    use crate::scenario::plan::Duty;

    fn duty(payload: &str) -> Publish {
        let text = format!(
            "Scenario(about: \"a test\", lasts: \"1m\", fleet: [(name: \"x\", count: 1, does: [Publish(topic: \"t\", every: \"1s\", {payload})])])"
        );
        let plan = scenario::check(&text, &[]).expect("a legal scenario");
        match plan.groups[0].does[0].clone() {
            Duty::Publish(publish) => publish,
            other => panic!("{other:?}"),
        }
    }

    fn payloads(payload: &str) -> Vec<Vec<u8>> {
        let publish = duty(payload);
        let draws = Draws::stream(1, "payload");
        let tag = |sequence| Tag { run: 1, stream: 2, sequence, intended: u64::from(sequence) * 1_000_000 };
        let names = Names { id: "x-0", ..Names::default() };
        (0..200)
            .map(|sequence| {
                let mut out = b"left over".to_vec();
                write(&mut out, &publish, &tag(sequence), &names, &draws);
                assert_eq!(Tag::find(&out), Some(tag(sequence)));
                out
            })
            .collect()
    }

    #[test]
    fn sizes_are_fixed_or_drawn() {
        assert!(payloads("size: 16").iter().all(|payload| payload.len() == 16));
        let drawn = payloads("size: 20, size_to: 29");
        assert!((20..30).all(|size| drawn.iter().any(|payload| payload.len() == size)));
        assert!(drawn.iter().all(|payload| (20..30).contains(&payload.len())));
    }

    #[test]
    fn fields_change_as_they_say() {
        let payloads = payloads(
            r#"size: 200, payload: Json({ "n": Counter(step: 2.0), "t": Walk(from: 20.0, step: 0.5, min: 18.0, max: 22.0),
               "s": Sine(mean: 1.0, amplitude: 0.5, period: "20s"), "state": OneOf(["up", "down"]), "who": Text("{id}!") })"#,
        );
        let objects: Vec<serde_json::Value> =
            payloads.iter().map(|payload| serde_json::from_slice(payload).expect("an object")).collect();
        let number = |place: usize, name: &str| objects[place][name].as_f64().expect("a number");
        assert_eq!((number(0, "n"), number(7, "n")), (0.0, 14.0));
        assert!((number(5, "s") - 1.5).abs() < 1e-9 && (number(15, "s") - 0.5).abs() < 1e-9);
        assert!((0..200).all(|place| (18.0..=22.0).contains(&number(place, "t"))));
        let steps = (1..64).map(|place| (number(place, "t") - number(place - 1, "t")).abs());
        assert!(steps.clone().all(|step| step <= 0.5 + 1e-9) && steps.sum::<f64>() > 5.0);
        let up = objects.iter().filter(|object| object["state"] == "up").count();
        assert!((60..140).contains(&up), "{up}");
        assert_eq!(objects[0]["who"], "x-0!");
        assert!(payloads.iter().all(|payload| payload.len() >= 200));
    }

    #[test]
    fn a_will_says_its_text_and_keeps_its_tag() {
        let tag = Tag { run: 1, stream: 2, sequence: 3, intended: 4 };
        let text = says("gone \"for good\"", &tag);
        assert_eq!(Tag::find(text.as_bytes()), Some(tag));
        assert!(text.is_ascii());
    }
}
