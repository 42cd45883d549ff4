//! Numbers and spans of time as people read them.

use std::time::Duration;

use harness::link::Nat;

/// A span in two or three digits.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (number, digits, unit) = match seconds {
        0.0..0.001 => (seconds * 1e6, 0, "us"),
        0.001..0.1 => (seconds * 1e3, 1, "ms"),
        0.1..1.0 => (seconds * 1e3, 0, "ms"),
        1.0..120.0 => (seconds, 1, "s"),
        120.0..7200.0 => (seconds / 60.0, 1, "min"),
        _ => (seconds / 3600.0, 1, "h"),
    };
    let text = format!("{number:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// So many seconds; nothing where there are none.
pub fn seconds(seconds: Option<f64>) -> String {
    // What is beyond the range of a span was never measured.
    let known = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    known.map_or("-".to_owned(), span)
}

/// What translators of addresses forget that says nothing for `longest` at most: `the network forgets connections that are
/// silent, 10 % after 3 min, 20 % after 5 min`; `None` if they forget none so soon.
pub fn forgets(nat: &Nat, longest: Duration) -> Option<String> {
    let sum: f64 = nat.idle.iter().map(|(weight, _)| weight.max(0.0)).sum();
    let soon = nat.idle.iter().filter(|(weight, idle)| *weight > 0.0 && idle.0 <= longest);
    let each: Vec<_> =
        soon.map(|(weight, idle)| format!("{:.0} % after {}", weight / sum * 100.0, span(idle.0))).collect();
    (!each.is_empty()).then(|| format!("the network forgets connections that are silent, {}", each.join(", ")))
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a number of percent, in four digits behind the point at most.
pub fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// `one` of it, or so many of `more`.
pub fn some(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_that_fits() {
        fn check(micros: u64, expect: &str) {
            assert_eq!(span(Duration::from_micros(micros)), expect);
        }
        check(0, "0 us");
        check(999, "999 us");
        check(1_500, "1.5 ms");
        check(99_900, "99.9 ms");
        check(100_000, "100 ms");
        check(1_000_000, "1 s");
        check(119_900_000, "119.9 s");
        check(120_000_000, "2 min");
        check(7_199_000_000, "120 min");
        check(86_400_000_000, "24 h");
    }

    #[test]
    fn shares_read_as_they_were_written() {
        assert_eq!([0.55, 0.57, 0.99999, 0.0001, 1.0].map(percent), [55.0, 57.0, 99.999, 0.01, 100.0]);
    }

    #[test]
    fn thousands_stand_apart() {
        fn check(number: u64, expect: &str) {
            assert_eq!(count(number), expect);
        }
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(12_345_678, "12,345,678");
    }
}
