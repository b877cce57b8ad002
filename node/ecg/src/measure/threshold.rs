//! ST elevation thresholds of the 4th Universal Definition of Myocardial
//! Infarction (Thygesen et al., Circulation 138:e618, 2018, table 2): elevation
//! in two contiguous leads of at least 1 mm in all leads but V2-V3, and in V2-V3
//! at least 2 mm in men of 40 and above, 2.5 mm in younger men, 1.5 mm in women.
//!
//! The definition measures at the J point; this program measures at J + 60 ms,
//! where the end of a broad QRS does less harm. Where age or sex are not known
//! the lowest threshold that could apply is used, so that no elevation is
//! passed over for want of a date of birth. aVR has no threshold.

use crate::record::{Patient, Sex};

const I: usize = 0;
const II: usize = 1;
const III: usize = 2;
const AVR: usize = 3;
const AVL: usize = 4;
const AVF: usize = 5;
const V1: usize = 6;
const V2: usize = 7;
const V3: usize = 8;
const V4: usize = 9;
const V5: usize = 10;
const V6: usize = 11;

/// Pairs of neighbours: inferior, high lateral, lateral, and along the chest.
const CONTIGUOUS: [(usize, usize); 11] = [
    (II, III),
    (II, AVF),
    (III, AVF),
    (I, AVL),
    (I, V5),
    (I, V6),
    (V1, V2),
    (V2, V3),
    (V3, V4),
    (V4, V5),
    (V5, V6),
];

/// Which leads meet their threshold together with a contiguous one.
pub(super) fn meets(st_uv: &[Option<f64>; 12], patient: &Patient) -> [bool; 12] {
    let above = |lead: usize| st_uv[lead].is_some_and(|uv| uv >= threshold_uv(lead, patient));
    let mut meets = [false; 12];
    for (one, other) in CONTIGUOUS {
        if above(one) && above(other) {
            (meets[one], meets[other]) = (true, true);
        }
    }
    meets
}

/// Threshold of a lead of the standard order, uV.
fn threshold_uv(lead: usize, patient: &Patient) -> f64 {
    match (lead, patient.sex, patient.age_years) {
        (AVR, _, _) => f64::INFINITY,
        (V2 | V3, Some(Sex::Male), Some(0..40)) => 250.0,
        (V2 | V3, Some(Sex::Male), _) => 200.0,
        (V2 | V3, _, _) => 150.0,
        _ => 100.0,
    }
}
