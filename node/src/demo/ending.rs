//! After the last act: evidence, secrets, gates, the last lines.
//!
//! Evidence is asked of the processes while they still run. Then all of them are stopped, so that what the
//! relay has is on its disk, and its folder is searched as any thief of that disk would. A story that broke
//! off is judged by the same gates; what it never measured fails.

use std::time::Duration;

use super::canary::{self, Found, Search, Secret};
use super::claims::{Evidence, Judged, RelayLook};
use super::gates::{self, Measured};
use super::opened;
use super::prepare::{DR_K, MEDIC_A};
use super::script::{ALERT, CASE, HOTLINE, NOTE, Played, UNDERPASS};
use super::story::{BrokeOff, Story, Word};
use super::summary::{Blind, Bytes, Host, Integrity, Link, Outage, Person, Resume, Summary, Timings, Truth};
use super::transcript::{Place, SCHEMA, Transcript, grouped, millis, short};
use crate::api::types::ThreadInfo;

/// Pieces of the ECG's files among the secrets.
const PIECES: usize = 6;
const UNKNOWN: &str = "unknown";

/// What the end found out.
#[derive(Debug)]
pub(super) struct Ending {
    /// The last object.
    pub summary: Summary,
    /// The last lines.
    pub text: String,
}

/// Secrets of this story.
pub(super) fn secrets(story: &Story) -> Vec<Secret> {
    let mut secrets = vec![
        canary::text("label of the patient", CASE),
        canary::text("title of the hotline", HOTLINE),
        canary::text("name of the cardiologist", DR_K),
        canary::text("name of the medic", MEDIC_A),
        canary::text("text of the alert", ALERT),
        canary::text("text of the note", NOTE),
    ];
    for file in &story.recording.files {
        let share = PIECES.div_ceil(story.recording.files.len());
        secrets.extend(canary::pieces(&file.name, &file.bytes, share));
    }
    secrets
}

/// Judges everything, stops the processes and sums up.
pub(super) async fn end(
    mut story: Story,
    played: Result<Played, BrokeOff>,
    seed: u64,
) -> (Ending, Transcript) {
    let (played, broke_off) = match played {
        Ok(played) => (played, None),
        Err(why) => (Played::default(), Some(why)),
    };
    let judged = judge_claims(&story).await;
    let people = people(&story).await;
    let plaintext = plaintext(&story, &played).await;
    let memory_bytes = story.cast.running().map(|process| process.peak_bytes()).sum();
    let passed = story.prepared.proxy.counters();
    let blind = blind(&mut story, &plaintext).await;
    let mut measured = measured(&story, &played, &judged, blind.as_ref(), memory_bytes);
    if broke_off.is_some() {
        // what was never said cannot be found
        measured.control = None;
    }
    let gates = gates::judge(&measured);
    let failed = gates.iter().find(|gate| !gate.pass);
    let ok = failed.is_none() && broke_off.is_none();
    let truth = Truth {
        claims: judged.len(),
        false_claims: judged.iter().filter(|judged| !judged.truth).count(),
    };
    let blind = blind.unwrap_or_default();
    let mut text = checks(&truth, &blind, &judged);
    // a gate that was measured says more than the end of a story
    let measured_and_failed = gates.iter().find(|gate| !gate.pass && gate.value.is_some());
    text.push_str(&match (measured_and_failed, &broke_off, failed) {
        (Some(gate), _, _) | (None, None, Some(gate)) => gates::failure(gate, seed),
        (None, Some(why), _) => broken(why, seed),
        (None, None, None) => success(&story),
    });
    let original_bytes = story.recording.bytes();
    let summary = Summary {
        type_: "summary",
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        commit: option_env!("AIDMESH_COMMIT"),
        seed,
        ok,
        exit_code: u8::from(!ok),
        wall_ms: millis(story.now()),
        host: Host::here(),
        ecg: story.recording.ecg(),
        link: Link::new(&story.profile, &passed, std::mem::take(&mut story.outages)),
        people,
        states: judged,
        timings_ms: timings(&story),
        bytes: Bytes::new(&passed, original_bytes),
        resume: Resume {
            parts_total: played.parts_total,
            parts_before_cut: played.parts_before_cut,
            parts_sent_twice: measured.parts_sent_twice,
        },
        truth,
        blind,
        integrity: Integrity {
            samples_equal: measured.samples_equal,
            original_equal: measured.original_equal,
        },
        gates,
        broke_off: broke_off.map(|why| why.to_string()),
    };
    (Ending { summary, text }, story.transcript)
}

