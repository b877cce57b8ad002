//! One text for each entry, as a list or a page shows it.
//!
//! Texts of people are whole and unchanged. What a program says about an ECG are the words of
//! `aidmesh-ecg`, made from the digest in the entry: the same on the sending and on the receiving side.

use super::show;
use aidmesh_core::blob::Layer;
use aidmesh_core::clinical::{Body, EcgSnapshot, Emergency, Vitals};
use aidmesh_core::delivery::words;
use aidmesh_core::directory::Roles;
use aidmesh_core::machine::EntryView;
use aidmesh_ecg::digest;

/// The text. `what`: of the alert that an act is about.
pub(super) fn text(view: &EntryView, what: Option<Emergency>) -> String {
    match &view.body {
        Body::Note(note) => note.text.clone(),
        Body::EcgSnapshot(ecg) => ecg_text(ecg),
        Body::Alert(alert) => {
            let roles: Vec<&str> = Roles(alert.role).iter().map(|role| role.name()).collect();
            let head = format!("{} alert to {}", emergency_word(alert.what), roles.join(", "));
            match alert.text.is_empty() {
                true => head,
                false => format!("{head}: {}", alert.text),
            }
        }
        Body::Acknowledgement(ack) => words::act_word(ack.act, what).to_owned() + &on(ack.layer),
        Body::Seen(seen) => words::text("state.seen").to_owned() + &on(seen.layer),
        Body::Recall(recall) => format!("{}: {}", words::text("mark.recalled"), recall.why),
        Body::Vitals(vitals) => vitals_text(vitals),
        Body::Position(position) => match position.eta_min {
            Some(eta) => format!("arrives in {eta} min"),
            None => "position".into(),
        },
        Body::SignOn(sign_on) if sign_on.on => "signed on".into(),
        Body::SignOn(_) => "signed off".into(),
        Body::Roster(roster) => format!("cards of {} devices", roster.cards.len()),
        Body::Unknown { .. } => "written by a newer version; this program cannot show it".into(),
        Body::CtlKeys(_) | Body::Raw(_) => show::kind(view.kind),
    }
}

/// The name of an emergency for programs.
pub(super) fn emergency_id(what: Emergency) -> &'static str {
    match what {
        Emergency::Stemi => "stemi",
        Emergency::Stroke => "stroke",
        Emergency::Trauma => "trauma",
        Emergency::Other | Emergency::Unknown(_) => "other",
    }
}

fn emergency_word(what: Emergency) -> &'static str {
    match what {
        Emergency::Stemi => "STEMI",
        Emergency::Stroke => "Stroke",
        Emergency::Trauma => "Trauma",
        Emergency::Other | Emergency::Unknown(_) => "Emergency",
    }
}

/// What was judged on less than every sample says so.
fn on(layer: Option<Layer>) -> String {
    let judged = layer.filter(|layer| *layer < Layer::LOSSLESS);
    judged.map_or_else(String::new, |layer| {
        words::fill("line.on", &[("layer", words::layer_word(layer))])
    })
}

fn ecg_text(ecg: &EcgSnapshot) -> String {
    let Ok(digest) = digest::decode(&ecg.digest) else {
        return format!("ECG ({}); its digest is of a newer version", ecg.format);
    };
    let leads = digest.leads.count_ones() + u32::from(digest.other_leads);
    let seconds = f64::from(digest.duration_ms) / 1000.0;
    let invented = if digest.invented { "invented " } else { "" };
    let rate = digest.heart_rate_dbpm.map_or_else(String::new, |tenths| {
        format!(", rate {}", (u32::from(tenths) + 5) / 10)
    });
    format!(
        "{invented}{leads}-lead ECG, {seconds:.1} s{rate}: {}",
        digest.st_text()
    )
}

fn vitals_text(vitals: &Vitals) -> String {
    let tenths = |n: u16| format!("{}.{}", n / 10, n % 10);
    let parts = [
        vitals.heart_rate.map(|n| format!("heart rate {n}")),
        vitals
            .pressure_mmhg
            .map(|(sys, dia)| format!("pressure {sys}/{dia}")),
        vitals.spo2_permille.map(|n| format!("SpO2 {} %", tenths(n))),
        vitals
            .resp_rate_tenths
            .map(|n| format!("respiration {}", tenths(n))),
        vitals.gcs.map(|n| format!("GCS {n}")),
        vitals
            .temp_centi_c
            .map(|n| format!("{:.1} °C", f64::from(n) / 100.0)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
