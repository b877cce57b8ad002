use super::*;
use crate::clinical::{CtlKey, CtlKeys};
use crate::crypto::x25519_public;
use crate::directory::Role;
use crate::entry::{Entry, Kind};
use crate::envelope::{Class, Envelope, Place};
use crate::golden;
use crate::group::fixture::{Device, OWNER};
use crate::id::{Kid, NodeId, OpId};
use crate::time::Hlc;

const THREAD: ThreadId = ThreadId([7; 16]);

/// A device whose certificate holds the public half of its seal key.
struct End {
    device: Device,
    secret: Secret,
    me: Recipient,
}

impl End {
    fn new(n: u8) -> End {
        let mut device = Device::new(n, Role::Physician, OWNER);
        let secret = Secret([n; 32]);
        device.cert.seal_key = x25519_public(&secret);
        let me = Recipient::of(&device.cert);
        End { device, secret, me }
    }

    fn slot(&self) -> Slot {
        self.device.slot(THREAD, 1)
    }

    fn key(&self) -> [u8; 32] {
        self.device.keys.public()
    }

    fn seal(&self, to: &End, content: &Content) -> Bytes {
        let place = (THREAD, self.slot());
        seal(&crypto(), content, place, &self.device.keys, &to.me).unwrap()
    }

    fn open(&self, payload: &[u8]) -> Result<Claim, OpenError> {
        let payload = Bytes::copy_from_slice(payload);
        Claim::open(&crypto(), &payload, &self.me, &self.secret)
    }

    /// What a device that knows the author's key reads.
    fn reads(&self, payload: &[u8], author: &[u8; 32]) -> Option<Content> {
        self.open(payload).ok()?.verify(author).ok()
    }
}

fn crypto() -> Crypto {
    Crypto::new([5; 32])
}

fn entry(body: usize) -> Bytes {
    let entry = Entry {
        kind: Kind::Alert,
        flags: 0,
        hlc: Hlc(9),
        prev8: [1; 8],
        salt: [2; 16],
        cursors: vec![(Slot([1; 4]), 4)],
        body: vec![3; body].into(),
    };
    entry.encode()
}

fn keys() -> Content {
    let key = |n: u8| CtlKey {
        kid: Kid([n; 4]),
        ck: Secret([n; 32]),
        made_by: OpId([n; 16]),
    };
    Content::Keys(CtlKeys {
        keys: vec![key(1), key(2)],
    })
}

fn handed(seq: u32) -> HandedEntry {
    HandedEntry {
        class: Class::Clinical,
        disputed: seq % 2 == 1,
        slot: Slot([6; 4]),
        seq,
        node: NodeId([8; 16]),
        rewrap: Bytes::from_static(b"proof and entry"),
    }
}

fn unsealed(body: usize) -> Content {
    Content::Unsealed(Unsealed {
        class: Class::Alarm,
        seq: 300,
        entry: entry(body),
    })
}

fn question(heads: bool, ids: &[u8]) -> Content {
    let ids = ids.iter().map(|n| [*n; 16]).collect();
    let entries = vec![];
    Content::Question(Question { heads, ids, entries })
}

fn asks_for(entries: &[(u8, u32)]) -> Content {
    let entries = entries
        .iter()
        .map(|(slot, seq)| (Slot([*slot; 4]), *seq))
        .collect();
    Content::Question(Question {
        entries,
        ..Question::default()
    })
}

#[test]
fn a_question_names_entries_in_order() {
    let asked = asks_for(&[(1, 2), (1, 300), (2, 1)]);
    let bytes = asked.encode().unwrap();
    assert_eq!(bytes.len(), 2 + 1 + 1 + 1 + 3 * 4 + 1 + 2 + 1);
    assert_eq!(Content::decode(&bytes), Ok(asked));
    let many: Vec<(u8, u32)> = (1..=limits::ENTRIES_PER_DIRECT as u32 + 1)
        .map(|n| (1, n))
        .collect();
    for wrong in [
        asks_for(&[(2, 1), (1, 1)]),
        asks_for(&[(1, 1), (1, 1)]),
        asks_for(&[(1, 0)]),
        asks_for(&many),
    ] {
        assert!(wrong.encode().is_err());
    }
    // a list of none
    assert!(Content::decode(&[4, 1, 2, 0, 0]).is_err());
    assert!(Content::decode(&[4, 1, 4, 0, 0]).is_err());
}

