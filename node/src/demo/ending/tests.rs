//! The last lines.

use super::{checks, without_link_ms};
use crate::demo::claims::Judged;
use crate::demo::summary::{Blind, Outage, Truth};

#[test]
fn time_without_link_counts_within_the_window_only() {
    let outage = |from_ms, to_ms| Outage {
        name: "x",
        from_ms,
        to_ms,
    };
    let outages = [
        outage(3_000, Some(15_000)),
        outage(17_300, Some(20_300)),
        outage(50_000, None),
    ];
    assert_eq!(without_link_ms((4_500, 34_200), &outages), 10_500 + 3_000);
    assert_eq!(without_link_ms((0, 1_000), &outages), 0);
    assert_eq!(without_link_ms((60_000, 61_000), &outages), 1_000);
    assert_eq!(without_link_ms((0, 1_000), &[]), 0);
}

#[test]
fn a_false_line_is_named() {
    let wrong = Judged {
        state: "delivered".into(),
        recipient: "Dr K".into(),
        layer: None,
        at_ms: 4_500,
        shown_at_ms: 4_501,
        evidence: "device_receipt",
        truth: false,
        why: Some("the hospital had not opened it"),
    };
    let blind = Blind {
        secrets: 12,
        control_found: 12,
        bytes_scanned: 213_001,
        ..Blind::default()
    };
    let text = checks(
        &Truth {
            claims: 17,
            false_claims: 1,
        },
        &blind,
        &[wrong],
    );
    assert_eq!(
        text,
        "\nCHECK    17 status lines compared with what was really on the disks: 16 true, 1 false.\n\
         \x20        false: delivered at 4.5 s: the hospital had not opened it.\n\
         CHECK    12 planted secrets searched in 214 kB the relay stored or passed on: \
         0 found (control: 12).\n"
    );
}
