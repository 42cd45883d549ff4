//! Plots as SVG: the same text for the same data, without script, fonts or any other resource.
//!
//! Places are shares of the frame, so a plot on a page fills whatever width there is while its words keep their size. A
//! [`figure`](Plot::figure) takes its colours from the page around it, which holds `plot.css`; a [`file`](Plot::file) brings
//! them along.

use std::fmt::Write as _;

use super::terminal::visible;

/// How plots look, light and dark: colours that people with any colour vision tell apart, and dashes for all.
const STYLE: &str = include_str!("../../templates/plot.css");

/// What a file brings along beside [`STYLE`], and a page has already.
const PAPER: &str = "\
svg.plot { background: #fbfaf7; --ink: #1d1f23; --soft: #62666e; --line: #e2dfd7; }
@media (prefers-color-scheme: dark) {
  svg.plot { background: #15171a; --ink: #e7e5e0; --soft: #a0a3a9; --line: #32363c; }
}
";

/// What is drawn.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// In which unit, and whatever else one must know to read it.
    pub note: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// Stretches of `x` behind the lines.
    pub bands: Vec<Band>,
    /// The lines, the most important one first.
    pub lines: Vec<Line>,
}

/// So much of the width a letter on a band takes, where there is little of it: on a phone.
const LETTER: f64 = 0.02;

/// A stretch from left to right.
#[derive(Clone, Debug)]
pub struct Band {
    /// Where it begins; where it ends.
    pub span: (f64, f64),
    /// What stands on it: a word or a number.
    pub label: String,
    /// What it is, for whoever points at it.
    pub about: String,
    /// Whether it is something good.
    pub calm: bool,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name; without one it stands in no key.
    pub name: String,
    /// Its colour and dashes, by number, up to [`Line::INKS`].
    pub ink: usize,
    /// How its points are joined.
    pub shape: Shape,
    /// From left to right; `None` breaks the line.
    pub points: Vec<Option<(f64, f64)>>,
}

/// How points become a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Straight from one to the next.
    Straight,
    /// Each holds until the next.
    Steps,
    /// Steps, and what is below them tinted.
    Area,
}

impl Line {
    /// How many inks there are. The last is the faintest.
    pub const INKS: usize = 7;
}

/// One direction of a plot: what lies where.
#[derive(Clone, Debug)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

#[derive(Clone, Copy, Debug)]
enum Scale {
    Linear,
    Logarithmic,
    /// Shares, each nine as far from the last as that is from the one before.
    Nines,
}

/// Steps of time between ticks, in seconds.
const CLOCK: [f64; 26] = [
    0.001,
    0.01,
    0.1,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    10800.0,
    21600.0,
    43200.0,
    86400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    1_209_600.0,
];

impl Axis {
    /// Numbers from 0 to at least `most`.
    pub fn numbers(most: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
        let decade = libm::pow(10.0, libm::floor(libm::log10(most / 4.0)));
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| step * 4.5 >= most);
        let step = step.unwrap_or(decade * 10.0);
        // A little more than the last tick needs no further one.
        let steps = libm::ceil(most / step - 0.05).max(1.0);
        let ticks = (0..=steps as u32).map(|nth| f64::from(nth) * step).map(|at| (at, short(at))).collect();
        Self { scale: Scale::Linear, low: 0.0, high: (step * steps).max(most), ticks }
    }

    /// The time of a run of so many seconds.
    pub fn time(seconds: f64) -> Self {
        let high = seconds.max(0.001);
        let step = CLOCK.into_iter().find(|step| high / step <= 6.0).unwrap_or(high);
        let ticks = (0..=(high / step) as u32).map(|nth| f64::from(nth) * step).map(|at| (at, moment(at)));
        Self { scale: Scale::Linear, low: 0.0, high, ticks: ticks.collect() }
    }

    /// Spans of time in seconds, by decades that hold all from `least` to `most`.
    pub fn spans(least: f64, most: f64) -> Self {
        // A hair of tolerance, so that a power of ten is its own decade on any machine.
        let decades = |span: f64| libm::log10(span.clamp(1e-6, 1e6));
        let low = libm::floor(decades(least) + 1e-9);
        let high = libm::ceil(decades(most) - 1e-9).max(low + 1.0);
        let tick = |decade: i32| (libm::pow(10.0, decade.into()), span(decade));
        Self {
            scale: Scale::Logarithmic,
            low: libm::pow(10.0, low),
            high: libm::pow(10.0, high),
            ticks: (low as i32..=high as i32).map(tick).collect(),
        }
    }

    /// Shares from 0 to 1 - 10^-`nines`.
    pub fn nines(nines: u32) -> Self {
        let share = |nines: u32| 1.0 - libm::pow(0.1, nines.into());
        let tick = |nines| {
            let digits = (nines as usize).saturating_sub(2);
            (share(nines), format!("{:.digits$} %", share(nines) * 100.0))
        };
        let mut ticks: Vec<_> = (0..=nines).map(tick).collect();
        ticks.insert(1, (0.5, "50 %".to_owned()));
        Self { scale: Scale::Nines, low: 0.0, high: share(nines), ticks }
    }

    /// Where `value` lies: 0 at the beginning, 1 at the end.
    fn place(&self, value: f64) -> f64 {
        let at = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => libm::log10(value.max(1e-12)),
            Scale::Nines => -libm::log10((1.0 - value).max(1e-12)),
        };
        ((at(value) - at(self.low)) / (at(self.high) - at(self.low))).clamp(0.0, 1.0)
    }
}

