//! The unit of the relay under the eyes of systemd.

use std::process::{Command, Stdio};

use crate::harness::{SYSTEMD, Test, project};

/// The tests of this layer.
pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("unit_file", "exposure_is_at_most_2", || {
            let output = Command::new(SYSTEMD.find()?)
                .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
                .arg(project().join("relay/aidmesh-relay.service"))
                .stdin(Stdio::null())
                .output()?;
            let printed = String::from_utf8_lossy(&output.stdout);
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(printed.contains("Overall exposure level"), "{printed}{told}");
            assert!(output.status.success(), "{printed}{told}");
            Ok(())
        })
        .needs(&SYSTEMD),
    ]
}
