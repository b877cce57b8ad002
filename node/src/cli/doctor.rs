//! `doctor`: checks of this device, each with a way to fix it.
//!
//! It changes nothing and opens no vault: it also runs while a node has the folder, on a device that does
//! not start, and by somebody who does not know the passphrase. Links are told as the node sees them, since
//! a second program that knocks at relays would be a stranger there.

use super::Context;
use super::screen::{Paint, moment, now_ms};
use crate::api::types::{Fault, NodeView, RelayView};
use crate::client::{Client, socket_in};
use crate::config::{self, Config, Flags};
use crate::fault::Exit;
use clap::Args;
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Below this a node will soon not save any more.
const FREE_BYTES_BAD: u64 = 64 << 20;
/// Below this it is time to free some.
const FREE_BYTES_ODD: u64 = 1 << 30;
/// 2026-01-01: a clock before the program was made is wrong.
const CLOCK_MIN_MS: u64 = 1_767_225_600_000;
/// 2100-01-01.
const CLOCK_MAX_MS: u64 = 4_102_444_800_000;
/// Longest path that a Unix socket can have, its end included (`sun_path`, unix(7)).
const SOCKET_PATH_BYTES: usize = 108;
/// A lease that ends this soon should be renewed.
const LEASE_DAYS_ODD: i64 = 14;

/// `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  aidmesh doctor\n  aidmesh doctor --json")]
pub struct Doctor {}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It does not work.
    Bad,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub state: State,
    /// What was found.
    pub found: String,
    /// How to fix it, if there is something to fix.
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &str, found: impl Into<String>) -> Check {
        let (name, found) = (name.into(), found.into());
        Check {
            name,
            state: State::Ok,
            found,
            fix: None,
        }
    }

    fn not_ok(state: State, name: &str, found: impl Into<String>, fix: &str) -> Check {
        let (name, found, fix) = (name.into(), found.into(), Some(fix.to_owned()));
        Check {
            name,
            state,
            found,
            fix,
        }
    }
}

impl Doctor {
    pub(super) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let mut checks = vec![clock(now_ms())];
        checks.extend(folder(&context.data));
        checks.push(configuration(&context.data));
        checks.extend(variables());
        checks.extend(node(&context.data).await);
        let bad = checks.iter().any(|check| check.state == State::Bad);
        context.screen.object(&serde_json::json!({
            "schema": "aidmesh.doctor/1",
            "version": env!("CARGO_PKG_VERSION"),
            "ok": !bad,
            "checks": checks,
        }));
        for check in &checks {
            let (paint, word) = match check.state {
                State::Ok => (Paint::Good, "ok  "),
                State::Warn => (Paint::Odd, "warn"),
                State::Bad => (Paint::Bad, "bad "),
            };
            let word = context.screen.paint(paint, word);
            let found = super::screen::clean(&check.found);
            context.screen.line(&format!("{word}  {}: {found}", check.name));
            if let Some(fix) = &check.fix {
                context.screen.line(&format!("      {fix}"));
            }
        }
        Ok(if bad { Exit::Failed } else { Exit::Fine })
    }
}

fn clock(now_ms: u64) -> Check {
    let found = moment(now_ms, 0);
    match (CLOCK_MIN_MS..CLOCK_MAX_MS).contains(&now_ms) {
        true => Check::ok("clock", found),
        false => {
            let fix = "Set the clock of this device; others mark what it writes as suspect.";
            Check::not_ok(State::Bad, "clock", found, fix)
        }
    }
}

/// Folder, its rights, its room, the vault in it.
fn folder(data: &Path) -> Vec<Check> {
    let shown = data.display().to_string();
    let Ok(about) = data.metadata() else {
        let fix = "Make it with: aidmesh init, or name another with --data DIR.";
        return vec![Check::not_ok(
            State::Bad,
            "data folder",
            format!("{shown} is not there"),
            fix,
        )];
    };
    let mut checks = Vec::new();
    let mode = about.permissions().mode() & 0o777;
    checks.push(if !about.is_dir() || !data.join("format").is_file() {
        let fix = "Make one with: aidmesh init, in a new or empty folder.";
        Check::not_ok(
            State::Bad,
            "data folder",
            format!("{shown} is not one of aidmesh"),
            fix,
        )
    } else if access(data, Access::WRITE_OK).is_err() {
        let fix = "Make the folder writable for this user, or mount its disk read-write.";
        Check::not_ok(
            State::Bad,
            "data folder",
            format!("{shown} cannot be written"),
            fix,
        )
    } else if mode & 0o077 != 0 {
        let fix = "Close it with: chmod 700 on that folder.";
        Check::not_ok(
            State::Warn,
            "data folder",
            format!("{shown} is open to others ({mode:03o})"),
            fix,
        )
    } else {
        Check::ok("data folder", shown)
    });
    checks.push(match data.join("vault").is_file() {
        true => Check::ok("vault", "there"),
        false => {
            let fix = "Enrol this device with: aidmesh init. If it was enrolled, put the folder back whole.";
            Check::not_ok(State::Bad, "vault", "not there", fix)
        }
    });
    checks.push(room(
        statvfs(data).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    ));
    if socket_in(data).as_os_str().len() >= SOCKET_PATH_BYTES {
        let fix = "Use a data folder with a shorter path.";
        checks.push(Check::not_ok(State::Bad, "socket", "its path is too long", fix));
    }
    checks
}

