//! The two tables after the result line: skipped tests, and time by layer.
//!
//! Time is what the bodies of the tests took, added up; tests run side by side, so the sum may exceed the
//! time on the wall. A run that selected nothing prints nothing.

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

/// One requirement that one test missed.
#[derive(Clone)]
pub(super) struct Skip {
    pub(super) needs: &'static str,
    pub(super) why: String,
    pub(super) get: &'static str,
}

#[derive(Default)]
struct Layer {
    ran: usize,
    skipped: usize,
    busy: Duration,
}

/// What happened, gathered while the tests run.
#[derive(Default)]
pub(super) struct Report {
    layers: BTreeMap<&'static str, Layer>,
    skips: BTreeMap<String, Vec<Skip>>,
}

impl Report {
    pub(super) fn ran(&mut self, layer: &'static str, took: Duration) {
        let layer = self.layers.entry(layer).or_default();
        layer.ran += 1;
        layer.busy += took;
    }

    pub(super) fn skipped(&mut self, layer: &'static str, id: &str, missing: Vec<Skip>) {
        self.layers.entry(layer).or_default().skipped += 1;
        self.skips.insert(id.to_owned(), missing);
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        if self.layers.is_empty() {
            return Ok(());
        }
        writeln!(out, "{:<10} {:>5} {:>8} {:>9}", "layer", "ran", "skipped", "time")?;
        for (name, layer) in &self.layers {
            let busy = layer.busy.as_secs_f64();
            writeln!(
                out,
                "{name:<10} {:>5} {:>8} {busy:>7.1} s",
                layer.ran, layer.skipped
            )?;
        }
        if self.skips.is_empty() {
            return writeln!(out, "skipped: nothing\n");
        }
        writeln!(
            out,
            "\nskipped: {} (a skip is a failure if AIDMESH_REQUIRE names its need)",
            self.skips.len()
        )?;
        for (id, missing) in &self.skips {
            for skip in missing {
                writeln!(
                    out,
                    "  {id}\n    needs {}: {}; get it: {}",
                    skip.needs, skip.why, skip.get
                )?;
            }
        }
        writeln!(out)
    }
}
