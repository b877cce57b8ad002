//! `ecg`: sending a recording, and looking at one without a node.
//!
//! What is measured is said in the words of `aidmesh-ecg`, which never reassure. An alarm asks a role to
//! act; what it is about is said by the person who sends it and never taken from a measurement.

use super::screen::{Paint, Screen, clean};
use super::{Context, write};
use crate::api::types::{Fault, NewAlert, NewEcg};
use crate::client::segment;
use crate::ecg_files::Recording;
use crate::fault::{self, Exit};
use aidmesh_ecg::draw::{self, Gain, Options, Speed};
use aidmesh_ecg::{ALGORITHM, EcgRecord, Lead, Measurement, Quality, Sex, measure};
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::path::PathBuf;

/// `ecg`.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    aidmesh ecg send 7K2 ecg.dcm --class alarm --what stemi\n  \
    aidmesh ecg info HR06000.hea\n  \
    aidmesh ecg draw ecg.dcm --out page.png")]
pub enum Ecg {
    /// Send a recording to a thread.
    Send(Send),
    /// Format, leads, quality and measurements of a recording. Needs no node.
    Info(Info),
    /// Draw a recording as a page of 12 leads. Needs no node.
    Draw(Draw),
}

/// `ecg send`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh ecg send 7K2 HR06000.hea\n  \
    aidmesh ecg send 7K2 ecg.dcm --class alarm --what stemi --ask cardiologist --wait seen --timeout 5m")]
pub struct Send {
    /// Title of the thread, or the beginning of its id.
    #[arg(value_name = "THREAD")]
    pub thread: String,
    /// DICOM file, or a WFDB record: .hea, .mat, .dat or the name without ending.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// An alarm goes before everything else and asks somebody to act.
    #[arg(long, value_enum, default_value_t = Class::Clinical)]
    pub class: Class,
    /// What an alarm is about.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Emergency::Other)]
    pub what: Emergency,
    /// Role that an alarm asks.
    #[arg(long, value_name = "ROLE", default_value = "cardiologist")]
    pub ask: String,
    /// Short text of an alarm.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub text: String,
}

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Class {
    /// Somebody has to act now.
    Alarm,
    /// Part of the case.
    Clinical,
}

/// What an alarm is about, as the sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Emergency {
    /// ST-elevation infarction suspected.
    Stemi,
    /// Stroke suspected.
    Stroke,
    /// Severe injury.
    Trauma,
    /// Something else.
    Other,
}

/// `ecg info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh ecg info ecg.dcm\n  aidmesh ecg info HR06000 --json")]
pub struct Info {
    /// DICOM file, or a WFDB record: .hea, .mat, .dat or the name without ending.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `ecg draw`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    aidmesh ecg draw ecg.dcm --out page.svg\n  \
    aidmesh ecg draw HR06000.mat --out page.png --speed 50 --gain 20")]
pub struct Draw {
    /// DICOM file, or a WFDB record: .hea, .mat, .dat or the name without ending.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Picture to write; its ending decides: .svg or .png.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Paper speed, mm/s: 25 or 50.
    #[arg(long, value_name = "MM", default_value = "25", value_parser = ["25", "50"])]
    pub speed: String,
    /// Gain, mm/mV: 5, 10 or 20.
    #[arg(long, value_name = "MM", default_value = "10", value_parser = ["5", "10", "20"])]
    pub gain: String,
    /// Resolution of a PNG, dots per inch.
    #[arg(long, default_value_t = 150, value_parser = clap::value_parser!(u32).range(72..=300))]
    pub dpi: u32,
}

impl Send {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        // before the node is asked: a file that is no ECG is the nearer trouble
        let recording = Recording::read(&self.file)?;
        let node = context.node()?;
        let alert = NewAlert {
            what: self.what.word().into(),
            role: self.ask,
            text: self.text,
        };
        let alarm = self.class == Class::Alarm;
        let new = NewEcg {
            files: recording.data(),
            class: if alarm { "alarm" } else { "clinical" }.into(),
            alert: alarm.then_some(alert),
        };
        let path = format!("/v1/threads/{}/ecgs", segment(&self.thread));
        let made = node.post(&path, &new).await?;
        write::stored(context, &node, made).await
    }
}

