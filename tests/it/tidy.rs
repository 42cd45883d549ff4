//! The house as its plan says: layers, laws, and nothing left lying about.
//!
//! The layers are read from the tables in `src/lib.rs` and `harness/src/lib.rs`: groups between `|`, each using only those
//! before it; within a group modules know each other only where a single space parts them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use testament::catalogue::catalogue;

/// Law 3: what the judge must not name although it lies in an earlier layer.
const JUDGE: (&str, [&str; 4]) = ("suite", ["flow", "session", "client", "broker"]);
/// All that code which is judged, or shared with it, may name of the harness.
const CORE_MAY_NAME: [&str; 5] = ["time", "rng", "node", "index", "fetch"];
/// Those modules that are not held to it.
const NOT_CORE: [&str; 10] =
    ["catalogue", "links", "suite", "scenario", "reference", "fleet", "proof", "net", "sut", "cli"];
/// Those modules that are drivers: sockets, files, processes and the terminal are theirs.
const MAY_DO_IO: [&str; 3] = ["net", "sut", "cli"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` whose name ends so, by path from the root.
fn files(folder: &str, ends: &str) -> BTreeMap<PathBuf, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
            if path.is_dir() && !["target", ".git"].contains(&name) {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ends) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                found.insert(path.strip_prefix(root()).expect("below the root").to_path_buf(), text);
            }
        }
    }
    found
}

/// The code of a module, without comments and without the tests at its foot.
fn code(text: &str) -> String {
    let text = text.split("mod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names of all paths in `code` that begin with `prefix`: `a` and `b` of `crate::a::x` and `crate::{b, self}`.
fn named<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let word = |text: &'a str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let whole = move |&(at, _): &(usize, &str)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(prefix).filter(whole).flat_map(move |(at, _)| {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else { return vec![word(rest)] };
        let mut depth = 1;
        let end = list.find(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        // Only the names at the top of the list: those in inner braces follow a path.
        let mut top = String::new();
        let mut names = Vec::new();
        for (at, c) in list[..end.unwrap_or(list.len())].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if c == ',' && depth == 0 {
                top.clear();
            } else if depth == 0 && top.is_empty() && !c.is_whitespace() {
                top.push(c);
                names.push(word(&list[at..]));
            }
        }
        names
    })
}

/// What each module may name, by the table in the docs of a crate.
fn layers(lib: &str) -> BTreeMap<String, BTreeSet<String>> {
    let docs: String = lib.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let table = docs.split('`').find(|text| text.contains(" | ")).expect("a table of layers");
    let (mut below, mut allowed) = (BTreeSet::new(), BTreeMap::new());
    for group in table.split(" | ") {
        for unit in group.split("  ") {
            let unit: BTreeSet<String> = unit.split_whitespace().map(str::to_owned).collect();
            for module in &unit {
                allowed.insert(module.clone(), below.union(&unit).cloned().collect());
            }
        }
        below.extend(group.split_whitespace().map(str::to_owned));
    }
    allowed
}

/// The modules of a crate: the first part of the path below `src`.
fn modules(folder: &str) -> impl Iterator<Item = (PathBuf, String, String)> {
    let folder = folder.to_owned();
    files(&folder, ".rs").into_iter().filter_map(move |(path, text)| {
        let first = path.strip_prefix(&folder).ok()?.components().next()?;
        let module = first.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
        (!["lib", "main"].contains(&module.as_str())).then_some((path, module, code(&text)))
    })
}

#[test]
fn each_layer_uses_only_those_before_it() {
    for folder in ["src", "harness/src"] {
        let lib = fs::read_to_string(root().join(folder).join("lib.rs")).expect("a library");
        let allowed = layers(&lib);
        let mut seen = BTreeSet::new();
        for (path, module, code) in modules(folder) {
            let allowed = allowed.get(&module).unwrap_or_else(|| panic!("{folder}/lib.rs gives `{module}` no layer"));
            for name in named(&code, "crate::") {
                assert!(allowed.contains(name), "{}: `{module}` may not name `{name}`", path.display());
            }
            seen.insert(module);
        }
        let planned: BTreeSet<_> = allowed.into_keys().collect();
        assert_eq!(seen, planned, "{folder}/lib.rs speaks of other modules than there are");
    }
}

#[test]
fn the_judge_does_not_know_the_defendant() {
    for (path, module, code) in modules("src").filter(|(_, module, _)| module == JUDGE.0) {
        for name in named(&code, "crate::") {
            assert!(!JUDGE.1.contains(&name), "{}: `{module}` names `{name}`", path.display());
        }
    }
}

#[test]
fn the_core_knows_bytes_names_and_time() {
    for (path, module, code) in modules("src").filter(|(_, module, _)| !NOT_CORE.contains(&module.as_str())) {
        for name in named(&code, "harness::") {
            assert!(CORE_MAY_NAME.contains(&name), "{}: `{module}` names `harness::{name}`", path.display());
        }
    }
}

#[test]
fn the_core_does_no_io() {
    let root = modules("src").filter(|(_, module, _)| !MAY_DO_IO.contains(&module.as_str()));
    let harness = modules("harness/src").filter(|(_, module, _)| !["run", "report"].contains(&module.as_str()));
    for (path, _, code) in root.chain(harness) {
        for banned in
            ["TcpStream", "TcpListener", "UdpSocket", "std::fs", "std::thread", "std::env", "std::process", "tokio"]
        {
            assert!(!code.contains(banned), "{} names `{banned}`", path.display());
        }
    }
}

