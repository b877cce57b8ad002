//! The record's arithmetic is exact and its invariants hold.

use super::*;

fn lead(name: &str, samples: usize, channel: u16) -> Lead {
    let scale = Scale::plain(Ratio::ONE);
    Lead {
        name: LeadName::parse(name),
        samples: vec![0; samples],
        scale,
        gap: None,
        file_channel: channel,
    }
}

#[test]
fn decimals_are_exact_fractions() {
    let cases = [
        ("200", Some((200, 1))),
        ("1.25", Some((5, 4))),
        ("-0.50", Some((-1, 2))),
        (
            "38777.46675997201",
            Some((3_877_746_675_997_201, 100_000_000_000)),
        ),
        ("1e-3", Some((1, 1000))),
        ("2.5E2", Some((250, 1))),
        ("0", Some((0, 1))),
        ("0e99", Some((0, 1))),
        (".5", Some((1, 2))),
        ("5.", Some((5, 1))),
        ("", None),
        (".", None),
        ("1e99", None),
        ("1.2.3", None),
        ("NaN", None),
        ("99999999999999999999", None),
    ];
    for (text, expected) in cases {
        let expected = expected.map(|(num, den)| Ratio::new(num, den).unwrap());
        assert_eq!(Ratio::parse_decimal(text), expected, "{text}");
    }
}

#[test]
fn fractions_give_their_decimal_back() {
    for text in ["1.25", "-0.5", "200", "4.88", "0.0009765625"] {
        assert_eq!(
            Ratio::parse_decimal(text).unwrap().to_decimal(16).as_deref(),
            Some(text)
        );
    }
    assert_eq!(Ratio::new(1, 3).unwrap().to_decimal(16), None);
    assert_eq!(Ratio::parse_decimal("0.0009765625").unwrap().to_decimal(8), None);
}

#[test]
fn arithmetic_is_checked() {
    let big = Ratio::new(i64::MAX, 1).unwrap();
    assert_eq!(big.times(big), None);
    assert_eq!(Ratio::ONE.over(Ratio::ZERO), None);
    let half = Ratio::new(1, 2).unwrap();
    assert_eq!(half.over(Ratio::whole(-2)), Ratio::new(-1, 4));
    assert_eq!(half.minus(Ratio::ONE), Ratio::new(-1, 2));
    assert_eq!(Ratio::new(1, 0), None);
}

#[test]
fn lead_names_are_normalised_or_kept() {
    let cases = [
        ("avr", LeadName::AVR),
        ("Lead I (Einthoven)", LeadName::I),
        ("ECG Lead V6", LeadName::V6),
        ("MDC_ECG_LEAD_AVL", LeadName::AVL),
        (" iii ", LeadName::III),
        ("MLII", LeadName::Other("MLII".into())),
        ("vx", LeadName::Other("vx".into())),
        ("V10", LeadName::Other("V10".into())),
        ("", LeadName::Other(String::new())),
    ];
    for (text, expected) in cases {
        assert_eq!(LeadName::parse(text), expected, "{text}");
    }
}

#[test]
fn leads_are_put_into_standard_order() {
    let leads = vec![
        lead("vx", 3, 0),
        lead("V1", 3, 1),
        lead("II", 3, 2),
        lead("I", 3, 3),
    ];
    let record = EcgRecord::new(Ratio::whole(500), leads, About::default()).unwrap();
    let names: Vec<String> = record.leads().iter().map(|lead| lead.name.to_string()).collect();
    assert_eq!(names, ["I", "II", "V1", "vx"]);
    assert_eq!(record.leads()[0].file_channel, 3);
}

#[test]
fn broken_invariants_are_refused() {
    let build = |rate: i64, leads| EcgRecord::new(Ratio::whole(rate), leads, About::default()).unwrap_err();
    assert_eq!(build(500, vec![]), RecordError::LeadCount(0));
    assert_eq!(build(500, vec![lead("I", 0, 0)]), RecordError::SampleCount(0));
    assert_eq!(build(1, vec![lead("I", 1, 0)]), RecordError::Rate("1".into()));
    assert_eq!(
        build(500, vec![lead("I", 1, 0), lead("i", 1, 1)]),
        RecordError::LeadTwice("I".into())
    );
    let ragged = RecordError::Ragged {
        lead: "II".into(),
        samples: 2,
        expected: 1,
    };
    assert_eq!(build(500, vec![lead("I", 1, 0), lead("II", 2, 1)]), ragged);
    let mut flat = lead("I", 1, 0);
    flat.scale.lsb_uv = Ratio::ZERO;
    assert_eq!(build(500, vec![flat]), RecordError::Scale("I".into()));
}

#[test]
fn a_gap_holds_the_value_before_it() {
    let mut row = lead("I", 0, 0);
    row.samples = vec![-9, 1, -9, 2];
    row.gap = Some(-9);
    assert_eq!(row.microvolts(), [0.0, 1.0, 1.0, 2.0]);
}

#[test]
fn civil_time_survives_the_round_trip() {
    let ms = 23 * 3_600_000 + 59 * 60_000 + 58_123;
    for date in [
        (1970, 1, 1),
        (1999, 12, 31),
        (2000, 2, 29),
        (2013, 1, 25),
        (1900, 3, 1),
        (9999, 12, 31),
    ] {
        let time = CivilTime::new(date, ms, Some(60)).unwrap();
        assert_eq!(CivilTime::from_wall_ms(time.wall_ms(), Some(60)), Some(time));
        assert_eq!(time.time(), (23, 59, 58, 123));
    }
    assert_eq!(CivilTime::new((1970, 1, 1), 5, None).unwrap().wall_ms(), 5);
    assert_eq!(
        CivilTime::new((2000, 1, 1), 0, None).unwrap().wall_ms(),
        946_684_800_000
    );
    for date in [
        (2013, 2, 29),
        (2013, 0, 1),
        (2013, 13, 1),
        (1800, 1, 1),
        (2013, 4, 31),
    ] {
        assert_eq!(CivilTime::new(date, 0, None), None, "{date:?}");
    }
    assert_eq!(CivilTime::from_wall_ms(i64::MAX, None), None);
    assert_eq!(CivilTime::new((2013, 1, 1), 86_400_000, None), None);
}
