//! What the target makes of the freedoms that the standard leaves it: never judged, always told.

/// One choice under one protocol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trait {
    /// Which freedom, by a name that stays.
    pub name: &'static str,
    /// The freedom in words that the choice completes.
    pub question: &'static str,
    /// The version: `3.1`, `3.1.1` or `5.0`.
    pub protocol: &'static str,
    /// What the target chose.
    pub choice: String,
}

/// The choices on one freedom, by protocol version.
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) question: &'a str,
    pub(super) choices: Vec<(&'a str, &'a str)>,
}

/// The traits of one freedom together, in the order in which each freedom first comes.
pub(super) fn rows(traits: &[Trait]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for Trait { name, question, protocol, choice } in traits {
        let choice = (*protocol, choice.as_str());
        match rows.iter_mut().find(|row| row.name == *name) {
            Some(row) => row.choices.push(choice),
            None => rows.push(Row { name, question, choices: vec![choice] }),
        }
    }
    rows
}

impl Row<'_> {
    /// The choice, or where the versions differ each choice with those that make it.
    pub(super) fn choice(&self) -> String {
        let mut choices: Vec<(&str, Vec<&str>)> = Vec::new();
        for (protocol, choice) in &self.choices {
            match choices.iter_mut().find(|(each, _)| each == choice) {
                Some((_, protocols)) => protocols.push(protocol),
                None => choices.push((choice, vec![protocol])),
            }
        }
        match choices.as_slice() {
            [(choice, _)] => (*choice).to_owned(),
            several => {
                let each = several.iter().map(|(choice, protocols)| format!("{choice} ({})", protocols.join(", ")));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_only_where_they_differ() {
        #[track_caller]
        fn check(choices: &[(&'static str, &str)], expect: &str) {
            let choice = |&(protocol, choice): &(&'static str, &str)| Trait {
                name: "overlap",
                question: "it comes in",
                protocol,
                choice: choice.to_owned(),
            };
            let traits: Vec<_> = choices.iter().map(choice).collect();
            let rows = rows(&traits);
            assert_eq!(rows.iter().map(Row::choice).collect::<Vec<_>>(), [expect]);
        }
        check(&[("5.0", "one copy")], "one copy");
        check(&[("3.1.1", "one copy"), ("5.0", "one copy")], "one copy");
        check(&[("3.1.1", "one copy"), ("5.0", "3 copies")], "one copy (3.1.1), 3 copies (5.0)");
        let last_differs = [("3.1", "one copy"), ("3.1.1", "one copy"), ("5.0", "3 copies")];
        check(&last_differs, "one copy (3.1, 3.1.1), 3 copies (5.0)");
    }
}