async fn judge_claims(story: &Story) -> Vec<Judged> {
    let mut evidence = Evidence {
        started_ms: story.started_ms,
        relay_before: story.relay_before.clone(),
        ..Evidence::default()
    };
    let look = |stock: &super::happening::Stock| RelayLook {
        at_ms: stock.at_ms,
        stored: stock.stored,
    };
    evidence.relay = story.log.looks.iter().map(look).collect();
    for claim in &story.claims {
        if !evidence.stored.contains_key(&claim.entry)
            && let Ok(status) = story.ambulance.status(&claim.entry).await
        {
            evidence.stored.insert(claim.entry.clone(), status.at_ms);
        }
    }
    let of_hospital = story
        .log
        .events
        .iter()
        .filter(|(place, _)| *place == Place::Hospital);
    for (_, event) in of_hospital {
        let Some(entry) = event.entry.clone() else {
            continue;
        };
        match (event.event.as_str(), event.layer.clone()) {
            ("arrived", _) => evidence.arrived.entry(entry).or_insert(event.at_ms),
            ("layer", Some(layer)) => evidence.layers.entry((entry, layer)).or_insert(event.at_ms),
            _ => continue,
        };
    }
    for thread in story.hospital.threads().await.unwrap_or_default() {
        evidence
            .hospital
            .extend(story.hospital.entries(&thread.thread).await.unwrap_or_default());
    }
    story.claims.iter().map(|claim| evidence.judge(claim)).collect()
}

async fn people(story: &Story) -> Vec<Person> {
    let mut people = Vec::new();
    let cast = [
        (DR_K, "on-call cardiologist", &story.hospital),
        (MEDIC_A, "paramedic", &story.ambulance),
    ];
    for (name, role, node) in cast {
        let device8 = node
            .view()
            .await
            .map_or_else(|_| UNKNOWN.into(), |view| view.device8);
        people.push(Person {
            name: short(name).into(),
            role: role.into(),
            device8,
            acted_by: "script",
        });
    }
    people
}

/// Parts that the relay got again since the underpass ended.
fn again_since_cut(story: &Story) -> Option<u64> {
    let since_ms = story
        .outages
        .iter()
        .rfind(|outage| outage.name == UNDERPASS)?
        .to_ms?;
    let since = story.started + Duration::from_millis(since_ms);
    let before = story.log.looks.iter().rfind(|stock| stock.at <= since)?.again?;
    Some(story.log.looks.last()?.again?.saturating_sub(before))
}

/// What the hospital may read, as it would be found on a disk without a vault.
async fn plaintext(story: &Story, played: &Played) -> Vec<u8> {
    let mut all = Vec::new();
    let threads: Vec<ThreadInfo> = story.hospital.threads().await.unwrap_or_default();
    for thread in threads {
        let whole = story.hospital.thread(&thread.thread).await.unwrap_or(thread);
        let entries = story.hospital.entries(&whole.thread).await.unwrap_or_default();
        all.extend(serde_json::to_vec(&whole).unwrap_or_default());
        all.extend(serde_json::to_vec(&entries).unwrap_or_default());
    }
    for file in &played.arrived {
        all.extend_from_slice(&file.bytes);
    }
    all
}

/// Stops everything and searches; `None` if the search could not be made.
async fn blind(story: &mut Story, plaintext: &[u8]) -> Option<Blind> {
    let search = Search::new(&secrets(story))?;
    let captured = story.prepared.proxy.captured();
    story.cast.stop().await;
    let (mut wire, mut disk, mut control) = (Found::default(), Found::default(), Found::default());
    for datagram in captured.to_target.iter().chain(&captured.to_client) {
        search.over(datagram, &mut wire);
    }
    search
        .over_folder(&story.stage.data(Place::Relay), &mut disk)
        .ok()?;
    if let Ok(log) = std::fs::read(story.stage.log(Place::Relay)) {
        search.over(&log, &mut disk);
    }
    let (data, key) = (story.stage.data(Place::Relay), &story.prepared.relay_key);
    let rows = opened::search_rows(&search, &data, key, &mut disk).ok()?;
    search.over(plaintext, &mut control);
    // a capture with holes proves nothing, nor does an empty store
    (captured.missed == 0 && rows > 0).then(|| Blind {
        secrets: search.count(),
        found_on_relay_disk: disk.count(),
        found_on_wire: wire.count(),
        control_found: control.count(),
        bytes_scanned: disk.and(&wire).bytes,
        found: search.names(&disk.and(&wire)),
        control_missed: search.missing(&control),
    })
}

