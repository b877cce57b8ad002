//! Tests with requirements, and the tables at the end.
//!
//! A [`Test`] belongs to a layer and may need things that a bare machine lacks ([`Requirement`]). What is
//! missing makes it *skipped*, never silently passed: it is counted as ignored and listed after the result
//! line with the reason and the way to get it. A requirement named in `AIDMESH_REQUIRE` (comma list) has
//! been promised by the caller, so a skip for want of it is a failure. An unknown name there is an error,
//! lest a typing mistake turn failures into skips.
//!
//! Running, filtering and printing of single tests is `libtest-mimic`; nothing here knows what is tested.

mod report;
mod requirement;
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use report::{Report, Skip};
pub(crate) use requirement::{GIT, JUDGES, PRODUCT, RECORDINGS, Requirement, SYSTEMD, project, target};

type Body = Box<dyn FnOnce() -> Result<(), Failed> + Send>;

/// One test: where it belongs, what it needs, what it does.
pub(crate) struct Test {
    layer: &'static str,
    name: String,
    needs: Vec<&'static Requirement>,
    body: Body,
}

impl Test {
    /// A test that needs nothing but Rust and a C compiler. A panic or `Err` in `body` is a failure.
    pub(crate) fn new(
        layer: &'static str,
        name: impl Into<String>,
        body: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Test {
        Test {
            layer,
            name: name.into(),
            needs: Vec::new(),
            body: Box::new(body),
        }
    }

    /// Adds a requirement; all of them must be met for the test to run.
    pub(crate) fn needs(mut self, requirement: &'static Requirement) -> Test {
        self.needs.push(requirement);
        self
    }

    fn id(&self) -> String {
        format!("{}::{}", self.layer, self.name)
    }

    fn into_trial(self, promised: Arc<Vec<String>>, report: Arc<Mutex<Report>>) -> Trial {
        let id = self.id();
        Trial::ignorable_test(id.clone(), move || match verdict(&self.needs, &promised) {
            Verdict::Fail(why) => {
                report.lock().unwrap().ran(self.layer, Duration::ZERO);
                Err(why.into())
            }
            Verdict::Skip(missing) => {
                let reason = missing
                    .iter()
                    .map(|skip| skip.needs)
                    .collect::<Vec<_>>()
                    .join(", ");
                report.lock().unwrap().skipped(self.layer, &id, missing);
                Ok(Completion::ignored_with(format!("needs {reason}")))
            }
            Verdict::Run => {
                // Booked by a guard, so that a test which panics is counted too.
                let _timer = Timer {
                    layer: self.layer,
                    start: Instant::now(),
                    report,
                };
                (self.body)().map(|()| Completion::Completed)
            }
        })
    }
}

/// Runs the tests that the command line selects and prints the tables after the result line.
pub(crate) fn run(tests: Vec<Test>) -> ExitCode {
    let arguments = Arguments::from_args();
    let promised = match promised(std::env::var("AIDMESH_REQUIRE").ok().as_deref()) {
        Ok(names) => Arc::new(names),
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let mut ids = BTreeSet::new();
    for test in &tests {
        assert!(ids.insert(test.id()), "two tests are called {}", test.id());
    }

    let report = Arc::new(Mutex::new(Report::default()));
    let trials = tests
        .into_iter()
        .map(|test| test.into_trial(promised.clone(), report.clone()))
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    print!("{}", report.lock().unwrap());
    conclusion.exit_code()
}

enum Verdict {
    Run,
    Skip(Vec<Skip>),
    Fail(String),
}

fn verdict(needs: &[&'static Requirement], promised: &[String]) -> Verdict {
    let mut missing = Vec::new();
    for requirement in needs {
        let Err(why) = requirement.find() else { continue };
        if promised.iter().any(|name| name == requirement.name) {
            let name = requirement.name;
            return Verdict::Fail(format!("AIDMESH_REQUIRE names {name}, but: {why}"));
        }
        missing.push(Skip {
            needs: requirement.name,
            why,
            get: requirement.get,
        });
    }
    if missing.is_empty() {
        Verdict::Run
    } else {
        Verdict::Skip(missing)
    }
}

/// Reads the comma list of `AIDMESH_REQUIRE`.
fn promised(list: Option<&str>) -> Result<Vec<String>, String> {
    let names = list
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names
        .map(
            |name| match requirement::ALL.iter().any(|known| known.name == name) {
                true => Ok(name.to_owned()),
                false => {
                    let known = requirement::ALL.map(|known| known.name).join(", ");
                    Err(format!(
                        "AIDMESH_REQUIRE: no requirement is called {name:?}; there are: {known}"
                    ))
                }
            },
        )
        .collect()
}

struct Timer {
    layer: &'static str,
    start: Instant,
    report: Arc<Mutex<Report>>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.report.lock().unwrap().ran(self.layer, self.start.elapsed());
    }
}
