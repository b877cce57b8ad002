//! Sends a 12-lead ECG: the original files, byte for byte, with the digest that `aidmesh-ecg` makes of them.
//!
//! Everything is checked before anything is stored, the alert beside it too: a file that is no ECG leaves no
//! trace. The ECG is stored first, then the alert that names it. An ECG of class alarm whose list of files
//! does not fit into an alarm goes as clinical: the alert beside it rings all the same.

use super::faults::{self, Failure};
use super::lines::emergency_id;
use super::look::{entry_id, thread_id};
use super::{Service, find};
use crate::api::types::{FileData, Made, NewAlert, NewEcg};
use aidmesh_core::blob::{FileName, Layer};
use aidmesh_core::clinical::Emergency;
use aidmesh_core::directory::Role;
use aidmesh_core::envelope::Class;
use aidmesh_core::id::ThreadId;
use aidmesh_core::limits;
use aidmesh_core::machine::EntryRef;
use aidmesh_core::machine::command::{Command, LayerData, Outgoing};
use aidmesh_ecg::{Format, Imported, NamedFile, digest, import};
use bytes::Bytes;
use data_encoding::BASE64;

const EMERGENCIES: [Emergency; 4] = [
    Emergency::Stemi,
    Emergency::Stroke,
    Emergency::Trauma,
    Emergency::Other,
];
/// Layers from the original up: as many files an entry takes.
const FILES_MAX: usize = limits::LAYERS_PER_OBJECT - 4;

/// An alert that can be sent.
#[derive(Clone, Debug)]
struct Alert {
    what: Emergency,
    role: Role,
    text: String,
}

impl Service {
    /// Sends an ECG, and an alert about it if one is given. Answers with the entry of the ECG first.
    pub async fn ecg(&self, name: String, new: NewEcg) -> Result<Made, Failure> {
        let class = [Class::Alarm, Class::Clinical].into_iter();
        let class = class.map(|class| (aidmesh_core::delivery::words::class_word(class), class));
        let class = class.into_iter().find(|(word, _)| *word == new.class);
        let (_, class) = class.ok_or_else(|| faults::unknown_word("class", &["alarm", "clinical"]))?;
        let alert = new.alert.map(alert).transpose()?;
        let thread = self.look(move |look| Ok(find::thread(look, &name)?.0)).await?;
        // seconds of arithmetic for a long recording
        let files = new.files;
        let outgoing = tokio::task::spawn_blocking(move || outgoing(files)).await;
        let outgoing = outgoing.map_err(|_| faults::inside("the import of an ECG broke off"))??;
        let (mut made, about) = self.send_ecg(thread, class, outgoing).await?;
        if let Some(Alert { what, role, text }) = alert {
            let about = Some(about);
            let alert = Outgoing::Alert {
                what,
                role,
                text,
                about,
            };
            match self.send(thread, Class::Alarm, alert).await {
                Ok(also) => made.entries.extend(also.entries),
                Err(why) => return Err(without_alert(why, &made)),
            }
        }
        Ok(made)
    }

    async fn send_ecg(
        &self,
        thread: ThreadId,
        class: Class,
        what: Outgoing,
    ) -> Result<(Made, EntryRef), Failure> {
        let class = match fits_an_alarm(&what) {
            true => class,
            false => class.max(Class::Clinical),
        };
        let entry = self.command(Command::Send { thread, class, what }).await?.entry;
        let entry = entry.ok_or_else(|| faults::inside("an ECG without an entry"))?;
        let made = Made {
            thread: Some(thread_id(thread)),
            entries: vec![entry_id(thread, entry)],
        };
        Ok((made, entry))
    }
}

/// Bytes of an entry without the cursors that an alarm leaves out, and of an ECG's body without its files.
const EMPTY_BYTES: usize = 36 + 8 + 1 + limits::FORMAT_BYTES + 2 + digest::DIGEST_BYTES + 1 + 34;
/// Bytes of a file in a manifest, without its name.
const FILE_BYTES: usize = 1 + 1 + 4 + 32 + 1;

/// Whether the entry is short enough for every carrier to take it as an alarm.
fn fits_an_alarm(what: &Outgoing) -> bool {
    let Outgoing::Ecg { layers, .. } = what else {
        return true;
    };
    let files: usize = layers.iter().map(|layer| FILE_BYTES + layer.name.len()).sum();
    EMPTY_BYTES + files + limits::ALARM_SEAL_BYTES <= limits::ALARM_BYTES
}

/// The ECG is stored and its alert is not: that must not be mistaken for nothing.
fn without_alert(mut why: Failure, made: &Made) -> Failure {
    let ecg = made.entries.join(" ");
    why.fault.means = format!("The ECG is stored and goes out ({ecg}). The ALERT is NOT stored.");
    why
}

fn alert(new: NewAlert) -> Result<Alert, Failure> {
    let what = EMERGENCIES
        .into_iter()
        .find(|what| emergency_id(*what) == new.what);
    let what = what.ok_or_else(|| faults::unknown_word("what", &EMERGENCIES.map(emergency_id)))?;
    let role = Role::from_name(&new.role);
    let role = role.ok_or_else(|| faults::unknown_word("role", &Role::ALL.map(Role::name)))?;
    let text = new.text;
    if text.len() > limits::SHORT_TEXT_BYTES {
        let most = limits::SHORT_TEXT_BYTES;
        return Err(faults::unfit(format_args!(
            "the text of an alert has at most {most} bytes"
        )));
    }
    Ok(Alert { what, role, text })
}

/// From the files to what is sent; touches nothing.
fn outgoing(files: Vec<FileData>) -> Result<Outgoing, Failure> {
    if files.len() > FILES_MAX {
        return Err(faults::ecg_too_large(format_args!("more than {FILES_MAX} files")));
    }
    let mut read: Vec<(String, Bytes)> = Vec::with_capacity(files.len());
    for file in files {
        let bytes = BASE64
            .decode(file.bytes.as_bytes())
            .map_err(|_| faults::senseless("the bytes of a file are base64"))?;
        let name = FileName::new(&file.name).map_err(|why| faults::unfit(why.0))?;
        if bytes.len() > limits::LAYER_BYTES as usize {
            let most = limits::LAYER_BYTES;
            return Err(faults::ecg_too_large(format_args!(
                "a file has at most {most} bytes"
            )));
        }
        read.push((name.as_str().to_owned(), bytes.into()));
    }
    let named: Vec<NamedFile<'_>> = read
        .iter()
        .map(|(name, bytes)| NamedFile { name, bytes })
        .collect();
    let imported = import(&named).map_err(|why| faults::no_ecg(&why))?;
    let format = match imported.format {
        Format::Wfdb => "WFDB",
        Format::Dicom => "DICOM",
    };
    let digest = digest::encode(&digest::Digest::of(&imported));
    let layers = (Layer::ORIGINAL.to_u8()..).zip(read);
    let layers = layers.map(|(layer, (name, bytes))| LayerData { layer, name, bytes });
    Ok(Outgoing::Ecg {
        recorded_ms: recorded_ms(&imported),
        digest: Bytes::copy_from_slice(&digest),
        format: format.to_owned(),
        layers: layers.collect(),
    })
}

/// Only a monitor that says its offset from UTC says when it recorded.
fn recorded_ms(imported: &Imported) -> Option<u64> {
    let captured = imported.record.about.captured?;
    let offset_min = captured.utc_offset_min()?;
    let utc = captured.wall_ms() - i64::from(offset_min) * 60_000;
    u64::try_from(utc).ok().filter(|ms| *ms < 1 << 48)
}