impl Plot {
    /// The plot as a figure of a page in HTML, which must hold `plot.css`. It is as wide as it may be.
    pub fn figure(&self) -> String {
        let mut out = String::new();
        let [title, note] = [&self.title, &self.note].map(|text| escaped(text));
        let _ = writeln!(out, "<figure class=\"plot\"><figcaption><b>{title}</b> {note}</figcaption>");
        let named: Vec<_> = self.lines.iter().filter(|line| !line.name.is_empty()).collect();
        if !named.is_empty() {
            out.push_str("<ul class=\"key\">");
            for line in named {
                let _ = write!(out, "<li>{}{}</li>", swatch(line, 0.0, 0.0), escaped(&line.name));
            }
            out.push_str("</ul>\n");
        }
        let _ = writeln!(out, "<svg role=\"img\" aria-label=\"{title}\">");
        self.draw(&mut out);
        out.push_str("</svg></figure>\n");
        out
    }

    /// The plot as a file of its own.
    pub fn file(&self) -> String {
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 720 420\" width=\"720\" \
             height=\"420\">\n<style>\n{PAPER}{STYLE}</style>\n"
        );
        let _ = writeln!(out, "<text x=\"16\" y=\"26\" class=\"label\">{}</text>", escaped(&self.title));
        let _ = writeln!(out, "<text x=\"16\" y=\"44\">{}</text>", escaped(&self.note));
        let mut left = 16.0;
        for line in self.lines.iter().filter(|line| !line.name.is_empty()) {
            let _ = writeln!(out, "{}", swatch(line, left, 54.0));
            let _ = writeln!(out, "<text x=\"{}\" y=\"65\">{}</text>", left + 28.0, escaped(&line.name));
            // Nothing here can measure a letter; none is wider than this on average.
            left += 44.0 + 7.0 * line.name.chars().count() as f64;
        }
        out.push_str("<svg x=\"68\" y=\"84\" width=\"632\" height=\"300\" overflow=\"visible\">\n");
        self.draw(&mut out);
        out.push_str("</svg>\n</svg>\n");
        out
    }

    /// All within the frame, and the words around it.
    fn draw(&self, out: &mut String) {
        let across = |value: f64| format!("{:.2}%", self.x.place(value) * 100.0);
        let down = |value: f64| format!("{:.2}%", 100.0 - self.y.place(value) * 100.0);
        for Band { span, about, calm, .. } in &self.bands {
            let (left, right) = (self.x.place(span.0) * 100.0, self.x.place(span.1) * 100.0);
            let (class, about) = (if *calm { "calm" } else { "band" }, escaped(about));
            let _ = if right > left {
                write!(
                    out,
                    "<rect class=\"{class}\" x=\"{left:.2}%\" y=\"0\" width=\"{:.2}%\" height=\"100%\">",
                    right - left
                )
                .and_then(|()| writeln!(out, "<title>{about}</title></rect>"))
            } else {
                write!(out, "<line class=\"mark\" x1=\"{left:.2}%\" x2=\"{left:.2}%\" y1=\"0\" y2=\"100%\">")
                    .and_then(|()| writeln!(out, "<title>{about}</title></line>"))
            };
        }
        for (left, label) in self.labels() {
            // What would not end within the plot ends with it.
            let fits = left + LETTER * label.chars().count() as f64 <= 1.0;
            let (left, class) = if fits { (left * 100.0, "") } else { (100.0, " last") };
            let label = escaped(&label);
            let _ = writeln!(
                out,
                "<text class=\"label{class}\" x=\"{left:.2}%\" y=\"0\" dx=\"2\" dy=\"-4\">{label}</text>"
            );
        }
        for (value, label) in &self.y.ticks {
            let (at, class) = (down(*value), if *value == self.y.low { "base" } else { "grid" });
            let _ = write!(out, "<line class=\"{class}\" x1=\"0\" x2=\"100%\" y1=\"{at}\" y2=\"{at}\"/>");
            let _ = writeln!(out, "<text class=\"y\" x=\"0\" y=\"{at}\" dx=\"-6\" dy=\"4\">{}</text>", escaped(label));
        }
        for (nth, (value, label)) in self.x.ticks.iter().rev().enumerate() {
            // Where there is little room, every second of many is left out.
            let rank = if nth % 2 == 1 && self.x.ticks.len() > 5 { " second" } else { "" };
            let (at, last) = (across(*value), if self.x.place(*value) > 0.97 { " last" } else { rank });
            let _ = write!(out, "<line class=\"grid\" x1=\"{at}\" x2=\"{at}\" y1=\"0\" y2=\"100%\"/>");
            let label = escaped(label);
            let _ = writeln!(out, "<text class=\"x{last}\" x=\"{at}\" y=\"100%\" dy=\"17\">{label}</text>");
        }
        out.push_str("<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" width=\"100%\" height=\"100%\">\n");
        // What matters most is drawn last, on top of the others.
        for line in self.lines.iter().rev() {
            let ink = line.ink.min(Line::INKS - 1);
            let path = self.path(line);
            if line.shape == Shape::Area {
                let _ = writeln!(out, "<path class=\"area s{ink}\" d=\"{}\"/>", self.area(line));
            }
            let _ = writeln!(out, "<path class=\"s{ink}\" d=\"{path}\"/>");
        }
        out.push_str("</svg>\n");
    }

    /// What stands on the bands, and where: together, where one would stand on the other.
    fn labels(&self) -> Vec<(f64, String)> {
        let mut labels: Vec<(f64, String)> = Vec::new();
        for Band { span, label, .. } in &self.bands {
            let left = self.x.place(span.0);
            // Where it begins if it ends with the plot.
            let earliest = left.min(1.0 - LETTER * label.chars().count() as f64);
            match labels.last_mut() {
                Some((last, text)) if earliest < *last + LETTER * (text.chars().count() + 1) as f64 => {
                    text.push(',');
                    text.push_str(label);
                }
                _ => labels.push((left, label.clone())),
            }
        }
        labels
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        for stroke in line.points.split(Option::is_none) {
            for (nth, (x, y)) in stroke.iter().flatten().enumerate() {
                let (x, y) = (self.x.place(*x) * 1e3, 1e3 - self.y.place(*y) * 1e3);
                let _ = match (nth, line.shape) {
                    (0, _) => write!(path, "M{x:.1} {y:.1}"),
                    (_, Shape::Straight) => write!(path, "L{x:.1} {y:.1}"),
                    (_, Shape::Steps | Shape::Area) => write!(path, "H{x:.1}V{y:.1}"),
                };
            }
        }
        path
    }

    /// What is below a line.
    fn area(&self, line: &Line) -> String {
        let mut area = String::new();
        for stroke in line.points.split(Option::is_none) {
            let ends =
                |end: Option<&Option<(f64, f64)>>| end.copied().flatten().map_or(0.0, |(x, _)| self.x.place(x) * 1e3);
            let part = Line { points: stroke.to_vec(), ..line.clone() };
            let (first, last) = (ends(stroke.first()), ends(stroke.last()));
            let path = self.path(&part).replacen('M', "L", 1);
            if !path.is_empty() {
                let _ = write!(area, "M{first:.1} 1000{path}H{last:.1}V1000Z");
            }
        }
        area
    }
}

