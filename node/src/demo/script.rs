//! The acts of the story, in order, and when they come.
//!
//! The script does what people and the road do: press buttons, drive into a tunnel, pull a plug. What the
//! programs make of it comes back through [`Story::wait`]. Times between acts are fixed, times of answers
//! are not; limits for answers grow with the slowness of the link.

use std::time::Duration;

use tokio::time::Instant;

use super::Kill;
use super::node::ORIGINAL;
use super::prepare::{CARDIOLOGIST, DR_K, MEDIC_A, ORGANISATION};
use super::recording::File;
use super::story::{BrokeOff, Case, Story, Word};
use super::transcript::{Line, Place};
use crate::api::types::{EntryInfo, Fault, NewAlert, ThreadInfo};

/// Title of the thread between unit and hospital.
pub(super) const HOTLINE: &str = "Hotline Hospital North, Unit 12";
/// Title of the case: number, sex and age of the invented patient.
pub(super) const CASE: &str = "7K2: man, 58";
/// What the alert says.
pub(super) const ALERT: &str = "58 y, chest pain for 40 min, pale and sweating";
/// The note beside it.
pub const NOTE: &str = "Aspirin 300 mg given, allergic to penicillin";
/// What checks the path.
pub(super) const PATH_CHECK: &str = "Path check by Unit 12";

/// Name of the first outage.
const TUNNEL: &str = "tunnel";
/// Name of the second.
pub(super) const UNDERPASS: &str = "underpass";
const SECOND: Duration = Duration::from_secs(1);
/// From a command to what it does on the same device.
const LOCAL_MAX: Duration = Duration::from_secs(20);
/// From one device to the other and back over a quick link.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The underpass comes when this many tenths of the original are across.
const CUT_TENTHS: u32 = 4;
/// The relay is killed when this many are.
const KILL_TENTHS: u32 = 5;

/// What the acts leave behind for the end.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// Parts of the original.
    pub parts_total: u32,
    /// Parts across when the underpass began.
    pub parts_before_cut: u32,
    /// The files that arrived.
    pub arrived: Vec<File>,
}

fn at(place: Place) -> impl Fn(Fault) -> BrokeOff {
    move |fault| BrokeOff::Refused { place, fault }
}

/// Plays all acts.
pub(super) async fn play(story: &mut Story, kill: Option<Kill>) -> Result<Played, BrokeOff> {
    join_hotline(story).await?;
    check_path(story).await?;
    let begun = Instant::now();
    story.pause_until(begun + SECOND).await?;
    story.link(TUNNEL, false);
    story.say(&Line::Tunnel);
    in_the_tunnel(story, begun + SECOND).await?;
    after_the_tunnel(story).await?;
    let mut played = underpass(story).await?;
    if kill == Some(Kill::Relay) {
        kill_relay(story).await?;
    }
    played.arrived = original(story).await?;
    acknowledge(story).await?;
    Ok(played)
}

/// How long an answer over the link may take: slow links need longer for each of its datagrams.
fn answer_max(story: &Story) -> Duration {
    let datagram = Duration::from_micros(story.profile.serialise_us(1_200) + story.profile.one_way_us);
    ANSWER_MAX + datagram * 60
}

/// How long the file may take.
fn transfer_max(story: &Story) -> Duration {
    let bits = story.recording.bytes() * 8;
    answer_max(story) + Duration::from_secs(4 * bits / story.profile.rate_bps.max(1))
}