#[test]
fn a_question_asks_for_something_in_order() {
    for asked in [question(true, &[]), question(false, &[7])] {
        assert_eq!(Content::decode(&asked.encode().unwrap()), Ok(asked));
    }
    let many: Vec<u8> = (0..=limits::IDS_PER_QUESTION as u8).collect();
    for refused in [
        question(false, &[]),
        question(true, &[2, 1]),
        question(true, &[1, 1]),
        question(true, &many),
    ] {
        assert!(refused.encode().is_err());
    }
    let none = Content::Objects(vec![]);
    assert!(none.encode().is_err());
}

fn samples() -> [(&'static str, Content); 5] {
    [
        ("keys", keys()),
        ("handed_on", Content::HandedOn(vec![handed(299), handed(300)])),
        ("unsealed", unsealed(4)),
        ("question", question(true, &[1, 2])),
        (
            "objects",
            Content::Objects(vec![Bytes::from_static(b"envelope"); 2]),
        ),
    ]
}

/// A payload that [`seal`] would never make: any plaintext, whoever `signer` says it is from and for.
fn forged(plaintext: &[u8], to: &End, signer: &Signer<'_>) -> Bytes {
    let sealed = crypto()
        .hpke_seal(SUITE, &to.me.seal_key, &to.me.info(), &HEADER, plaintext)
        .unwrap();
    let (enc, sealed) = (sealed.kem_output, sealed.ciphertext);
    let mut bytes = [&HEADER[..], enc.as_slice(), sealed.as_slice()].concat();
    let input = signer.to.signature_input(signer.thread, signer.slot, &bytes);
    bytes.extend(signer.who.device.keys.sign(signer.domain, &input));
    bytes.into()
}

/// What a signature says of an item.
#[derive(Clone, Copy)]
struct Signer<'a> {
    who: &'a End,
    to: Recipient,
    thread: ThreadId,
    slot: Slot,
    domain: Domain,
}

impl Signer<'_> {
    fn honest<'a>(who: &'a End, to: &End) -> Signer<'a> {
        Signer {
            who,
            to: to.me,
            thread: THREAD,
            slot: who.slot(),
            domain: Domain::Direct,
        }
    }
}

#[test]
fn layouts_have_not_changed() {
    let (author, to) = (End::new(1), End::new(2));
    let mut cases = Vec::new();
    for (name, content) in samples() {
        let encoded = content.encode().unwrap();
        assert_eq!(Content::decode(&encoded), Ok(content.clone()));
        let payload = author.seal(&to, &content);
        assert_eq!((payload[0], payload.len()), (TYPE, encoded.len() + SEAL_BYTES));
        let claim = to.open(&payload).unwrap();
        assert_eq!((claim.thread(), claim.slot()), (THREAD, author.slot()));
        assert_eq!(claim.verify(&author.key()), Ok(content));
        cases.push((name.to_owned(), encoded.to_vec()));
        cases.push((format!("{name}_sealed"), payload.to_vec()));
    }
    let cases: Vec<(&str, &[u8])> = cases.iter().map(|(n, b)| (n.as_str(), &b[..])).collect();
    golden::check("direct", &cases);
}

#[test]
fn any_changed_byte_is_refused() {
    let (author, to) = (End::new(1), End::new(2));
    let payload = author.seal(&to, &keys());
    assert_eq!(to.reads(&payload, &author.key()), Some(keys()));
    for at in 0..payload.len() {
        for bit in [1, 0x80] {
            let mut bytes = payload.to_vec();
            bytes[at] ^= bit;
            assert_eq!(to.reads(&bytes, &author.key()), None, "byte {at}");
        }
    }
    golden::mutate(&payload, 500, |bytes| {
        assert_eq!(to.reads(bytes, &author.key()), None)
    });
}

#[test]
fn cut_and_stretched_ones_are_refused() {
    let (author, to) = (End::new(1), End::new(2));
    for (_, content) in samples() {
        let payload = author.seal(&to, &content);
        for n in 0..payload.len() {
            assert_eq!(to.reads(&payload[..n], &author.key()), None, "{n} bytes");
        }
        let longer = [&payload[..], &[0]].concat();
        assert_eq!(to.reads(&longer, &author.key()), None);
    }
    let huge = vec![TYPE; limits::ENVELOPE_BYTES + 1];
    assert!(matches!(to.open(&huge), Err(OpenError::Malformed(_))));
}

