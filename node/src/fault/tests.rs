use super::*;
use std::collections::BTreeSet;
use std::path::Path;

/// Codes in quotes in a source text.
fn quoted_codes(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').filter(|part| {
        let mut pieces = part.split('-');
        let [Some("AM"), Some(family), Some(number), None] = [(); 4].map(|()| pieces.next()) else {
            return false;
        };
        let upper = !family.is_empty() && family.bytes().all(|b| b.is_ascii_uppercase());
        upper && number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Tests make codes up, to see what becomes of them.
fn walk(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_code_in_the_source_stands_in_the_table() {
    let mut texts = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let used: BTreeSet<&str> = texts.iter().flat_map(|text| quoted_codes(text)).collect();
    assert!(used.len() >= TABLE.len(), "the walk saw {} codes", used.len());
    let unknown = used.iter().filter(|code| known(code).is_none());
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn the_search_finds_codes_and_nothing_else() {
    let text = r#"of("AM-NODE-01"), "AM-NODE-1", "AM--01", "AM-node-01", "say AM-NODE-02 now", "AM-A-02""#;
    assert_eq!(quoted_codes(text).collect::<Vec<_>>(), ["AM-NODE-01", "AM-A-02"]);
}

#[test]
fn codes_are_unique_and_say_everything() {
    let mut seen = BTreeSet::new();
    for known in all() {
        assert!(seen.insert(known.code), "{} stands twice", known.code);
        for text in [known.what, known.means, known.next] {
            assert!(!text.is_empty() && text.trim() == text, "{known:?}");
        }
        assert!(!known.what.ends_with('.'), "{known:?}");
        assert!(!known.next.ends_with('.'), "{known:?}");
    }
}

#[test]
fn no_node_is_said_as_people_know_it() {
    assert_eq!(
        of("AM-NODE-01").line(),
        "AM-NODE-01: no node runs here. Start it with: aidmesh run"
    );
}

#[test]
fn exit_codes_follow_from_codes() {
    for (code, exit) in [
        ("AM-USE-03", 2),
        ("AM-NODE-01", 1),
        ("AM-ORG-05", 4),
        ("AM-ECG-01", 1),
    ] {
        assert_eq!(of(code).exit() as u8, exit, "{code}");
    }
    let mut newer = of("AM-NODE-08");
    newer.code = "AM-NEWER-77".into();
    assert_eq!(newer.exit(), Exit::Failed);
}

#[test]
fn codes_of_a_relay_are_explained_too() {
    assert!(known("am-relay-07").is_some_and(|k| k.means.contains("relay")));
    assert_eq!(known("AM-RELAY-99"), None);
}

#[test]
fn what_happened_in_particular_follows_the_general() {
    let fault = with("AM-STORE-07", "process 4711 has it open");
    assert_eq!(fault.what, "the data folder is in use: process 4711 has it open");
}

#[test]
fn words_that_the_cause_has_too_are_not_said_twice() {
    let fault = with("AM-STORE-13", "the vault is damaged: body");
    assert_eq!(fault.what, "the vault is damaged: body");
}