async fn join_hotline(story: &mut Story) -> Result<(), BrokeOff> {
    let until = Instant::now() + answer_max(story);
    // the card of the ambulance may still be on its way to the directory
    while let Err(fault) = story.hospital.found(HOTLINE, "hotline", &[MEDIC_A]).await {
        if Instant::now() >= until {
            return Err(at(Place::Hospital)(fault));
        }
        story.pause(SECOND / 5).await?;
    }
    loop {
        let threads = story.ambulance.threads().await.map_err(at(Place::Ambulance))?;
        // its title comes before it knows who is in it
        let joined = |thread: &ThreadInfo| thread.members.iter().any(|member| member.me);
        if threads
            .iter()
            .any(|thread| thread.name == HOTLINE && joined(thread))
        {
            break;
        }
        if Instant::now() >= until {
            return Err(late("the hotline in the ambulance", answer_max(story)));
        }
        story.pause(SECOND / 10).await?;
    }
    story.say(&Line::AmbulanceStarted {
        person: MEDIC_A.into(),
        organisation: ORGANISATION.into(),
    });
    Ok(())
}

fn late(what: &'static str, limit: Duration) -> BrokeOff {
    BrokeOff::Late {
        what,
        limit_s: limit.as_secs(),
    }
}

async fn check_path(story: &mut Story) -> Result<(), BrokeOff> {
    let threads = story.ambulance.threads().await.map_err(at(Place::Ambulance))?;
    let hotline = threads.into_iter().find(|thread| thread.name == HOTLINE);
    let hotline = hotline.ok_or(BrokeOff::Odd("the ambulance has lost the hotline"))?;
    let sent = Instant::now();
    let made = story
        .ambulance
        .note(&hotline.thread, PATH_CHECK)
        .await
        .map_err(at(Place::Ambulance))?;
    let note = made.entries.first().cloned().unwrap_or_default();
    let limit = answer_max(story);
    story
        .wait("the hospital's receipt for the path check", limit, |story| {
            story.log.delivery(&note, "delivered").map(|_| ())
        })
        .await?;
    story.say(&Line::PathChecked {
        organisation: ORGANISATION.into(),
        there_and_back: sent.elapsed(),
    });
    Ok(())
}

async fn in_the_tunnel(story: &mut Story, tunnel: Instant) -> Result<(), BrokeOff> {
    story.pause_until(tunnel + SECOND).await?;
    let made = story
        .ambulance
        .found(CASE, "patient", &[DR_K])
        .await
        .map_err(at(Place::Ambulance))?;
    let thread = made.thread.ok_or(BrokeOff::Odd("a new case has no thread"))?;
    let wall_ms = super::happening::wall_ms();
    story.say(&Line::NewCase {
        case: CASE.into(),
        source: story.recording.source(),
        recorded: story.recording.recorded(wall_ms),
    });
    let record = &story.recording.imported.record;
    let line = Line::Ecg {
        leads: record.leads().len(),
        seconds: record.duration_s(),
        file_bytes: story.recording.bytes(),
        digest_bytes: story.recording.digest_bytes(),
    };
    story.say(&line);
    send_alert(story, thread).await?;
    say_not_sent(story).await?;
    story.pause_until(tunnel + 7 * SECOND).await?;
    say_still_no_link(story).await?;
    story.pause_until(tunnel + 12 * SECOND).await?;
    Ok(())
}

async fn send_alert(story: &mut Story, thread: String) -> Result<(), BrokeOff> {
    let alert = NewAlert {
        what: "stemi".into(),
        role: CARDIOLOGIST.into(),
        text: ALERT.into(),
    };
    story.marks.sent = Some(Instant::now());
    let made = story.ambulance.alarm(&thread, &story.recording, alert).await;
    let made = made.map_err(at(Place::Ambulance))?;
    let entries = story
        .ambulance
        .entries(&thread)
        .await
        .map_err(at(Place::Ambulance))?;
    let of_kind = |kind: &str| {
        let entry = entries
            .iter()
            .find(|entry| entry.kind == kind && made.entries.contains(&entry.entry));
        entry.map(|entry| entry.entry.clone())
    };
    let (Some(alert), Some(ecg)) = (of_kind("alert"), of_kind("ecg")) else {
        return Err(BrokeOff::Odd(
            "the ambulance's node did not write an alert and an ECG",
        ));
    };
    story.case = Some(Case {
        thread: thread.clone(),
        alert,
        ecg,
    });
    story.tell();
    shown(story, "the word STORED", Word::Stored, LOCAL_MAX).await?;
    story
        .ambulance
        .note(&thread, NOTE)
        .await
        .map_err(at(Place::Ambulance))?;
    Ok(())
}

