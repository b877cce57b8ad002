//! The licences of all crates we link, against the list in `.deny.toml`.
//!
//! The same list serves `cargo deny`, which takes minutes to build; this reads what `cargo metadata` already
//! knows. An expression of SPDX 2.3 (annex D) is true if its `OR`s and `AND`s are, over the allowed names;
//! `WITH` binds a name and its exception into one. A `/` in old manifests means `OR`.

use serde_json::Value;
use toml::Table;

use super::tree::{Finding, Tree};

const LIST: &str = ".deny.toml";

pub(super) fn licences(tree: &Tree) -> Vec<Finding> {
    let metadata = match tree.metadata() {
        Some(Ok(metadata)) => metadata,
        Some(Err(finding)) => return vec![finding],
        None => return Vec::new(),
    };
    let Some(list) = tree.text(LIST) else {
        return vec![Finding::new(LIST, 0, "missing: it names the licences we accept")];
    };
    let list: Table = match list.parse() {
        Ok(list) => list,
        Err(why) => return vec![Finding::new(LIST, 0, why.to_string())],
    };
    let allowed = list
        .get("licenses")
        .and_then(|section| section.get("allow")?.as_array());
    let allowed: Vec<&str> = allowed
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
        .collect();

    let packages = metadata["packages"].as_array().into_iter().flatten();
    let refused =
        packages.filter(|package| !accepts(package["license"].as_str().unwrap_or_default(), &allowed));
    refused
        .map(|package| {
            let (name, licence) = (word(package, "name"), word(package, "license"));
            Finding::new(
                LIST,
                0,
                format!("{name} {} has licence {licence:?}", word(package, "version")),
            )
        })
        .collect()
}

fn word<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or("none")
}

/// Whether an SPDX expression is satisfied by the allowed names. A broken expression is not.
fn accepts(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut answer = all_of(rest, allowed)?;
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        answer |= all_of(rest, allowed)?;
    }
    Some(answer)
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut answer = one(rest, allowed)?;
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        answer &= one(rest, allowed)?;
    }
    Some(answer)
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let answer = any_of(rest, allowed)?;
            *rest = rest.strip_prefix(&[")"])?;
            Some(answer)
        }
        [name, "WITH", exception, after @ ..] => {
            *rest = after;
            Some(allowed.contains(&format!("{name} WITH {exception}").as_str()))
        }
        [name, after @ ..] => {
            *rest = after;
            Some(allowed.contains(name))
        }
        [] => None,
    }
}
