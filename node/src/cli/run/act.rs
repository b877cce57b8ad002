//! What `run` does: opens the device, starts it, stays.

use super::Run;
use crate::api::types::Fault;
use crate::cli::Context;
use crate::cli::init::act::unlock;
use crate::cli::passphrase::Asked;
use crate::config::Config;
use crate::device::{Device, How, Running};
use crate::fault::{self, Exit};
use crate::org::identity::IdentityFile;
use crate::run;
use aidmesh_host::node::Hooks;
use aidmesh_host::openings::state_dir;
use aidmesh_host::uplink::RelayAddress;
use serde_json::json;

const MIB: u64 = 1 << 20;

impl Run {
    pub(in crate::cli) async fn act(self, context: &mut Context, hooks: Hooks) -> Result<Exit, Fault> {
        let config = Config::load(&context.data, &|name| std::env::var(name).ok(), &self.flags)?;
        let unlock = unlock(context, Asked::Once)?;
        let device = Device::open(&context.data, &state_dir(), &unlock)?;
        drop(unlock);
        if let Some(why) = device.restored() {
            let fault = fault::with("AM-STORE-08", format_args!("{why:?}"));
            context.screen.aside(&format!("{} {}", fault.line(), fault.means));
        }
        let relays: Vec<RelayAddress> = config.relays.value.into_iter().map(chosen).collect();
        let how = How {
            relays: (!relays.is_empty()).then_some(relays),
            carry_bytes: u64::from(config.carry_mib.value) * MIB,
            hooks,
        };
        let screen = &mut context.screen;
        let ready = |running: &Running| {
            let head = head(&running.identity());
            screen.object(&head);
            for line in first_screen(&head) {
                screen.line(&line);
            }
        };
        run::run(device, how, ready, run::told_to_stop()).await?;
        context.screen.object(&json!({ "event": "stopped" }));
        Ok(Exit::Fine)
    }
}

fn chosen(card: aidmesh_relay::card::RelayCard) -> RelayAddress {
    RelayAddress {
        name: card.name,
        address: card.address,
        key: card.key,
    }
}

fn head(identity: &IdentityFile) -> serde_json::Value {
    json!({
        "event": "ready",
        "version": env!("CARGO_PKG_VERSION"),
        "organisation": identity.org.root.name.as_str(),
        "person": identity.name().as_str(),
        "device8": crate::org::desk::hex8(&identity.dev()),
        "relays": identity.relays.len(),
        "lease_days": identity.lease_days(crate::org::now_min()),
    })
}

/// Who this is, and what is not set up.
fn first_screen(head: &serde_json::Value) -> Vec<String> {
    let word = |name: &str| head[name].as_str().unwrap_or_default().to_owned();
    let mut lines = vec![format!(
        "aidmesh {}: {}, {}, device {}. Runs until Ctrl-C.",
        word("version"),
        word("person"),
        word("organisation"),
        word("device8")
    )];
    if head["relays"] == 0 {
        lines.push("No relay: nothing leaves this device. See: aidmesh org relay --help".to_owned());
    }
    match head["lease_days"].as_i64() {
        Some(days) if days < 0 => lines.push(format!("The lease ended {} d ago. Alarms still go.", -days)),
        Some(days) if days < 7 => lines.push(format!("The lease ends in {days} d.")),
        _ => {}
    }
    lines
}
