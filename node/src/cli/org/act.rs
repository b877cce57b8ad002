//! What `org` does, at the desk of this folder; a node that runs here is told to read it again.

use super::{Approve, Invite, Org, Relay, Revoke, Trust};
use crate::api::types::Fault;
use crate::cli::Context;
use crate::cli::init::act::{given, roles, unlock};
use crate::cli::passphrase::Asked;
use crate::cli::screen::clean;
use crate::fault::{self, Exit};
use crate::office::Office;
use crate::org::desk::{Asking, Desk, Offer, hex8};
use crate::org::text::{self, Form};
use crate::org::{now_min, online};
use aidmesh_core::crypto::KeyPair;
use aidmesh_core::enrolment::{OrgCard, Place};
use aidmesh_core::machine::command::Card;
use aidmesh_host::uplink::ask::Listener;
use aidmesh_relay::card::RelayCard;
use serde_json::json;
use std::io::{BufRead, IsTerminal, Read};
use std::time::Duration;

/// More than the line of a relay has.
const LINE_BYTES: u64 = 1024;

impl Org {
    pub(in crate::cli) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        if !Office::is_in(&context.data) {
            return Err(fault::of("AM-ORG-09"));
        }
        let unlock = unlock(context, Asked::Once)?;
        let mut office = Office::open(&context.data, &unlock)?;
        let changed = match self {
            Org::Invite(invite) => return invite.act(context, &mut office).await,
            Org::Approve(approve) => return approve.act(context, &mut office),
            Org::Card => return card(context, &mut office),
            Org::List => return list(context, &mut office),
            Org::Relay(relay) => relay.act(context, &mut office)?,
            Org::Trust(trust) => trust.act(context, &mut office)?,
            Org::Revoke(revoke) => revoke.act(context, &mut office)?,
        };
        // the node reads the same vault
        drop(office);
        if changed {
            tell_node(context).await;
        }
        Ok(Exit::Fine)
    }
}

/// A node that runs in this folder takes the change up now, else one does when it starts.
async fn tell_node(context: &mut Context) {
    let Ok(node) = context.node() else { return };
    let done = node
        .post::<_, serde_json::Value>("/v1/org/reload", &json!({}))
        .await;
    if let Err(why) = done {
        let text = format!(
            "The node that runs here did not take it up; it will at its next start. {}",
            why.line()
        );
        context.screen.aside(&text);
    }
}

fn card(context: &mut Context, office: &mut Office) -> Result<Exit, Fault> {
    let desk = office.desk()?;
    let card = desk.card();
    let text = text::write(
        Form::OrgCard,
        &card.encode().map_err(|why| fault::with("AM-ORG-02", why))?,
    );
    let organisation = card.root.name.as_str();
    context.screen.object(&json!({
        "schema": "aidmesh.org_card/1",
        "organisation": organisation,
        "card": text,
    }));
    context.screen.line(&text);
    Ok(Exit::Fine)
}

fn list(context: &mut Context, office: &mut Office) -> Result<Exit, Fault> {
    let desk = office.desk()?;
    let mut rows = Vec::new();
    for enrolled in desk.enrolled() {
        let roles: Vec<&str> = enrolled.device.roles.iter().map(|role| role.name()).collect();
        let state = if enrolled.ended { "revoked" } else { "enrolled" };
        let (person, device8) = (enrolled.device.name.as_str(), hex8(&enrolled.device.dev()));
        context.screen.object(&json!({
            "person": person,
            "device8": device8,
            "roles": roles,
            "state": state,
        }));
        rows.push(vec![
            device8,
            person.to_owned(),
            roles.join(", "),
            state.to_owned(),
        ]);
    }
    context.screen.table("", &rows);
    for place in desk.relays() {
        context.screen.line(&format!("relay  {}", place.address()));
    }
    Ok(Exit::Fine)
}

