//! Small parsers of the DICOM reader.

use super::*;

#[test]
fn date_times_are_read_or_refused() {
    let time = date_time("20130125105919").unwrap();
    assert_eq!((time.date(), time.time()), ((2013, 1, 25), (10, 59, 19, 0)));
    let time = date_time("20130125105919.1234-0130").unwrap();
    assert_eq!((time.time().3, time.utc_offset_min()), (123, Some(-90)));
    assert_eq!(date_time("2013012510").unwrap().time(), (10, 0, 0, 0));
    for wrong in [
        "",
        "2013",
        "20131325105919",
        "20130125106019",
        "2013012510591",
        "20130125\u{e9}0",
        "20130125+1",
    ] {
        assert_eq!(date_time(wrong), None, "{wrong}");
    }
}

#[test]
fn ages_become_whole_years() {
    assert_eq!(age_years("042Y"), Some(42));
    assert_eq!(age_years("018M"), Some(1));
    assert_eq!(age_years("999Y"), None);
    assert_eq!(age_years("42"), None);
}

#[test]
fn lead_codes_of_both_schemes() {
    assert_eq!(lead_of_code("SCPECG", "5.6.3-9-61"), Some(LeadName::III));
    assert_eq!(lead_of_code("MDC", "2:3"), Some(LeadName::V1));
    assert_eq!(lead_of_code("MDC", "2:99"), None);
    assert_eq!(lead_of_code("99X", "2:3"), None);
}
