//! Rules of style and structure, checked by a program instead of by memory.
//!
//! Each rule is a function from a [`Tree`] to its [`Finding`]s, so that it runs alike on the project and on
//! a fixture. Each fixture under `tests/tidy/fixtures/` is a small tree in one text file that states which
//! findings *all* rules together must give: it proves that a rule can fail, and that the others stay calm.
//! A rule without a fixture fails the tests.
//!
//! Rules look at text, not at syntax trees: the project is formatted by rustfmt, so that indentation tells
//! where a function ends. They cost milliseconds and need no compiler.

mod crates;
mod fixture;
mod layout;
mod licences;
mod source;
pub(crate) mod tree;

use crate::docs;
use crate::harness::Test;
use tree::{Finding, Tree};

/// A named check of a whole tree.
pub(crate) struct Rule {
    pub(crate) layer: &'static str,
    pub(crate) name: &'static str,
    pub(crate) check: fn(&Tree) -> Vec<Finding>,
}

const RULES: [Rule; 18] = [
    rule("edges", crates::edges),
    rule("pure_tree", crates::pure_tree),
    rule("own_randomness", crates::own_randomness),
    rule("fault_features", crates::fault_features),
    rule("audio_by_hand", crates::audio_by_hand),
    rule("lock_sources", crates::lock_sources),
    rule("licences", licences::licences),
    rule("file_length", source::file_length),
    rule("function_length", source::function_length),
    rule("line_length", source::line_length),
    rule("leftovers", source::leftovers),
    rule("fault_names", source::fault_names),
    rule("module_story", source::module_story),
    rule("mod_rs", source::mod_rs),
    rule("top_level", layout::top_level),
    rule("links", layout::links),
    rule("machine_paths", layout::machine_paths),
    docs::FENCES,
];

const fn rule(name: &'static str, check: fn(&Tree) -> Vec<Finding>) -> Rule {
    Rule {
        layer: "tidy",
        name,
        check,
    }
}

/// The tests of this layer, and the rules of `docs`: each rule on the project, each fixture on all rules.
pub(crate) fn tests() -> Vec<Test> {
    let on_the_project = RULES.iter().map(|rule| {
        Test::new(rule.layer, rule.name, || {
            let findings = (rule.check)(tree::project()?);
            match findings.is_empty() {
                true => Ok(()),
                false => Err(listed(&findings).into()),
            }
        })
    });
    let on_fixtures = fixture::names().into_iter().map(|name| {
        Test::new("tidy", format!("fixture_{name}"), move || {
            Ok(fixture::check(&name, &RULES)?)
        })
    });
    let all_proven = Test::new("tidy", "every_rule_has_a_fixture", || {
        let proven = fixture::names()
            .iter()
            .map(|name| fixture::expected_rules(name))
            .collect::<Vec<_>>();
        let proven = proven.concat();
        let unproven = RULES
            .iter()
            .map(|rule| rule.name)
            .filter(|name| !proven.iter().any(|p| p == name));
        assert_eq!(
            unproven.collect::<Vec<_>>(),
            Vec::<&str>::new(),
            "rules that no fixture makes fail"
        );
        Ok(())
    });
    on_the_project.chain(on_fixtures).chain([all_proven]).collect()
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}