#[test]
fn damaged_content_is_refused_or_means_what_it_says() {
    for (_, content) in samples() {
        let encoded = content.encode().unwrap();
        // an entry ends where its bytes end
        let open_end = matches!(content, Content::Unsealed(_));
        assert!((0..encoded.len()).all(|n| Content::decode(&encoded[..n]).is_err() || open_end));
        golden::mutate(&encoded, 3_000, |bytes| {
            if let Ok(other) = Content::decode(bytes) {
                assert_eq!(
                    other.encode().unwrap()[..],
                    *bytes,
                    "two encodings of one content"
                );
            }
        });
    }
}

#[test]
fn only_the_recipient_opens_it() {
    let (author, to, other) = (End::new(1), End::new(2), End::new(3));
    let payload = author.seal(&to, &keys());
    let refused = |me: Recipient, secret: &Secret| {
        let opened = Claim::open(&crypto(), &payload, &me, secret);
        assert_eq!(opened.map(|claim| claim.thread()), Err(OpenError::NotForMe));
    };
    refused(other.me, &other.secret);
    refused(to.me, &other.secret);
    let (dev, inbox) = (other.me.dev, other.me.inbox);
    refused(Recipient { dev, ..to.me }, &to.secret);
    refused(Recipient { inbox, ..to.me }, &to.secret);
}

#[test]
fn the_signature_is_bound_to_author_recipient_thread_slot_and_purpose() {
    let (author, to, other) = (End::new(1), End::new(2), End::new(3));
    let plaintext = [&THREAD.0[..], &author.slot().0, &keys().encode().unwrap()].concat();
    let verdict = |payload: &Bytes| to.open(payload).unwrap().verify(&author.key());
    let honest = Signer::honest(&author, &to);
    let good = forged(&plaintext, &to, &honest);
    assert_eq!(good, author.seal(&to, &keys()));
    assert_eq!(verdict(&good), Ok(keys()));
    let wrong = Err(VerifyError::BadSignature);
    assert_eq!(to.open(&good).unwrap().verify(&other.key()), wrong);
    let (dev, inbox) = (other.me.dev, other.me.inbox);
    let (thread, slot) = (ThreadId([8; 16]), other.slot());
    let domain = Domain::Head;
    let others_device = Recipient { dev, ..to.me };
    let others_inbox = Recipient { inbox, ..to.me };
    for signer in [
        Signer {
            who: &other,
            ..honest
        },
        Signer {
            to: others_device,
            ..honest
        },
        Signer {
            to: others_inbox,
            ..honest
        },
        Signer { thread, ..honest },
        Signer { slot, ..honest },
        Signer { domain, ..honest },
    ] {
        assert_eq!(verdict(&forged(&plaintext, &to, &signer)), wrong);
    }
}

/// Whoever takes an item off the wire signs it as his own: the slot inside still names its author.
#[test]
fn nobody_signs_a_foreign_item_as_his_own() {
    let (author, to, thief) = (End::new(1), End::new(2), End::new(3));
    let mut bytes = author.seal(&to, &keys()).to_vec();
    bytes.truncate(bytes.len() - SIG_BYTES);
    let input = to.me.signature_input(THREAD, thief.slot(), &bytes);
    bytes.extend(thief.device.keys.sign(Domain::Direct, &input));
    let claim = to.open(&bytes).unwrap();
    assert_eq!(claim.slot(), author.slot());
    let wrong = Err(VerifyError::BadSignature);
    assert_eq!(claim.verify(&author.key()), wrong);
    assert_eq!(claim.verify(&thief.key()), wrong);
}

#[test]
fn a_well_signed_fault_is_told_from_a_bad_signature() {
    let (author, to) = (End::new(1), End::new(2));
    let honest = Signer::honest(&author, &to);
    for content in [&[][..], &[1], &[9, 1, 0], &[1, 2, 0], &[1, 1, 0], &[2, 1, 0]] {
        let plaintext = [&THREAD.0[..], &author.slot().0, content].concat();
        let claim = to.open(&forged(&plaintext, &to, &honest));
        let verdict = claim.unwrap().verify(&author.key());
        assert!(matches!(verdict, Err(VerifyError::Malformed(_))), "{content:?}");
    }
    let short = forged(&THREAD.0, &to, &honest);
    assert!(matches!(to.open(&short), Err(OpenError::Malformed(_))));
}

