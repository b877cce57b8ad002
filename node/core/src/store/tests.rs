use super::*;

#[test]
fn memory_conforms() {
    conformance::check(Memory::new);
}

#[test]
fn layers_hide_and_add_rows_in_order() {
    let mut base = Memory::new();
    let mut first = Batch::new();
    for key in ["a", "c", "e"] {
        first.put(key.into(), key.as_bytes().to_vec());
    }
    base.apply(&first).unwrap();
    let mut flight = Batch::new();
    flight.delete(b"c".to_vec());
    flight.put(b"b".to_vec(), &b"b"[..]);
    let mut current = Batch::new();
    current.put(b"e".to_vec(), &b"E"[..]);
    current.put(b"f".to_vec(), &b"f"[..]);
    let in_flight = VecDeque::from([(1, flight)]);
    let view = Layered::new(&base, &in_flight, &current);
    let all: Vec<_> = rows(&view, b"").unwrap().into_iter().map(|(_, v)| v).collect();
    assert_eq!(all, ["a", "b", "E", "f"]);
    assert_eq!(view.get(b"c").unwrap(), None);
    let mut first_only = Vec::new();
    view.scan(b"", &mut |k, _| {
        first_only.push(k.to_vec());
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(first_only, [b"a".to_vec()]);
}
