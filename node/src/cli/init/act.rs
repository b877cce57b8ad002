//! What `init` does: one of the three ways in.

use super::{Init, Way};
use crate::api::types::Fault;
use crate::cli::Context;
use crate::cli::passphrase::{Asked, passphrase};
use crate::config::Config;
use crate::fault::{self, Exit};
use crate::org::desk::{Founding, hex8};
use crate::org::online;
use crate::org::text::{self, Form};
use crate::setup::{self, Place};
use aidmesh_core::directory::{Name, Role, Roles, ThreadKind, tier};
use aidmesh_core::enrolment::Invite;
use aidmesh_host::openings::state_dir;
use aidmesh_host::vault::Unlock;
use serde_json::json;
use std::path::Path;

/// What the device of a desk is besides.
const ADMINISTRATOR: Roles = Roles(1 << Role::ItAdmin as u16);

impl Init {
    pub(in crate::cli) async fn act(self, context: &mut Context) -> Result<Exit, Fault> {
        let config = Config::load(&context.data, &|name| std::env::var(name).ok(), &self.flags)?;
        let place = Place {
            data: context.data.clone(),
            state: state_dir(),
            engine: config.engine.value,
        };
        match self.way() {
            Some(Way::Found(name)) => self.found(context, &place, name).await,
            Some(Way::Ask(invite)) => self.ask(context, &place, invite).await,
            Some(Way::Finish(grant)) => finish(context, &place, &given(Form::Grant, grant)?),
            None => Err(fault::of("AM-USE-01")),
        }
    }

    async fn found(&self, context: &mut Context, place: &Place, name: &str) -> Result<Exit, Fault> {
        let wanted = self.wanted()?.unwrap_or(Roles::of(&[Role::Physician]));
        takes_part(wanted)?;
        let new = Founding {
            organisation: short_name(name)?,
            holder: self.holder()?,
            // whoever keeps the desk is its administrator, whatever else the person is
            roles: Roles(wanted.0 | ADMINISTRATOR.0),
        };
        let unlock = unlock(context, Asked::Twice)?;
        let founded = setup::found(place, &unlock, &new).await?;
        let card = text::write(Form::OrgCard, &founded.card.encode().map_err(unreadable)?);
        context.screen.object(&json!({
            "schema": "aidmesh.founded/1",
            "organisation": name,
            "card": card,
            "root_words": &*founded.root_words,
        }));
        for line in [
            format!(
                "{name} is founded. This device is its desk: {}.",
                new.holder.as_str()
            ),
            String::new(),
            "The root key, in 24 words. Write them on paper and put the paper away: they are shown once and"
                .into(),
            "kept nowhere. With them the administrator is renewed after a year; whoever has them is the"
                .into(),
            "organisation.".into(),
            String::new(),
        ] {
            context.screen.line(&line);
        }
        let words: Vec<&str> = founded.root_words.split(' ').collect();
        for (n, row) in words.chunks(6).enumerate() {
            context
                .screen
                .line(&format!("  {:>2}  {}", n * 6 + 1, row.join(" ")));
        }
        context.screen.line("");
        context
            .screen
            .line("Next: aidmesh org card, for a relay; then aidmesh run");
        Ok(Exit::Fine)
    }

    async fn ask(&self, context: &mut Context, place: &Place, invite: &str) -> Result<Exit, Fault> {
        let invite = Invite::decode(&given(Form::Invite, invite)?).map_err(unreadable)?;
        let unlock = unlock(context, Asked::Twice)?;
        let asked = setup::ask(place, &unlock, &invite, self.holder()?, self.wanted()?)?;
        let request = text::write(Form::Request, &asked.request);
        let words = asked.words.join(" ");
        if invite.desk.is_none() {
            context.screen.object(&json!({
                "schema": "aidmesh.request/1",
                "request": request,
                "words": asked.words,
            }));
            context.screen.line(&request);
            context
                .screen
                .aside(&format!("Six words, to compare at the desk: {words}"));
            context
                .screen
                .aside("Take the line above to the desk: aidmesh org approve REQUEST");
            context
                .screen
                .aside("With its answer: aidmesh init --grant GRANT");
            return Ok(Exit::Fine);
        }
        context
            .screen
            .aside(&format!("Six words, to compare with the desk: {words}"));
        context
            .screen
            .aside("The desk is asked, for up to 10 minutes. Ctrl-C: ask again later.");
        let grant = tokio::select! {
            grant = online::fetch(&asked) => grant?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        };
        finish(context, place, &grant)
    }

    fn holder(&self) -> Result<Name, Fault> {
        short_name(self.person.as_deref().unwrap_or_default())
    }

    fn wanted(&self) -> Result<Option<Roles>, Fault> {
        roles(&self.roles)
    }
}

/// Cards go round in conversations with the desk's device, so one of its roles has to be in threads.
fn takes_part(roles: Roles) -> Result<(), Fault> {
    let in_threads = |role| tier(role, ThreadKind::Conversation, true, false).is_some();
    if roles.iter().any(in_threads) {
        return Ok(());
    }
    let names = roles.iter().map(Role::name).collect::<Vec<_>>().join(", ");
    let how =
        "is in no thread, and cards go round through this device; name one more --role, such as physician";
    Err(fault::with("AM-USE-01", format_args!("{names} {how}")))
}

/// Roles by their names; `None`: none was named.
pub(in crate::cli) fn roles(names: &[String]) -> Result<Option<Roles>, Fault> {
    let role = |name: &String| {
        let all = || Role::ALL.map(Role::name).join(", ");
        let known = Role::from_name(&name.to_lowercase());
        known.ok_or_else(|| fault::with("AM-USE-01", format_args!("no role {name}; there are: {}", all())))
    };
    let roles = names.iter().map(role).collect::<Result<Vec<_>, _>>()?;
    Ok((!roles.is_empty()).then(|| Roles::of(&roles)))
}

/// The passphrase of this device, in the form in which a vault takes it.
pub(in crate::cli) fn unlock(context: &Context, asked: Asked) -> Result<Unlock, Fault> {
    let words = passphrase(context.passphrase_file.as_deref(), asked)?;
    Ok(Unlock::Passphrase(words))
}

/// The bytes of an object that was given as text or as a file.
pub(in crate::cli) fn given(form: Form, word: &str) -> Result<Vec<u8>, Fault> {
    let as_text = text::read(form, word);
    let path = Path::new(word);
    match as_text {
        Err(_) if path.is_file() => Ok(text::read_file(form, path)?),
        other => Ok(other?),
    }
}

fn finish(context: &mut Context, place: &Place, grant: &[u8]) -> Result<Exit, Fault> {
    let unlock = unlock(context, Asked::Once)?;
    let identity = setup::take(place, &unlock, grant)?;
    let organisation = identity.org.root.name.as_str().to_owned();
    let device8 = hex8(&identity.dev());
    context.screen.object(&json!({
        "schema": "aidmesh.enrolled/1",
        "organisation": organisation,
        "person": identity.name().as_str(),
        "device8": device8,
    }));
    let person = identity.name().as_str().to_owned();
    context.screen.line(&format!(
        "{person} is enrolled in {organisation}, device {device8}."
    ));
    context.screen.line("Next: aidmesh run");
    Ok(Exit::Fine)
}

fn short_name(text: &str) -> Result<Name, Fault> {
    Name::new(text)
        .ok_or_else(|| fault::with("AM-USE-05", "a name has 1 to 40 bytes and no control characters"))
}

fn unreadable(why: impl std::fmt::Display) -> Fault {
    fault::with("AM-ORG-02", why)
}
