//! The harness itself: a missing requirement must skip, and must fail once it was promised.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::report::Report;
use super::{JUDGES, RECORDINGS, Requirement, Test, Verdict, promised, verdict};

static HERE: Requirement = Requirement::new("here", "it is here", || Ok(PathBuf::from("/")));
static GONE: Requirement = Requirement::new("gone", "look for it", || Err("it is gone".to_owned()));

const LAYER: &str = "harness";

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(LAYER, "what_is_there_runs", || {
            assert!(matches!(verdict(&[&HERE], &["here".to_owned()]), Verdict::Run));
            assert!(matches!(verdict(&[], &["gone".to_owned()]), Verdict::Run));
            Ok(())
        }),
        Test::new(LAYER, "what_is_missing_skips_and_says_how_to_get_it", || {
            let Verdict::Skip(missing) = verdict(&[&HERE, &GONE], &["here".to_owned()]) else {
                return Err("not skipped".into());
            };
            let mut report = Report::default();
            report.ran(LAYER, Duration::from_millis(1500));
            report.skipped(LAYER, "harness::example", missing);
            let table = report.to_string();
            assert!(table.contains("harness        1        1     1.5 s"), "{table}");
            assert!(table.contains("harness::example\n    needs gone: it is gone; get it: look for it"));
            Ok(())
        }),
        Test::new(LAYER, "what_is_promised_and_missing_fails", || {
            let Verdict::Fail(why) = verdict(&[&GONE], &["gone".to_owned()]) else {
                return Err("not failed".into());
            };
            assert_eq!(why, "AIDMESH_REQUIRE names gone, but: it is gone");
            Ok(())
        }),
        Test::new(LAYER, "unknown_promise_is_an_error", || {
            assert_eq!(promised(None)?, Vec::<String>::new());
            assert_eq!(promised(Some(" recordings,judges, "))?, ["recordings", "judges"]);
            assert!(promised(Some("recordngs")).is_err_and(|why| why.contains("recordings, judges")));
            Ok(())
        }),
        Test::new(LAYER, "recordings_state_their_licences", || {
            let page = std::fs::read_to_string(RECORDINGS.find()?.join("README.md"))?;
            assert!(
                page.contains("licence"),
                "a recording without a licence must not be used"
            );
            Ok(())
        })
        .needs(&RECORDINGS),
        Test::new(LAYER, "judges_run", || {
            let print = ["-c", "import pydicom; print(pydicom.__version__)"];
            let output = Command::new(JUDGES.find()?).args(print).output()?;
            assert!(output.status.success() && !output.stdout.is_empty());
            Ok(())
        })
        .needs(&JUDGES),
    ]
}
