use super::*;
use aidmesh_core::id::Org;
use aidmesh_core::mailbox::{Tally, Usage};

fn full() -> Snapshot {
    let mut tally = Tally {
        stored: 12,
        receipts: 11,
        chunks_again: 6,
        ..Tally::default()
    };
    tally.refused[11] = 3;
    Snapshot {
        uptime_s: 90,
        holdings: Some(Holdings {
            usage: Usage {
                bytes: 4096,
                items: 8,
                by_class: [1, 2, 3, 4, 5],
                handles: 2,
            },
            quota_bytes: 1 << 30,
            by_org: vec![(Org([0xab; 8]), 4000)],
            tally,
            restored: true,
        }),
        links: 7,
        admission: Counts {
            admitted: 9,
            lease_ended: 1,
            refused: [(Refusal::Revoked, 4)].into(),
        },
        transport: TransportCounts {
            failed: 21,
            replaced: 22,
            violations: 23,
        },
        store: StoreCounts {
            commits: 5,
            errors: 1,
            last_commit_age_s: Some(1.5),
            last_commit_took_s: Some(0.25),
        },
        disk_bytes: 8192,
        not_ready: None,
    }
}

#[test]
fn every_sum_is_there_with_its_value() {
    let text = text(&full());
    for line in [
        "aidmesh_relay_ready 1",
        "aidmesh_relay_uptime_seconds 90",
        "aidmesh_relay_links 7",
        "aidmesh_relay_disk_bytes 8192",
        "aidmesh_relay_admitted_total 9",
        "aidmesh_relay_lease_ended_total 1",
        "aidmesh_relay_refused_total{reason=\"revoked\"} 4",
        "aidmesh_relay_refused_total{reason=\"not_served\"} 0",
        "aidmesh_relay_handshakes_failed_total 21",
        "aidmesh_relay_links_replaced_total 22",
        "aidmesh_relay_violations_total 23",
        "aidmesh_relay_chunks_again_total 6",
        "aidmesh_relay_commits_total 5",
        "aidmesh_relay_store_errors_total 1",
        "aidmesh_relay_last_commit_age_seconds 1.5",
        "aidmesh_relay_last_commit_duration_seconds 0.25",
        "aidmesh_relay_items 8",
        "aidmesh_relay_kept_bytes 4096",
        "aidmesh_relay_room_bytes 1073741824",
        "aidmesh_relay_restored 1",
        "aidmesh_relay_class_bytes{class=\"alarm\"} 1",
        "aidmesh_relay_class_bytes{class=\"bulk\"} 5",
        "aidmesh_relay_organisation_bytes{organisation=\"abababab\"} 4000",
        "aidmesh_relay_items_stored_total 12",
        "aidmesh_relay_receipts_total 11",
        "aidmesh_relay_items_refused_total{reason=\"organisation_share\"} 3",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nnot in\n{text}");
    }
    assert!(text.contains("aidmesh_relay_build{version=\""));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn without_a_machine_nothing_is_said_of_items() {
    let now = Snapshot {
        holdings: None,
        not_ready: Some("the store cannot save"),
        ..full()
    };
    let text = text(&now);
    assert!(text.contains("aidmesh_relay_ready 0\n"));
    assert!(!text.contains("aidmesh_relay_items"));
}