impl Info {
    pub(super) fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let recording = Recording::read(&self.file)?;
        let measured = measure(&recording.imported().record);
        context.screen.object(&object(&recording, &measured));
        people(&mut context.screen, &recording, &measured);
        Ok(Exit::Fine)
    }
}

impl Draw {
    pub(super) fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let recording = Recording::read(&self.file)?;
        let record = &recording.imported().record;
        let options = Options {
            speed: if self.speed == "50" {
                Speed::Mm50PerS
            } else {
                Speed::Mm25PerS
            },
            gain: match self.gain.as_str() {
                "5" => Gain::Mm5PerMv,
                "20" => Gain::Mm20PerMv,
                _ => Gain::Mm10PerMv,
            },
            badge: "LOSSLESS".into(),
            footer: vec![format!(
                "Measured here (algorithm {ALGORITHM}): {}",
                measure(record).st_text()
            )],
            dpi: self.dpi,
        };
        let failed = |why: &dyn std::fmt::Display| {
            fault::with("AM-ECG-07", format_args!("{}: {why}", self.out.display()))
        };
        let ending = self.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let picture = match ending.to_ascii_lowercase().as_str() {
            "svg" => draw::svg(record, &options).into_bytes(),
            "png" => draw::png(record, &options).map_err(|why| failed(&why))?,
            _ => return Err(failed(&"its name ends neither in .svg nor in .png")),
        };
        std::fs::write(&self.out, &picture).map_err(|why| failed(&why))?;
        let line = format!("{}  {} B", self.out.display(), picture.len());
        context.screen.line(&clean(&line));
        context
            .screen
            .object(&json!({ "out": self.out, "bytes": picture.len() }));
        Ok(Exit::Fine)
    }
}

impl Emergency {
    fn word(self) -> &'static str {
        match self {
            Emergency::Stemi => "stemi",
            Emergency::Stroke => "stroke",
            Emergency::Trauma => "trauma",
            Emergency::Other => "other",
        }
    }
}