impl Invite {
    async fn act(self, context: &mut Context, office: &mut Office) -> Result<Exit, Fault> {
        let roles = roles(&self.roles)?.ok_or_else(|| fault::of("AM-USE-01"))?;
        let cards = own_cards(office)?;
        let (mut listener, desk) = match self.desk()? {
            Some((listener, place)) => (Some(listener), Some(place)),
            None => (None, None),
        };
        let valid_min = u32::try_from(self.valid.as_secs() / 60).unwrap_or(u32::MAX);
        let offer = Offer {
            roles,
            desk,
            valid_min,
        };
        let mut open = office.desk()?;
        let invite = open.invite(&offer, now_min())?;
        let bytes = invite.encode().map_err(|why| fault::with("AM-USE-05", why))?;
        let text = text::write(Form::Invite, &bytes);
        context.screen.object(&json!({
            "schema": "aidmesh.invite/1",
            "invite": text,
            "not_after_min": invite.not_after_min,
        }));
        context.screen.line(&text);
        if let Some(path) = &self.svg {
            text::write_file(path, &text::qr_svg(&text)?, true)?;
        }
        let screen = &mut context.screen;
        if std::io::stderr().is_terminal() {
            screen.aside(&text::qr_terminal(&text)?);
        }
        screen.aside("One device may use it, once. Whoever reads it may ask: hand it over in person.");
        match &mut listener {
            Some(listener) => answer(context, &mut open, &cards, (listener, self.valid)).await,
            None => Ok(Exit::Fine),
        }
    }

    /// Where this desk answers online, under a key for this invite alone, so that no other process need
    /// know it.
    fn desk(&self) -> Result<Option<(Listener, Place)>, Fault> {
        let Some(address) = self.listen else {
            return Ok(None);
        };
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(&mut seed[..]).map_err(|why| fault::with("AM-STORE-02", why))?;
        let key = KeyPair::from_seed(&seed);
        let listener = online::listen(address, &key).map_err(|why| fault::with("AM-USE-07", why))?;
        let bound = listener.local_address().ok_or_else(|| fault::of("AM-USE-07"))?;
        let address = self.public.clone().unwrap_or_else(|| bound.to_string());
        let place = Place::new(&address, key.public()).map_err(|why| fault::with("AM-USE-05", why))?;
        Ok(Some((listener, place)))
    }
}

/// Waits for the device of an invite and lets it in once a person has compared the words.
async fn answer(
    context: &mut Context,
    desk: &mut Desk<'_>,
    cards: &[Card],
    (listener, valid): (&mut Listener, Duration),
) -> Result<Exit, Fault> {
    let screen = &mut context.screen;
    screen.aside("Waiting for that device. Ctrl-C: stop waiting; the invite stays.");
    let decide = async |asking: &Asking| same_words(screen, asking, false);
    let served = tokio::select! {
        served = online::serve(desk, cards, listener, (valid, now_min), decide) => served?,
        _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
    };
    let served = served.ok_or_else(|| fault::of("AM-ORG-03"))?;
    if !served.delivered {
        let grant = text::write(Form::Grant, &served.approved.grant);
        context.screen.line(&grant);
        let text = "The device left before its answer came. Carry the line above to it.";
        context.screen.aside(text);
    }
    enrolled(context, &served.approved.asking);
    Ok(Exit::Fine)
}

impl Approve {
    fn act(self, context: &mut Context, office: &mut Office) -> Result<Exit, Fault> {
        let request = given(Form::Request, &self.request)?;
        let cards = own_cards(office)?;
        let mut desk = office.desk()?;
        let asking = desk.look(&request, now_min())?;
        if !same_words(&mut context.screen, &asking, self.yes) {
            return Err(match std::io::stdin().is_terminal() {
                true => fault::of("AM-ORG-11"),
                false => fault::with(
                    "AM-USE-01",
                    "nobody has compared the six words; if you did, say --yes",
                ),
            });
        }
        let approved = desk.approve(&request, &cards, now_min())?;
        let grant = text::write(Form::Grant, &approved.grant);
        context.screen.object(&json!({
            "schema": "aidmesh.grant/1",
            "grant": grant,
            "person": asking.request.name.as_str(),
            "device8": hex8(&asking.request.dev()),
        }));
        context.screen.line(&grant);
        enrolled(context, &approved.asking);
        context
            .screen
            .aside("Take the line above to that device: aidmesh init --grant GRANT");
        Ok(Exit::Fine)
    }
}

fn enrolled(context: &mut Context, asking: &Asking) {
    let name = clean(asking.request.name.as_str());
    let text = format!("{name} is let in, device {}.", hex8(&asking.request.dev()));
    context.screen.aside(&text);
}

