//! Text with gaps that each device fills in its own way: `lift/{id}/state`.

/// A template, parsed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Gap(Gap),
}

/// What can stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// `{id}`: the client identifier of the device.
    Id,
    /// `{n}`: its number in its group, from 0.
    Number,
    /// `{group}`: the name of its group.
    Group,
    /// `{target}`: the client identifier of the device that is asked.
    Target,
    /// `{1}` to `{9}`: the level that this wildcard of the filter matched.
    Matched(u8),
}

impl Gap {
    fn named(name: &str) -> Option<Self> {
        match name {
            "id" => Some(Self::Id),
            "n" => Some(Self::Number),
            "group" => Some(Self::Group),
            "target" => Some(Self::Target),
            _ => match name.as_bytes() {
                [digit @ b'1'..=b'9'] => Some(Self::Matched(digit - b'0')),
                _ => None,
            },
        }
    }
}

/// Stands in a [`Template::shape`] for text without a slash that is not known. No topic may contain it.
pub const ANYTHING: char = '\0';
/// And for what may be several levels: what the wildcard `#` matched.
pub const EVERYTHING: char = '\u{1}';

/// What one device fills the gaps with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// Its client identifier.
    pub id: &'a str,
    /// Its number in its group.
    pub number: u32,
    /// Its group.
    pub group: &'a str,
    /// The client identifier of the device that is asked.
    pub target: &'a str,
    /// What the wildcards of a filter matched, in order.
    pub matched: &'a [&'a str],
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it: a brace without its other half, or a gap that is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let Some(length) = rest[open..].strip_prefix('{').and_then(|inner| inner.find('}')) else {
                return Err(format!("a brace of `{text}` has no other half; gaps are written {{id}}"));
            };
            let name = &rest[open + 1..open + 1 + length];
            let Some(gap) = Gap::named(name) else {
                return Err(format!(
                    "`{{{name}}}` is no gap; there are {{id}}, {{n}}, {{group}}, {{target}} and {{1}}"
                ));
            };
            if open > 0 {
                parts.push(Part::Text(rest[..open].into()));
            }
            parts.push(Part::Gap(gap));
            rest = &rest[open + length + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// Text without a gap.
    pub fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.into())])
    }

    /// The gaps, in order.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.0.iter().filter_map(|part| match part {
            Part::Gap(gap) => Some(*gap),
            Part::Text(_) => None,
        })
    }

    /// Whether two devices of one group fill it differently.
    pub fn tells_devices_apart(&self) -> bool {
        self.gaps().any(|gap| matches!(gap, Gap::Id | Gap::Number))
    }

    /// The text for `names`. What matched nothing stays empty.
    pub fn fill(&self, names: &Names<'_>) -> String {
        let mut text = String::new();
        self.fill_into(names, &mut text);
        text
    }

    /// What it is for all devices of a group alike, where `id` and `target` are such shapes too.
    pub fn shape(&self, id: &str, group: &str, target: &str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Gap(Gap::Id) => text.push_str(id),
                Part::Gap(Gap::Number) => text.push(ANYTHING),
                Part::Gap(Gap::Group) => text.push_str(group),
                Part::Gap(Gap::Target) => text.push_str(target),
                Part::Gap(Gap::Matched(_)) => text.push(EVERYTHING),
            }
        }
        text
    }

    /// Adds the text for `names` to `text`.
    pub fn fill_into(&self, names: &Names<'_>, text: &mut String) {
        for part in &self.0 {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Gap(Gap::Id) => text.push_str(names.id),
                Part::Gap(Gap::Number) => text.push_str(&names.number.to_string()),
                Part::Gap(Gap::Group) => text.push_str(names.group),
                Part::Gap(Gap::Target) => text.push_str(names.target),
                Part::Gap(Gap::Matched(number)) => {
                    text.push_str(names.matched.get(usize::from(*number) - 1).copied().unwrap_or_default());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, expect: Result<&str, &str>) {
        let names = Names { id: "lift-7", number: 7, group: "lift", target: "door-1", matched: &["a", "b"] };
        let filled = Template::parse(template).map(|template| template.fill(&names));
        match (filled, expect) {
            (Ok(filled), Ok(expect)) => assert_eq!(filled, expect, "{template}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{template}: {why}"),
            (filled, _) => panic!("{template}: {filled:?}"),
        }
    }

    #[test]
    fn gaps_are_filled_and_others_named() {
        check("", Ok(""));
        check("plain/topic", Ok("plain/topic"));
        check("{group}/{id}/{n}", Ok("lift/lift-7/7"));
        check("{target}{2}{1}{3}", Ok("door-1ba"));
        check("a/{where}", Err("`{where}` is no gap"));
        check("a/{0}", Err("`{0}` is no gap"));
        check("a/{id", Err("no other half"));
        check("a}/{id}", Err("no other half"));
    }

    #[test]
    fn a_name_for_each_device_has_its_number_in_it() {
        for (template, apart) in [("x-{n}", true), ("{id}", true), ("{group}", false), ("x", false)] {
            assert_eq!(Template::parse(template).map(|it| it.tells_devices_apart()), Ok(apart), "{template}");
        }
    }
}
