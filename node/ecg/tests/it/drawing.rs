//! The page shows the samples, to scale, and says what it is.

use aidmesh_ecg::draw::{Gain, Options, Speed, png, svg};
use aidmesh_ecg::generate::{INVENTED_TEXT, Rhythm, generate};
use aidmesh_ecg::{EcgRecord, Lead, LeadName, measure};

/// Goal of the page: a trace lies within this of its sample.
const WITHIN_MM: f64 = 0.05;

struct Trace {
    lead: LeadName,
    start: usize,
    offset_uv: f64,
    points: Vec<(f64, f64)>,
}

fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let key = format!("{name}=\"");
    let from = line.find(&key).unwrap() + key.len();
    line[from..].split('"').next().unwrap()
}

fn traces(document: &str) -> Vec<Trace> {
    let lines = document.lines().filter(|line| line.contains("data-lead"));
    let point = |pair: &str| {
        let (x, y) = pair.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    };
    let parse = |line: &str| Trace {
        lead: LeadName::parse(attribute(line, "data-lead")),
        start: attribute(line, "data-start").parse().unwrap(),
        offset_uv: attribute(line, "data-offset-uv").parse().unwrap(),
        points: attribute(line, " points").split(' ').map(point).collect(),
    };
    lines.map(parse).collect()
}

/// Largest distance of a drawn point from its sample, mm.
fn worst_mm(record: &EcgRecord, trace: &Trace, centre: f64, left: f64, options: &Options) -> f64 {
    let row = record.lead(&trace.lead).unwrap().microvolts();
    let hz = record.rate_hz().to_f64();
    let mut worst = 0.0_f64;
    for (index, (x, y)) in trace.points.iter().enumerate() {
        let uv = row[trace.start + index] - trace.offset_uv;
        let expected_x = left + index as f64 / hz * options.speed.mm_per_s();
        let expected_y = centre - uv / 1000.0 * options.gain.mm_per_mv();
        worst = worst.max((x - expected_x).abs()).max((y - expected_y).abs());
    }
    worst
}

#[test]
fn every_trace_lies_on_its_samples() {
    let record = generate(Rhythm::InferiorStemi, 20, 1, 500, 10);
    for (speed, gain) in [
        (Speed::Mm25PerS, Gain::Mm10PerMv),
        (Speed::Mm50PerS, Gain::Mm5PerMv),
    ] {
        let options = Options {
            speed,
            gain,
            ..Options::default()
        };
        let traces = traces(&svg(&record, &options));
        assert_eq!(traces.len(), 13);
        for (index, trace) in traces.iter().enumerate() {
            let (row, column) = (index / 4, index % 4);
            let left = if row == 3 {
                25.0
            } else {
                25.0 + 62.5 * column as f64
            };
            let worst = worst_mm(&record, trace, 55.0 + 40.0 * row as f64, left, &options);
            assert!(worst <= WITHIN_MM, "{}: {worst} mm", trace.lead);
        }
        let names: Vec<String> = traces.iter().map(|trace| trace.lead.to_string()).collect();
        let expected = "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6 II";
        assert_eq!(names.join(" "), expected);
    }
}

#[test]
fn columns_follow_each_other_in_time() {
    let record = generate(Rhythm::Sinus, 0, 1, 500, 10);
    let traces = traces(&svg(&record, &Options::default()));
    let starts: Vec<usize> = traces[..4].iter().map(|trace| trace.start).collect();
    assert_eq!(starts, [0, 1250, 2500, 3750]);
    assert_eq!(traces[12].points.len(), 5000);
}

#[test]
fn a_short_record_and_missing_leads_are_drawn_as_far_as_they_go() {
    let record = generate(Rhythm::Sinus, 0, 1, 500, 3);
    let leads = record.leads()[..8].to_vec();
    let eight = EcgRecord::new(record.rate_hz(), leads, record.about.clone()).unwrap();
    let document = svg(&eight, &Options::default());
    assert!(document.contains("V6 not recorded"));
    assert_eq!(traces(&document).len(), 3 + 3 + 1);
    let leads = record.leads()[..2].to_vec();
    let two = EcgRecord::new(record.rate_hz(), leads, record.about.clone()).unwrap();
    assert_eq!(traces(&svg(&two, &Options::default())).len(), 2);
    // What does not fit is named.
    let five: Vec<Lead> = (0..5)
        .map(|index| Lead {
            name: LeadName::Other(format!("x{index}")),
            ..record.leads()[index].clone()
        })
        .collect();
    let five = EcgRecord::new(record.rate_hz(), five, record.about.clone()).unwrap();
    let document = svg(&five, &Options::default());
    assert_eq!(traces(&document).len(), 4);
    assert!(document.contains("not shown: x4<"));
}

#[test]
fn the_page_says_what_it_is() {
    let mut record = generate(Rhythm::InferiorStemi, 10, 1, 500, 10);
    record.about.patient.name = Some("<script>&\"\u{1}".to_owned());
    record.about.filter = Some("0.05-150 Hz".to_owned());
    let sentence = measure(&record).st_text();
    let badge = "PREVIEW: within 17 uV RMS".to_owned();
    let options = Options {
        badge,
        footer: vec![sentence.clone()],
        ..Options::default()
    };
    let document = svg(&record, &options);
    for text in [
        "25 mm/s",
        "10 mm/mV",
        "0.05-150 Hz (from file)",
        "PREVIEW: within 17 uV RMS",
        INVENTED_TEXT,
        &sentence,
    ] {
        assert!(document.contains(text), "{text}");
    }
    assert!(document.contains("&lt;script&gt;&amp;&quot;") && !document.contains("<script"));
    assert!(!document.to_lowercase().contains("normal"));
}

#[test]
fn a_png_of_every_option() {
    let record = generate(Rhythm::Sinus, 10, 1, 250, 10);
    for gain in [Gain::Mm5PerMv, Gain::Mm20PerMv] {
        let bytes = png(
            &record,
            &Options {
                gain,
                dpi: 72,
                ..Options::default()
            },
        )
        .unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
        let size = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        assert_eq!((size(16), size(20)), (842, 595));
    }
}
