//! One suite for every engine. A host's engine runs it as a test with a fresh store per call.

use super::{Batch, Engine, rows};
use std::ops::ControlFlow;

/// Runs every check; `fresh` makes an empty engine. Panics with the name of the broken rule.
pub fn check<E: Engine>(mut fresh: impl FnMut() -> E) {
    get_returns_what_was_put(&mut fresh());
    a_batch_puts_and_deletes_together(&mut fresh());
    a_scan_is_ordered_and_bounded_by_its_prefix(&mut fresh());
    a_scan_stops_when_told(&mut fresh());
    large_and_empty_values_are_kept(&mut fresh());
}

fn put(engine: &mut impl Engine, pairs: &[(&[u8], &[u8])]) {
    let mut batch = Batch::new();
    for (k, v) in pairs {
        batch.put(k.to_vec(), v.to_vec());
    }
    engine
        .apply(&batch)
        .expect("an engine in this suite applies its batches");
}

fn keys(engine: &impl Engine, prefix: &[u8]) -> Vec<Vec<u8>> {
    rows(engine, prefix)
        .expect("reads work")
        .into_iter()
        .map(|(k, _)| k)
        .collect()
}

fn get_returns_what_was_put(engine: &mut impl Engine) {
    put(engine, &[(b"a", b"1"), (b"b", b"2")]);
    put(engine, &[(b"a", b"3")]);
    assert_eq!(
        engine.get(b"a").expect("read").as_deref(),
        Some(&b"3"[..]),
        "the later put wins"
    );
    assert_eq!(engine.get(b"c").expect("read"), None, "an absent key is absent");
}

fn a_batch_puts_and_deletes_together(engine: &mut impl Engine) {
    put(engine, &[(b"a", b"1")]);
    let mut batch = Batch::new();
    batch.delete(b"a".to_vec());
    batch.put(b"b".to_vec(), &b"2"[..]);
    batch.delete(b"never there".to_vec());
    engine.apply(&batch).expect("apply");
    assert_eq!(keys(engine, b""), [b"b".to_vec()], "delete and put in one batch");
}

fn a_scan_is_ordered_and_bounded_by_its_prefix(engine: &mut impl Engine) {
    put(
        engine,
        &[
            (b"t\x02", b""),
            (b"t\x01\xff", b""),
            (b"t\x01", b""),
            (b"s\xff", b""),
            (b"u", b""),
        ],
    );
    let expected = [b"t\x01".to_vec(), b"t\x01\xff".to_vec(), b"t\x02".to_vec()];
    assert_eq!(keys(engine, b"t"), expected, "ordered by bytes, prefix only");
    assert_eq!(
        keys(engine, b"\xff"),
        Vec::<Vec<u8>>::new(),
        "an empty range is empty"
    );
}

fn a_scan_stops_when_told(engine: &mut impl Engine) {
    put(engine, &[(b"1", b""), (b"2", b""), (b"3", b"")]);
    let mut seen = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    engine.scan(b"", visit).expect("scan");
    assert_eq!(seen, 2, "break ends the scan");
}

fn large_and_empty_values_are_kept(engine: &mut impl Engine) {
    let large = vec![7u8; 200_000];
    put(engine, &[(b"large", &large), (b"empty", b"")]);
    assert_eq!(
        engine.get(b"large").expect("read").as_deref(),
        Some(&large[..]),
        "200 kB value"
    );
    assert_eq!(
        engine.get(b"empty").expect("read").as_deref(),
        Some(&b""[..]),
        "empty is not absent"
    );
}