/// Waits until a word is on the screen.
async fn shown(
    story: &mut Story,
    what: &'static str,
    word: Word,
    limit: Duration,
) -> Result<Instant, BrokeOff> {
    story
        .wait(what, limit, |story| story.marks.shown.get(&word).copied())
        .await
}

fn case(story: &Story) -> Result<Case, BrokeOff> {
    story.case.clone().ok_or(BrokeOff::Odd("there is no case yet"))
}

/// What the ambulance's screen says of the alert, with what the node knows of its links.
async fn say_not_sent(story: &mut Story) -> Result<(), BrokeOff> {
    if let Err(text) = not_sent(story).await? {
        story.say(&Line::Screen { text });
        return Ok(());
    }
    let until = Instant::now() + 5 * SECOND;
    let no_link_since = loop {
        let view = story.ambulance.view().await.map_err(at(Place::Ambulance))?;
        let up = view.relays.iter().any(|relay| relay.state == "up");
        let since = view.relays.iter().map(|relay| relay.since_ms).max();
        if !up || Instant::now() >= until {
            break since.filter(|_| !up).map(|since| story.since_start(since));
        }
        story.pause(SECOND / 20).await?;
    };
    story.say(&Line::NotSent { no_link_since });
    Ok(())
}

/// Since when the alert is stored and not sent; else what the screen says of it.
async fn not_sent(story: &Story) -> Result<Result<u64, String>, BrokeOff> {
    let case = case(story)?;
    let status = story
        .ambulance
        .status(&case.alert)
        .await
        .map_err(at(Place::Ambulance))?;
    let recipient = status
        .recipients
        .iter()
        .find(|recipient| recipient.person == DR_K);
    let recipient = recipient.ok_or(BrokeOff::Odd("the alert has lost its recipient"))?;
    Ok(match recipient.line.contains("Not sent yet.") {
        true => Ok(status.at_ms),
        false => Err(recipient.line.clone()),
    })
}

async fn say_still_no_link(story: &mut Story) -> Result<(), BrokeOff> {
    /// A class 0 entry is marked *not confirmed* after this.
    const NOT_CONFIRMED_AFTER: Duration = Duration::from_secs(60);
    let stored = match not_sent(story).await? {
        Ok(stored_ms) => story.since_start(stored_ms),
        Err(text) => {
            story.say(&Line::Screen { text });
            return Ok(());
        }
    };
    let view = story.ambulance.view().await.map_err(at(Place::Ambulance))?;
    let line = Line::StillNoLink {
        items: view.waiting.iter().map(|waiting| u64::from(*waiting)).sum(),
        for_: story.now().saturating_sub(stored),
        not_confirmed_from: stored + NOT_CONFIRMED_AFTER,
    };
    story.say(&line);
    Ok(())
}

async fn after_the_tunnel(story: &mut Story) -> Result<(), BrokeOff> {
    story.link(TUNNEL, true);
    story.marks.tunnel_end = Some(Instant::now());
    story.say(&Line::TunnelEnds);
    let limit = answer_max(story);
    shown(story, "the alert at the hospital", Word::Alarm, limit).await?;
    let case = case(story)?;
    story.pause(SECOND).await?;
    for entry in [&case.alert, &case.ecg] {
        story.hospital.seen(entry).await.map_err(at(Place::Hospital))?;
    }
    shown(story, "the word DELIVERED", Word::Delivered, limit).await?;
    shown(story, "the word SEEN", Word::Seen, limit).await?;
    Ok(())
}