/// Only paths from the root of a crate are checked against the layers, so no other may lead out of a module.
#[test]
fn no_path_climbs_out_of_its_module() {
    for folder in ["src", "harness/src"] {
        for (path, _, code) in modules(folder) {
            let depth = path.strip_prefix(folder).expect("below it").components().count();
            let depth = depth - usize::from(path.ends_with("mod.rs"));
            let climb = "super::".repeat(depth);
            assert!(!code.contains(&climb), "{}: `{climb}` leaves the module; begin with `crate::`", path.display());
        }
    }
}

#[test]
fn nothing_is_left_lying_about() {
    // Built up from parts, so that this file does not hold what it looks for.
    let banned = [
        ["#[", "ignore"],
        ["#[", "should_panic"],
        ["#[", "allow("],
        ["#![", "allow("],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
    ];
    for (path, text) in files("", ".rs") {
        for parts in &banned {
            let banned = parts.concat();
            assert!(!text.contains(&banned), "{}: {banned}", path.display());
        }
        assert!(text.starts_with("//!"), "{} does not say what it is", path.display());
    }
}

#[test]
fn no_file_names_a_machine() {
    let homes = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"]];
    for ends in [".rs", ".toml", ".md", ".ron", ".hex", ".json", ".txt", ".py", ".js", ".sh", "run"] {
        for (path, text) in files("", ends) {
            for parts in &homes {
                assert!(!text.contains(&parts.concat()), "{}: {}", path.display(), parts.concat());
            }
        }
    }
}

#[test]
fn every_ron_file_parses() {
    for (path, text) in files("", ".ron") {
        if let Err(error) = ron::from_str::<ron::Value>(&text) {
            panic!("{}:{error}", path.display());
        }
    }
}

/// Whether a word is a requirement id, as far as its form goes: `mqtt5:3.1.2-22`.
fn is_id(word: &str) -> bool {
    word.split_once(':').is_some_and(|(spec, number)| spec.starts_with("mqtt") && number.contains('-'))
}

#[test]
fn every_requirement_cited_is_in_the_catalogue() {
    let mut cited = 0;
    for (path, text) in files("src", ".rs").into_iter().chain(files("docs", ".md")).chain(files("", "README.md")) {
        let text = text.split("mod tests {").next().unwrap_or_default();
        let words =
            text.split(|c: char| !c.is_alphanumeric() && !":.-".contains(c)).map(|word| word.trim_matches(['.', ':']));
        for id in words.filter(|word| is_id(word)) {
            assert!(catalogue().get(id).is_some(), "{} cites {id}", path.display());
            cited += 1;
        }
    }
    assert!(cited > catalogue().iter().len(), "only {cited} citations were found");
}

/// Every link of a page to a file of ours leads to one.
#[test]
fn no_page_links_to_nothing() {
    for (path, text) in files("", ".md") {
        let folder = root().join(&path);
        let folder = folder.parent().expect("a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let there = link.starts_with("http") || folder.join(link.split('#').next().unwrap_or(link)).exists();
            assert!(there, "{} links to {link}", path.display());
        }
    }
}

const MANIFESTS: [&str; 2] = ["Cargo.toml", "harness/Cargo.toml"];

/// The names in one section of a manifest.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
    let lines = text.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split([' ', '.', '=', '#']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `docs/architecture.md` gives a reason for each dependency, and for nothing else.
#[test]
fn every_dependency_has_its_reason() {
    let sections = ["[dependencies]", "[dev-dependencies]"];
    let all = MANIFESTS.into_iter().flat_map(|manifest| sections.map(|section| dependencies(manifest, section)));
    let all: BTreeSet<_> = all.flatten().filter(|name| name != "harness").collect();
    let docs = fs::read_to_string(root().join("docs/architecture.md")).expect("the architecture");
    let table = docs.split("\n## Dependencies").nth(1).expect("a section on dependencies");
    let named = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let reasons: BTreeSet<_> = named.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(reasons, all);
}

#[test]
fn every_dependency_is_used() {
    for manifest in MANIFESTS {
        let folder = manifest.trim_end_matches("Cargo.toml");
        let sources: Vec<_> = files(&format!("{folder}src"), ".rs").into_values().collect();
        let tests: String =
            sources.iter().cloned().chain(files(&format!("{folder}tests"), ".rs").into_values()).collect();
        let product: String = sources.iter().map(|text| code(text)).collect();
        for (section, code) in [("[dependencies]", product), ("[dev-dependencies]", tests)] {
            for name in dependencies(manifest, section) {
                let path = format!("{}::", name.replace('-', "_"));
                assert!(code.contains(&path), "{manifest}, {section}: `{name}` is named nowhere");
            }
        }
    }
}

#[test]
fn paths_are_found_in_code() {
    fn check(text: &str, expect: &[&str]) {
        assert_eq!(named(&code(text), "crate::").collect::<Vec<_>>(), expect, "{text}");
    }
    check("use crate::codec::Frame;", &["codec"]);
    check("use crate::{codec, flow::{Alias, Quota}, packet};", &["codec", "flow", "packet"]);
    check("fn f(x: &crate::topic::Topic) {} // crate::suite", &["topic"]);
    check("pub(crate) fn f() {}", &[]);
    check("a_crate::b(crate::c)", &["c"]);
    check("use crate::a;\n#[cfg(test)]\nmod tests {\n use crate::b; }", &["a"]);
}