/// Everything about a recording but its samples and the patient's name.
fn object(recording: &Recording, measured: &Measurement) -> Value {
    let imported = recording.imported();
    let record = &imported.record;
    let leads = record
        .leads()
        .iter()
        .zip(&measured.quality)
        .map(|(lead, quality)| {
            json!({
                "name": lead.name.to_string(),
                "lsb_uv": lead.scale.lsb_uv.to_f64(),
                "st_uv": st_uv(lead, measured).map(|uv| (uv * 10.0).round() / 10.0),
                "quality": flags(quality),
            })
        });
    let files = imported.originals.iter().map(|file| {
        json!({ "name": file.name, "bytes": file.size_bytes, "blake3": HEXLOWER.encode(&file.blake3) })
    });
    let warnings = imported.warnings.iter().map(ToString::to_string);
    let interval = |ms: u16| (ms > 0).then_some(ms);
    json!({
        "schema": "aidmesh.ecg-info/1",
        "format": recording.format(),
        "files": files.collect::<Vec<_>>(),
        "rate_hz": record.rate_hz().to_f64(),
        "samples": record.samples_per_lead(),
        "duration_ms": (record.duration_s() * 1000.0).round(),
        "captured": captured(record),
        "device": record.about.device,
        "device_text": record.about.device_text,
        "filter": record.about.filter,
        "age_years": record.about.patient.age_years,
        "sex": record.about.patient.sex.map(sex),
        "invented": record.about.invented,
        "leads": leads.collect::<Vec<_>>(),
        "measured": {
            "algorithm": ALGORITHM,
            "beats": measured.r_peaks.len(),
            "heart_rate_bpm": measured.heart_rate_bpm.map(f64::round),
            "rr_irregularity": measured.rr_irregularity.map(|r| (r * 1000.0).round() / 1000.0),
            "pr_ms": interval(measured.pr_ms),
            "qrs_ms": interval(measured.qrs_ms),
            "qt_ms": interval(measured.qt_ms),
            "st": measured.st_text(),
        },
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

fn people(screen: &mut Screen, recording: &Recording, measured: &Measurement) {
    if screen.json() {
        return;
    }
    let imported = recording.imported();
    let record = &imported.record;
    let head = format!(
        "{}: {} leads, {:.1} s, {} Hz, {} samples a lead, {} B",
        recording.format(),
        record.leads().len(),
        record.duration_s(),
        record.rate_hz().to_f64(),
        record.samples_per_lead(),
        recording.size_bytes()
    );
    let head = screen.paint(Paint::Bold, &head);
    screen.line(&head);
    if record.about.invented {
        screen.line("Invented, not a patient's.");
    }
    let about = [
        captured(record).map(|time| format!("Recorded {time} by the clock of its device.")),
        record
            .about
            .device
            .as_ref()
            .map(|device| format!("Device: {device}")),
        record
            .about
            .filter
            .as_ref()
            .map(|filter| format!("Filter (from file): {filter}")),
    ];
    for line in about.iter().flatten() {
        screen.line(&clean(line));
    }
    for text in &record.about.device_text {
        screen.line(&clean(&format!("The file says: {text}")));
    }
    let rows = record
        .leads()
        .iter()
        .zip(&measured.quality)
        .map(|(lead, quality)| {
            let st = st_uv(lead, measured).map_or("-".into(), |uv| format!("{uv:+.0} uV"));
            let lsb = format!("{} uV", lead.scale.lsb_uv.to_f64());
            vec![
                lead.name.to_string(),
                format!("LSB {lsb}"),
                format!("ST {st}"),
                flags(quality).join(", "),
            ]
        });
    screen.table("  ", &rows.collect::<Vec<_>>());
    screen.line(&format!(
        "Measured here (algorithm {ALGORITHM}): {}",
        measured.st_text()
    ));
    screen.line(&intervals(measured));
    for warning in &imported.warnings {
        let line = screen.paint(Paint::Odd, &clean(&format!("Odd: {warning}")));
        screen.line(&line);
    }
}

/// `Rate 84  PR 162  QRS 92  QT 388`; what was not measured is `-`.
fn intervals(measured: &Measurement) -> String {
    let rate = measured
        .heart_rate_bpm
        .map_or("-".into(), |bpm| format!("{bpm:.0}"));
    let ms = |ms: u16| if ms == 0 { "-".to_owned() } else { ms.to_string() };
    let Measurement {
        pr_ms, qrs_ms, qt_ms, ..
    } = *measured;
    format!(
        "Rate {rate}/min  PR {} ms  QRS {} ms  QT {} ms",
        ms(pr_ms),
        ms(qrs_ms),
        ms(qt_ms)
    )
}

fn st_uv(lead: &Lead, measured: &Measurement) -> Option<f64> {
    measured.st_uv[lead.name.standard_index()?]
}

fn flags(quality: &Quality) -> Vec<&'static str> {
    let flags = [
        (quality.flat, "lead off"),
        (quality.saturated, "saturated"),
        (quality.noisy, "noisy"),
    ];
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .map(|(_, word)| word)
        .collect()
}

/// As the file has it; without a time zone unless the file states one.
fn captured(record: &EcgRecord) -> Option<String> {
    let time = record.about.captured?;
    let ((year, month, day), (hour, minute, second, _)) = (time.date(), time.time());
    let zone = time.utc_offset_min().map_or(String::new(), |minutes| {
        let sign = if minutes < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
    });
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{zone}"
    ))
}

fn sex(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "female",
        Sex::Male => "male",
        Sex::Other => "other",
    }
}
