//! A node of the story, spoken to over its local API like any program on that device would.
//!
//! The one file that knows paths of the API and the client behind them. Nothing here decides anything.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;

use super::recording::{File, Recording};
use crate::api::types::{
    EntryInfo, Fault, FileData, Made, NewAck, NewAlert, NewEcg, NewNote, NewThread, NodeView, Status,
    ThreadInfo,
};
use crate::client::{Client, EventStream};

/// The class of everything that must not wait.
const ALARM: &str = "alarm";
/// A node on the same machine that takes longer does not answer at all.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Word of the layer that the original's files are.
pub(super) const ORIGINAL: &str = "original";

/// A node on this machine.
#[derive(Clone, Debug)]
pub(super) struct Node {
    client: Client,
}

impl Node {
    /// Through the socket in a data folder, once a node listens there.
    pub(super) fn at(socket: &Path) -> Result<Node, Fault> {
        let client = Client::connect(socket)?;
        Ok(Node { client })
    }

    /// The device and its links.
    pub(super) async fn view(&self) -> Result<NodeView, Fault> {
        within(self.client.get("/v1/node")).await
    }

    /// Its threads.
    pub(super) async fn threads(&self) -> Result<Vec<ThreadInfo>, Fault> {
        within(self.client.get("/v1/threads")).await
    }

    /// A thread with its members.
    pub(super) async fn thread(&self, thread: &str) -> Result<ThreadInfo, Fault> {
        within(self.client.get(&format!("/v1/threads/{thread}"))).await
    }

    /// Founds a thread.
    pub(super) async fn found(&self, name: &str, kind: &str, to: &[&str]) -> Result<Made, Fault> {
        let new = NewThread {
            name: name.into(),
            kind: kind.into(),
            to: to.iter().map(|person| (*person).into()).collect(),
        };
        within(self.client.post("/v1/threads", &new)).await
    }

    /// Writes a note.
    pub(super) async fn note(&self, thread: &str, text: &str) -> Result<Made, Fault> {
        let new = NewNote { text: text.into() };
        within(self.client.post(&format!("/v1/threads/{thread}/notes"), &new)).await
    }

    /// Sends the ECG with an alert to a role.
    pub(super) async fn alarm(
        &self,
        thread: &str,
        recording: &Recording,
        alert: NewAlert,
    ) -> Result<Made, Fault> {
        let data = |file: &File| FileData {
            name: file.name.clone(),
            bytes: BASE64.encode(&file.bytes),
        };
        let new = NewEcg {
            files: recording.files.iter().map(data).collect(),
            class: ALARM.into(),
            alert: Some(alert),
        };
        within(self.client.post(&format!("/v1/threads/{thread}/ecgs"), &new)).await
    }

    /// The person has it on the screen.
    pub(super) async fn seen(&self, entry: &str) -> Result<Made, Fault> {
        within(
            self.client
                .post(&format!("/v1/entries/{entry}/seen"), &serde_json::json!({})),
        )
        .await
    }

    /// The person acts.
    pub(super) async fn ack(&self, entry: &str, act: &str) -> Result<Made, Fault> {
        let new = NewAck { act: act.into() };
        within(self.client.post(&format!("/v1/entries/{entry}/ack"), &new)).await
    }

    /// Entries of a thread.
    pub(super) async fn entries(&self, thread: &str) -> Result<Vec<EntryInfo>, Fault> {
        within(self.client.get(&format!("/v1/threads/{thread}/entries"))).await
    }

    /// Who has an own entry.
    pub(super) async fn status(&self, entry: &str) -> Result<Status, Fault> {
        within(self.client.get(&format!("/v1/entries/{entry}/status"))).await
    }

    /// The files of an entry's original that are complete.
    pub(super) async fn files(&self, entry: &EntryInfo) -> Result<Vec<File>, Fault> {
        let mut files = Vec::new();
        for (number, layer) in entry
            .layers
            .iter()
            .filter(|layer| layer.layer == ORIGINAL)
            .enumerate()
        {
            let path = format!("/v1/entries/{}/files/{number}", entry.entry);
            let bytes: Bytes = within(self.client.bytes(&path)).await?;
            files.push(File {
                name: layer.name.clone(),
                bytes: bytes.to_vec(),
            });
        }
        Ok(files)
    }

    /// Everything that it tells, from the event after this one on.
    pub(super) async fn events(&self, after: Option<u64>) -> Result<EventStream, Fault> {
        within(self.client.events(after)).await
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Fault {
            code: "AM-NODE-03".into(),
            what: format!("no answer within {} s", ANSWER_MAX.as_secs()),
            means: "it is not known whether the node did what was asked".into(),
            next: "Look at the log of that node".into(),
        }),
    }
}