/// A piece of a line, for a key.
fn swatch(line: &Line, x: f64, y: f64) -> String {
    let ink = line.ink.min(Line::INKS - 1);
    format!(
        "<svg class=\"swatch\" x=\"{x}\" y=\"{y}\" width=\"24\" height=\"16\"><path class=\"s{ink}\" d=\"M0 8H24\"/></svg>"
    )
}

/// A number in few letters.
fn short(number: f64) -> String {
    let (number, unit) = match number {
        1e9.. => (number / 1e9, "G"),
        1e6.. => (number / 1e6, "M"),
        1e4.. => (number / 1e3, "k"),
        _ => (number, ""),
    };
    let text = format!("{number:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A moment of a run.
fn moment(seconds: f64) -> String {
    let (number, unit) = match seconds {
        172_800.0.. => (seconds / 86400.0, "d"),
        7200.0.. => (seconds / 3600.0, "h"),
        120.0.. => (seconds / 60.0, "min"),
        _ => (seconds, "s"),
    };
    if seconds == 0.0 { "0".to_owned() } else { format!("{} {unit}", short(number)) }
}

/// Ten to so many seconds.
fn span(decade: i32) -> String {
    let (decade, unit) = match decade {
        0.. => (decade, "s"),
        -3.. => (decade + 3, "ms"),
        _ => (decade + 6, "µs"),
    };
    format!("{} {unit}", short(libm::pow(10.0, decade.into())))
}

/// `text` as SVG and HTML take it.
fn escaped(text: &str) -> String {
    visible(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let line = |ink, shape, points: &[Option<(f64, f64)>]| Line {
            name: format!("line <{ink}>"),
            ink,
            shape,
            points: points.to_vec(),
        };
        Plot {
            title: "a & b".to_owned(),
            note: "in a second".to_owned(),
            x: Axis::time(100.0),
            y: Axis::numbers(8.0),
            bands: vec![Band { span: (50.0, 75.0), label: "1".to_owned(), about: "\"out\"".to_owned(), calm: false }],
            lines: vec![
                line(0, Shape::Area, &[Some((0.0, 0.0)), Some((25.0, 8.0)), Some((100.0, 4.0))]),
                line(9, Shape::Straight, &[Some((0.0, 2.0)), Some((10.0, 4.0)), None, Some((90.0, 2.0))]),
            ],
        }
    }

    #[test]
    fn values_lie_where_the_scale_has_them() {
        #[track_caller]
        fn check(axis: &Axis, value: f64, place: f64) {
            assert!((axis.place(value) - place).abs() < 1e-9, "{value} lies at {}", axis.place(value));
        }
        check(&Axis::numbers(8.0), 2.0, 0.25);
        check(&Axis::numbers(8.0), 9.0, 1.0);
        check(&Axis::spans(0.02, 5.0), 0.1, 1.0 / 3.0);
        check(&Axis::spans(0.02, 5.0), 0.0, 0.0);
        check(&Axis::nines(4), 0.0, 0.0);
        check(&Axis::nines(4), 0.99, 0.5);
        check(&Axis::nines(4), 1.0, 1.0);
    }

    #[test]
    fn ticks_are_round_and_few() {
        #[track_caller]
        fn check(axis: &Axis, expect: &[&str]) {
            assert_eq!(axis.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), expect);
        }
        check(&Axis::numbers(402.0), &["0", "100", "200", "300", "400"]);
        check(&Axis::numbers(0.3), &["0", "0.1", "0.2", "0.3"]);
        check(&Axis::numbers(0.0), &["0", "0.5", "1"]);
        check(&Axis::numbers(100_000.0), &["0", "50k", "100k"]);
        check(&Axis::time(1020.0), &["0", "5 min", "10 min", "15 min"]);
        check(&Axis::time(87_000.0), &["0", "6 h", "12 h", "18 h", "24 h"]);
        check(&Axis::time(0.0), &["0", "0.001 s"]);
        check(&Axis::spans(0.0005, 0.2), &["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        check(&Axis::nines(4), &["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }

    #[test]
    fn lines_become_paths() {
        let plot = plot();
        assert_eq!(plot.path(&plot.lines[0]), "M0.0 1000.0H250.0V0.0H1000.0V500.0");
        assert_eq!(plot.path(&plot.lines[1]), "M0.0 750.0L100.0 500.0M900.0 750.0");
        assert_eq!(plot.area(&plot.lines[0]), "M0.0 1000L0.0 1000.0H250.0V0.0H1000.0V500.0H1000.0V1000Z");
    }

    #[test]
    fn a_label_that_would_not_end_within_the_plot_ends_with_it() {
        let band = |from: f64, label: &str| Band {
            span: (from, 100.0),
            label: label.to_owned(),
            about: label.to_owned(),
            calm: true,
        };
        let drawn = |bands: &[Band]| Plot { bands: bands.to_vec(), ..plot() }.figure();
        assert!(drawn(&[band(92.0, "calm")]).contains("<text class=\"label\" x=\"92.00%\""));
        assert!(drawn(&[band(93.0, "calm")]).contains("<text class=\"label last\" x=\"100.00%\""));
        // The one before gives way to it.
        let both = drawn(&[band(90.0, "12"), band(99.0, "calm")]);
        assert!(
            both.contains("<text class=\"label last\" x=\"100.00%\" y=\"0\" dx=\"2\" dy=\"-4\">12,calm</text>"),
            "{both}"
        );
    }

    #[test]
    fn a_figure_and_a_file_hold_all_and_escape_it() {
        let plot = plot();
        for text in [plot.figure(), plot.file()] {
            for part in
                ["a &amp; b", "in a second", "line &lt;9&gt;", "&quot;out&quot;", "x=\"50.00%\"", "class=\"s6\""]
            {
                assert!(text.contains(part), "{part} is not in {text}");
            }
            let count = |text: &str, part: &str| text.matches(part).count();
            assert_eq!(count(&text, "<svg"), count(&text, "</svg>"), "{text}");
            assert!(!text.contains("url(") && !text.contains("href"), "{text}");
        }
        assert!(plot.file().starts_with("<svg xmlns") && !plot.figure().contains("xmlns"));
    }
}