/// Shows what is asked and the six words; whether a person says that they are the same on the new device.
fn same_words(screen: &mut crate::cli::screen::Screen, asking: &Asking, compared: bool) -> bool {
    let roles: Vec<&str> = asking.request.roles.iter().map(|role| role.name()).collect();
    let name = clean(asking.request.name.as_str());
    screen.aside(&format!("{name} asks to join as {}.", roles.join(", ")));
    if !asking.same_person.is_empty() {
        let devices: Vec<String> = asking.same_person.iter().map(hex8).collect();
        screen.aside(&format!(
            "Somebody of this name is enrolled already: {}.",
            devices.join(", ")
        ));
    }
    screen.aside(&format!("Six words: {}", asking.words.join(" ")));
    if compared {
        return true;
    }
    if !std::io::stdin().is_terminal() {
        return false;
    }
    screen.aside("Are they the same on that device? Type yes:");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).is_ok() && answer.trim() == "yes"
}

impl Relay {
    fn act(self, context: &mut Context, office: &mut Office) -> Result<bool, Fault> {
        let card: RelayCard = relay_line(&self.card)?
            .trim()
            .parse()
            .map_err(|why| fault::with("AM-ORG-02", why))?;
        let place = Place::new(&card.address, card.key).map_err(|why| fault::with("AM-ORG-02", why))?;
        let mut desk = office.desk()?;
        let mut relays = desk.relays().to_vec();
        relays.retain(|other| other.key != card.key);
        relays.push(place);
        desk.set_relays(relays)?;
        office.set_here(card.key, self.here.as_deref())?;
        context
            .screen
            .object(&json!({ "schema": "aidmesh.relay/1", "name": card.name, "address": card.address }));
        context.screen.line(&format!(
            "Invites and grants name the relay {} from now on.",
            clean(&card.name)
        ));
        Ok(true)
    }
}

impl Trust {
    fn act(self, context: &mut Context, office: &mut Office) -> Result<bool, Fault> {
        let bytes = given(Form::OrgCard, &self.card)?;
        let card = OrgCard::decode(&bytes).map_err(|why| fault::with("AM-ORG-02", why))?;
        let name = card.root.name.as_str().to_owned();
        let new = office.desk()?.trust(&card)?;
        context
            .screen
            .object(&json!({ "schema": "aidmesh.trust/1", "organisation": name, "new": new }));
        let what = if new {
            "is trusted from now on"
        } else {
            "was trusted already"
        };
        context.screen.line(&format!("{} {what}.", clean(&name)));
        Ok(new)
    }
}

impl Revoke {
    fn act(self, context: &mut Context, office: &mut Office) -> Result<bool, Fault> {
        if !self.yes {
            if !std::io::stdin().is_terminal() {
                return Err(fault::with("AM-USE-01", "it cannot be undone; say --yes"));
            }
            context.screen.aside(&format!(
                "{} is taken out of the organisation for ever. Type yes:",
                clean(&self.device)
            ));
            let mut answer = String::new();
            let read = std::io::stdin().lock().read_line(&mut answer);
            if read.is_err() || answer.trim() != "yes" {
                return Err(fault::with("AM-USE-01", "it was not confirmed"));
            }
        }
        let revoked = office.desk()?.revoke(&self.device)?;
        context.screen.object(&json!({
            "schema": "aidmesh.revoked/1",
            "device": self.device,
            "keys": revoked.len(),
        }));
        context.screen.line(
            "Revoked. Every device learns it at its next contact; members remove it from their threads.",
        );
        Ok(true)
    }
}

/// The line of a relay, as text or from a file.
fn relay_line(word: &str) -> Result<String, Fault> {
    let path = std::path::Path::new(word);
    if !path.is_file() {
        return Ok(word.to_owned());
    }
    let unreadable = |why: std::io::Error| fault::with("AM-USE-07", why);
    let mut line = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    std::io::Read::read_to_string(&mut file.take(LINE_BYTES), &mut line).map_err(unreadable)?;
    Ok(line)
}

/// Cards that a grant carries: the desk's own.
fn own_cards(office: &Office) -> Result<Vec<Card>, Fault> {
    Ok(office.own_card()?.into_iter().collect())
}
