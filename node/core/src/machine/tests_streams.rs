//! Items are handed to a relay once, whatever the network does, where the link itself loses nothing.

use super::tests::*;
use super::*;
use crate::directory::Role;
use crate::envelope::Class;
use crate::mailbox::Tally;
use crate::wire::Frame;
use bytes::Bytes;

const CHUNKS: usize = 40;

/// A table whose medic sends an ECG of [`CHUNKS`] kibibytes over a link of streams, or of datagrams.
fn sent(streams: bool) -> (Table, usize, usize) {
    let (mut table, medic, doctor, relay, thread) = two_and_a_relay();
    table.streams = streams;
    table.add(medic, doctor, thread, Role::Cardiologist);
    table.connect(medic, relay);
    table.pass(5_000);
    table.silence();
    let layers = vec![LayerData {
        layer: 4,
        name: "ecg.dcm".into(),
        bytes: Bytes::from(vec![7; CHUNKS * 1024]),
    }];
    let what = Outgoing::Ecg {
        recorded_ms: None,
        digest: Bytes::from_static(b"digest"),
        format: "DICOM".into(),
        layers,
    };
    let class = Class::Clinical;
    table.command(medic, Command::Send { thread, class, what });
    (table, medic, relay)
}

fn tally(table: &Table, relay: usize) -> Tally {
    table.boxes[relay].machine.holdings().tally
}

#[test]
fn nothing_goes_twice_through_a_silence_on_a_link_of_streams() {
    for (streams, twice) in [(true, false), (false, true)] {
        let (mut table, medic, relay) = sent(streams);
        let before = tally(&table, relay).chunks_again;
        table.pass(45_000);
        table.end_silence();
        table.pass(60_000);
        assert_eq!(
            tally(&table, relay).chunks_again > before,
            twice,
            "streams {streams}"
        );
        assert_eq!(table.boxes[medic].machine.waiting(), [0; 5]);
    }
}

#[test]
fn a_lost_receipt_costs_a_burst_and_no_item_on_a_link_of_streams() {
    let (mut table, medic, relay) = sent(true);
    table.lose = vec![(relay, Frame::Receipt(Bytes::new()).encode()[0]); 3];
    table.end_silence();
    table.pass(60_000);
    assert!(table.lose.is_empty(), "no receipt was lost");
    assert_eq!(tally(&table, relay).chunks_again, 0);
    assert_eq!(table.boxes[medic].machine.waiting(), [0; 5]);
}

#[test]
fn what_a_relay_threw_away_goes_out_whole_after_its_burst_was_not_answered() {
    for dropped in [5, 2 * CHUNKS] {
        let (mut table, medic, relay) = sent(true);
        // also all of it: then the relay has no reason to say anything
        let data = Frame::Data(crate::wire::Data {
            key: [0; 8],
            off: 0,
            first: None,
            last: true,
            bytes: Bytes::from_static(b"x"),
        });
        let thrown_away = data.encode()[0];
        let frames = table.under_way.as_mut().unwrap();
        let mut left = dropped;
        frames.retain(|(to, frame)| {
            let Input::Frame { bytes, .. } = frame else {
                return true;
            };
            let drops = *to == relay && bytes[0] == thrown_away && left > 0;
            left -= usize::from(drops);
            !drops
        });
        table.end_silence();
        table.pass(180_000);
        assert_eq!(table.boxes[medic].machine.waiting(), [0; 5], "{dropped} dropped");
        assert_eq!(tally(&table, relay).chunks_again, 0);
    }
}
