//! `aidmesh-relay status`: asks the relay that runs here and prints one screen.
//!
//! Exit code 0 if it takes items; 1 if it does not, or if none runs, which is said clearly. The question is
//! one bounded HTTP exchange with a loopback address; what answers there is believed only if it speaks of
//! itself as a relay.

use crate::admin::{self, SCHEMA};
use crate::trouble::{self, Trouble};
use serde_json::Value;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer.
const ANSWER_BYTES: u64 = 256 * 1024;

/// The `/status` of the relay at `address`.
pub async fn ask(address: SocketAddr) -> Result<Value, Trouble> {
    admin::loopback(address)?;
    let not_running =
        |why: &dyn std::fmt::Display| Trouble::new(trouble::NOT_RUNNING, format_args!("{address}: {why}"));
    let answer = tokio::time::timeout(PATIENCE, get(address, "/status")).await;
    let answer = answer.map_err(|_| not_running(&"no answer"))?;
    let body = answer.map_err(|why| not_running(&why))?;
    let status: Value = serde_json::from_slice(&body).unwrap_or_default();
    match status["schema"] == SCHEMA {
        true => Ok(status),
        false => Err(not_running(&"something else answers there")),
    }
}

/// The body of a successful answer.
pub(crate) async fn get(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let question = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("something else answers there"))?;
    let line = answer[..end].split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split(' ').nth(1) {
        Some("200") => Ok(answer.split_off(end + 4)),
        code => Err(io::Error::other(format!(
            "HTTP {}",
            code.unwrap_or("without a code")
        ))),
    }
}

/// One screen of a status.
pub fn screen(status: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut out = String::new();
    let state = match (status["ready"] == true, status["why"].as_str()) {
        (true, _) => "Takes items.".to_owned(),
        (false, why) => format!("Takes nothing: {}.", why.unwrap_or("not ready")),
    };
    let version = status["version"].as_str().unwrap_or_default();
    let _ = writeln!(out, "Relay {version}. {state}");
    let _ = writeln!(out, "  up          {}", span(number(&status["uptime_s"])));
    let _ = writeln!(
        out,
        "  links       {} up, {} let in",
        status["links"], status["admitted"]
    );
    let refused = status["refused"].as_object().into_iter().flatten();
    let refused: Vec<String> = refused.map(|(why, times)| format!("{times} {why}")).collect();
    if !refused.is_empty() {
        let _ = writeln!(out, "  refused     {}", refused.join(", "));
    }
    let kept = &status["kept"];
    if kept.is_object() {
        let (bytes, room) = (number(&kept["bytes"]), number(&kept["room_bytes"]));
        let percent = (bytes * 100).checked_div(room).unwrap_or(0);
        let items = &kept["items"];
        let _ = writeln!(
            out,
            "  kept        {items} items, {} of {} ({percent} %)",
            size(bytes),
            size(room)
        );
        let _ = writeln!(out, "  receipts    {} signed", kept["receipts"]);
        if number(&kept["refused"]) > 0 {
            let _ = writeln!(out, "  not kept    {} items refused", kept["refused"]);
        }
        if kept["restored"] == true {
            let _ = writeln!(
                out,
                "  restored    from a backup: devices are told RESET and send again"
            );
        }
    }
    let store = &status["store"];
    let disk = size(number(&store["disk_bytes"]));
    let age = store["last_commit_age_s"].as_f64();
    let age = age.map_or("none yet".to_owned(), |age_s| {
        format!("last {} ago", span(age_s as u64))
    });
    let _ = writeln!(
        out,
        "  store       {disk} on disk, {} writes, {age}",
        store["commits"]
    );
    if number(&store["errors"]) > 0 {
        let _ = writeln!(out, "  errors      {} writes failed", store["errors"]);
    }
    out
}

/// Seconds as a person says them.
fn span(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min", s / 60),
        3600..172_800 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} days", s / 86_400),
    }
}

/// Bytes as a person says them.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20) % 1024 * 10 / 1024),
    }
}