fn room(free_bytes: rustix::io::Result<u64>) -> Check {
    let fix = "Free some space on the disk of the data folder.";
    match free_bytes {
        Err(why) => Check::not_ok(State::Warn, "free space", format!("not known: {why}"), fix),
        Ok(bytes) => {
            let found = format!("{} MiB", bytes >> 20);
            let state = match bytes {
                ..FREE_BYTES_BAD => State::Bad,
                FREE_BYTES_BAD..FREE_BYTES_ODD => State::Warn,
                _ => return Check::ok("free space", found),
            };
            Check::not_ok(state, "free space", found, fix)
        }
    }
}

fn configuration(data: &Path) -> Check {
    let environment = |name: &str| std::env::var(name).ok();
    match Config::load(data, &environment, &Flags::default()) {
        Ok(_) => Check::ok("configuration", "can be read"),
        Err(fault) => Check::not_ok(State::Bad, "configuration", fault.what, &fault.next),
    }
}

/// Variables of the environment that somebody may have meant as settings.
fn variables() -> Vec<Check> {
    let names: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .collect();
    let odd = config::odd_variables(names.iter().map(String::as_str));
    let check = |(name, near): (&str, Option<&str>)| {
        let close = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        let fix = "Correct or remove it; aidmesh config init lists all settings.";
        Check::not_ok(
            State::Warn,
            "environment",
            format!("{name} is no setting{close}"),
            fix,
        )
    };
    odd.into_iter().map(check).collect()
}

async fn node(data: &Path) -> Vec<Check> {
    let view = match Client::connect(&socket_in(data)) {
        Ok(client) => client.get::<NodeView>("/v1/node").await,
        Err(fault) => Err(fault),
    };
    match view {
        Ok(view) => of_view(&view, now_ms()),
        Err(fault) if fault.code == "AM-NODE-01" => {
            vec![Check::not_ok(State::Warn, "node", fault.what, &fault.next)]
        }
        Err(fault) => vec![Check::not_ok(State::Bad, "node", fault.what, &fault.next)],
    }
}

/// What a running node says about itself and its links.
fn of_view(view: &NodeView, now_ms: u64) -> Vec<Check> {
    let own = env!("CARGO_PKG_VERSION");
    let mut checks = vec![match view.version == own {
        true => Check::ok("node", format!("runs, version {own}")),
        false => {
            let found = format!("runs, version {}; this is {own}", view.version);
            Check::not_ok(
                State::Warn,
                "node",
                found,
                "Start the node again after an update.",
            )
        }
    }];
    if let Some(fault) = &view.fault {
        checks.push(Check::not_ok(
            State::Bad,
            "store",
            fault.what.clone(),
            &fault.next,
        ));
    }
    let days = view.lease_days;
    checks.push(match days {
        LEASE_DAYS_ODD.. => Check::ok("lease", format!("{days} days left")),
        0.. => {
            let fix = "Ask your administrator to renew it.";
            Check::not_ok(State::Warn, "lease", format!("{days} days left"), fix)
        }
        _ => {
            let fix = "Ask your administrator to renew it; others are told that it has ended.";
            Check::not_ok(State::Bad, "lease", "ended", fix)
        }
    });
    if view.relays.is_empty() {
        let fix = "Ask your administrator for the card of a relay, then set `relays`: aidmesh config init.";
        checks.push(Check::not_ok(State::Warn, "relay", "none is known", fix));
    }
    checks.extend(view.relays.iter().map(|relay| of_relay(relay, now_ms)));
    checks
}

fn of_relay(relay: &RelayView, now_ms: u64) -> Check {
    let name = format!("relay {}", super::screen::clean(&relay.name));
    let since = moment(relay.since_ms, now_ms);
    let why = relay.why.as_deref().unwrap_or("no answer yet");
    match relay.state.as_str() {
        "up" => {
            let rtt = relay
                .rtt_ms
                .map_or(String::new(), |rtt| format!(", {rtt} ms there and back"));
            Check::ok(
                &name,
                format!("up since {since}{rtt}, over UDP to {}", relay.address),
            )
        }
        "refused" => {
            let fix = "Ask its operator whether it serves your organisation and whether its key is the same.";
            Check::not_ok(State::Bad, &name, format!("refused since {since}: {why}"), fix)
        }
        _ => {
            let fix = "Check the network. If other things work, this network may drop UDP to that port.";
            Check::not_ok(State::Warn, &name, format!("no link since {since}: {why}"), fix)
        }
    }
}

#[cfg(test)]
mod tests;