fn measured(
    story: &Story,
    played: &Played,
    judged: &[Judged],
    blind: Option<&Blind>,
    memory_bytes: Option<u64>,
) -> Measured {
    let marks = &story.marks;
    let shown = |word: Word| marks.shown.get(&word).copied();
    let wrong = judged.iter().filter(|judged| !judged.truth).count();
    let relay_had = marks.tunnel_end.and_then(|moment| story.relay_around(moment));
    let arrived = !played.arrived.is_empty();
    Measured {
        send_to_stored: shown(Word::Stored)
            .zip(marks.sent)
            .map(|(shown, sent)| shown - sent),
        false_claims: Some((wrong, judged.len())),
        secrets_found: blind.map(|blind| blind.found_on_relay_disk.max(blind.found_on_wire)),
        control: blind.map(|blind| (blind.control_found, blind.secrets)),
        tunnel_end_to_relay: relay_had
            .zip(marks.tunnel_end)
            .map(|((_, after), end)| after.at - end),
        parts_sent_twice: again_since_cut(story),
        samples_equal: arrived.then(|| story.recording.same_samples(&played.arrived)),
        original_equal: arrived.then(|| story.recording.same_files(&played.arrived)),
        ack_to_shown: shown(Word::Acknowledged)
            .zip(marks.pressed)
            .map(|(shown, pressed)| shown - pressed),
        whole_run: Some(story.now()),
        memory_bytes,
        original_bytes: story.recording.bytes(),
        rate_bps: story.profile.rate_bps,
    }
}

fn timings(story: &Story) -> Timings {
    let marks = &story.marks;
    let shown = |word: Word| marks.shown.get(&word).copied();
    let between = |from: Option<tokio::time::Instant>, to: Option<tokio::time::Instant>| {
        from.zip(to)
            .map(|(from, to)| millis(to.saturating_duration_since(from)))
    };
    let relay_had = marks.tunnel_end.and_then(|moment| story.relay_around(moment));
    Timings {
        send_to_stored: between(marks.sent, shown(Word::Stored)),
        tunnel_end_to_relay: between(marks.tunnel_end, relay_had.map(|(_, after)| after.at)),
        alert_to_seen: between(marks.sent, shown(Word::Seen)),
        alert_to_ack: between(marks.sent, shown(Word::Acknowledged)),
        ack_to_shown_in_ambulance: between(marks.pressed, shown(Word::Acknowledged)),
        original_complete: between(marks.sent, marks.original),
    }
}

fn checks(truth: &Truth, blind: &Blind, judged: &[Judged]) -> String {
    let kilobytes = grouped(blind.bytes_scanned.div_ceil(1_000));
    let found = blind.found_on_relay_disk.max(blind.found_on_wire);
    let mut text = format!(
        "\nCHECK    {} status lines compared with what was really on the disks: {} true, {} false.\n",
        truth.claims,
        truth.claims - truth.false_claims,
        truth.false_claims
    );
    for wrong in judged.iter().filter(|judged| !judged.truth) {
        let (at_s, why) = (wrong.at_ms as f64 / 1_000.0, wrong.why.unwrap_or_default());
        text.push_str(&format!(
            "         false: {} at {at_s:.1} s: {why}.\n",
            wrong.state
        ));
    }
    text.push_str(&format!(
        "CHECK    {} planted secrets searched in {kilobytes} kB the relay stored or passed on: \
         {found} found (control: {}).\n",
        blind.secrets, blind.control_found
    ));
    for (what, names) in [("found", &blind.found), ("control missed", &blind.control_missed)] {
        for name in names {
            text.push_str(&format!("         {what}: {name}.\n"));
        }
    }
    text
}

/// The last line of a run that holds.
fn success(story: &Story) -> String {
    let marks = &story.marks;
    let shown = |word: Word| marks.shown.get(&word).copied();
    let seconds = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64();
    let digest = shown(Word::Alarm)
        .zip(marks.tunnel_end)
        .map(|(shown, end)| shown - end);
    let (sent, acknowledged) = (marks.sent, shown(Word::Acknowledged));
    let whole = acknowledged
        .zip(sent)
        .map(|(acknowledged, sent)| acknowledged - sent);
    let since_start = |moment: tokio::time::Instant| millis(moment - story.started);
    let window = sent
        .zip(acknowledged)
        .map(|(from, to)| (since_start(from), since_start(to)));
    let without_ms = window.map_or(0, |window| without_link_ms(window, &story.outages));
    format!(
        "RESULT   OK. Tunnel end to digest at the hospital {:.1} s. Alert to acknowledgement {:.1} s, \
         {:.1} s of it without link.",
        seconds(digest),
        seconds(whole),
        without_ms as f64 / 1_000.0
    )
}

/// How much of a time was without link.
fn without_link_ms((from_ms, to_ms): (u64, u64), outages: &[Outage]) -> u64 {
    let within = outages.iter().map(|outage| {
        let end_ms = outage.to_ms.unwrap_or(u64::MAX).min(to_ms);
        end_ms.saturating_sub(outage.from_ms.max(from_ms))
    });
    within.sum()
}

/// The last lines of a story that broke off.
pub(super) fn broken(why: &BrokeOff, seed: u64) -> String {
    format!(
        "RESULT   FAILED: {why}.\nWhat it means: the story did not come to its end, so nothing is proven.\n\
         Try: aidmesh demo --seed {seed} --keep, then read the .log files in the folder that it names"
    )
}

#[cfg(test)]
mod tests;