#[test]
fn nothing_is_sealed_that_others_would_refuse() {
    let (author, to) = (End::new(1), End::new(2));
    let order = vec![handed(2), handed(1)];
    let twice = vec![handed(2), handed(2)];
    let many = (1..=limits::ENTRIES_PER_DIRECT as u32 + 1).map(handed).collect();
    let empty = HandedEntry {
        rewrap: Bytes::new(),
        ..handed(1)
    };
    let long = HandedEntry {
        rewrap: vec![0; limits::DIRECT_BYTES].into(),
        ..handed(1)
    };
    let no_entry = Unsealed {
        class: Class::Alarm,
        seq: 1,
        entry: Bytes::from_static(b"no entry"),
    };
    let lists = [
        order,
        twice,
        many,
        vec![],
        vec![handed(0)],
        vec![empty],
        vec![long],
    ];
    let contents = lists.into_iter().map(Content::HandedOn);
    for content in contents.chain([
        Content::Keys(CtlKeys { keys: vec![] }),
        Content::Unsealed(no_entry),
    ]) {
        let sealed = seal(
            &crypto(),
            &content,
            (THREAD, author.slot()),
            &author.device.keys,
            &to.me,
        );
        assert!(matches!(sealed, Err(SealError::Malformed(_))), "{content:.60?}");
    }
}

/// All-zero shared secrets (RFC 9180 section 7.1.4), of either side.
#[test]
fn keys_of_small_order_are_refused() {
    let (author, to) = (End::new(1), End::new(2));
    let one = std::array::from_fn(|i| u8::from(i == 0));
    for seal_key in [[0; 32], one] {
        let nobody = Recipient { seal_key, ..to.me };
        let place = (THREAD, author.slot());
        let sealed = seal(&crypto(), &keys(), place, &author.device.keys, &nobody);
        assert_eq!(sealed, Err(SealError::SealKey));
        let mut bytes = author.seal(&to, &keys()).to_vec();
        bytes[HEADER.len()..][..ENC_BYTES].copy_from_slice(&seal_key);
        assert_eq!(to.open(&bytes).map(|_| ()), Err(OpenError::NotForMe));
    }
}

#[test]
fn the_largest_content_and_the_largest_alarm_fit_their_envelopes() {
    let (author, to) = (End::new(1), End::new(2));
    let envelope = |class: Class, payload| Envelope {
        class,
        ttl: class.ttl(),
        handle: to.me.inbox,
        place: Place::Inbox,
        payload,
    };
    let room = limits::DIRECT_BYTES - Content::HandedOn(vec![handed(1)]).encode().unwrap().len();
    let rewrap = vec![0; handed(1).rewrap.len() + room - 2].into();
    let largest = Content::HandedOn(vec![HandedEntry { rewrap, ..handed(1) }]);
    assert_eq!(largest.encode().unwrap().len(), limits::DIRECT_BYTES);
    let bytes = envelope(Class::Text, author.seal(&to, &largest)).encode();
    assert!(bytes.len() <= limits::ENVELOPE_BYTES);
    let payload = Envelope::decode(&bytes).unwrap().payload;
    assert_eq!(to.reads(&payload, &author.key()), Some(largest));

    let body = limits::ALARM_BYTES - limits::ALARM_SEAL_BYTES - entry(0).len();
    let alarm = envelope(Class::Alarm, author.seal(&to, &unsealed(body))).encode();
    assert!(alarm.len() <= limits::ALARM_BYTES, "{} bytes", alarm.len());
}

#[test]
fn a_carrier_sees_neither_thread_nor_author_nor_recipient() {
    let (author, to) = (End::new(1), End::new(2));
    let payload = author.seal(&to, &unsealed(100));
    let dev = author.device.dev();
    let hidden: [&[u8]; 6] = [
        &THREAD.0,
        &author.slot().0,
        &author.key(),
        &dev.0,
        &to.me.dev.0,
        &[3; 8],
    ];
    for id in hidden {
        assert!(!payload.windows(id.len()).any(|window| window == id));
    }
    let claim = to.open(&payload).unwrap();
    assert_eq!(
        format!("{claim:?}"),
        format!("Claim(07070707, {})", author.slot())
    );
    assert!(format!("{:?}", keys()).contains("ck: Secret,"));
}

#[test]
fn each_seal_has_its_own_key_and_repeats_with_its_seed() {
    let (author, to) = (End::new(1), End::new(2));
    let enc = |payload: &Bytes| payload[HEADER.len()..][..ENC_BYTES].to_vec();
    let (first, other) = (author.seal(&to, &keys()), author.seal(&to, &unsealed(4)));
    assert_ne!(enc(&first), enc(&other));
    assert_eq!(first, author.seal(&to, &keys()));
    let place = (THREAD, author.slot());
    let later = seal(&Crypto::new([6; 32]), &keys(), place, &author.device.keys, &to.me).unwrap();
    assert_ne!(enc(&first), enc(&later));
    assert_eq!(to.reads(&later, &author.key()), Some(keys()));
}