/// The ECG as the hospital has it.
async fn at_hospital(story: &Story) -> Result<EntryInfo, BrokeOff> {
    let case = case(story)?;
    let entries = story
        .hospital
        .entries(&case.thread)
        .await
        .map_err(at(Place::Hospital))?;
    let ecg = entries.into_iter().find(|entry| entry.entry == case.ecg);
    ecg.ok_or(BrokeOff::Odd("the hospital has lost the ECG"))
}

/// Parts of the original at the hospital, and in all.
async fn parts(story: &Story) -> Result<(u32, u32), BrokeOff> {
    let ecg = at_hospital(story).await?;
    let original = || ecg.layers.iter().filter(|layer| layer.layer == ORIGINAL);
    Ok((
        original().map(|layer| layer.held).sum(),
        original().map(|layer| layer.total).sum(),
    ))
}

/// Waits until so many tenths of the original are across.
async fn across(story: &mut Story, tenths: u32) -> Result<(u32, u32), BrokeOff> {
    let limit = transfer_max(story);
    let until = Instant::now() + limit;
    loop {
        let (held, total) = parts(story).await?;
        if total > 0 && u64::from(held) * 10 >= u64::from(total) * u64::from(tenths) {
            return Ok((held, total));
        }
        if Instant::now() >= until {
            return Err(late("the original at the hospital", limit));
        }
        story.pause(SECOND / 20).await?;
    }
}

async fn underpass(story: &mut Story) -> Result<Played, BrokeOff> {
    let (held, total) = across(story, CUT_TENTHS).await?;
    story.link(UNDERPASS, false);
    story.say(&Line::Underpass { held, total });
    story.pause(3 * SECOND).await?;
    // what the relay had by then has come through its cable
    let (held, total) = parts(story).await?;
    story.link(UNDERPASS, true);
    let next = (held + 1).min(total);
    story.say(&Line::Back { next });
    Ok(Played {
        parts_total: total,
        parts_before_cut: held,
        ..Played::default()
    })
}

async fn kill_relay(story: &mut Story) -> Result<(), BrokeOff> {
    let (held, total) = across(story, KILL_TENTHS).await?;
    if let Some(relay) = story.cast.relay.take() {
        relay.kill();
    }
    story.say(&Line::RelayKilled { held, total });
    story.pause(3 * SECOND).await?;
    story.cast.relay = Some(story.prepared.start_relay(&story.stage)?);
    let restarted = Instant::now();
    story
        .wait("the relay after its kill", LOCAL_MAX, |story| {
            story
                .log
                .looks
                .last()
                .filter(|stock| stock.at > restarted)
                .map(|_| ())
        })
        .await?;
    story.say(&Line::RelayBack);
    Ok(())
}

async fn original(story: &mut Story) -> Result<Vec<File>, BrokeOff> {
    across(story, 10).await?;
    let limit = LOCAL_MAX;
    let until = Instant::now() + limit;
    loop {
        let ecg = at_hospital(story).await?;
        if ecg
            .layers
            .iter()
            .filter(|layer| layer.layer == ORIGINAL)
            .all(|layer| layer.complete)
        {
            let files = story.hospital.files(&ecg).await.map_err(at(Place::Hospital))?;
            story.marks.original = Some(Instant::now());
            if story.recording.same_files(&files) {
                story.say(&Line::OriginalArrived);
            }
            return Ok(files);
        }
        if Instant::now() >= until {
            return Err(late("the check of the original at the hospital", limit));
        }
        story.pause(SECOND / 20).await?;
    }
}

async fn acknowledge(story: &mut Story) -> Result<(), BrokeOff> {
    story.pause(SECOND).await?;
    let case = case(story)?;
    story.marks.pressed = Some(Instant::now());
    story.say(&Line::Presses { person: DR_K.into() });
    story
        .hospital
        .ack(&case.ecg, "activated")
        .await
        .map_err(at(Place::Hospital))?;
    let limit = answer_max(story);
    shown(story, "the word ACKNOWLEDGED", Word::Acknowledged, limit).await?;
    // a last look at the relay, for claims made just now
    story.pause(SECOND / 2).await
}
