//! The commands that end at once: `init`, `trust`, `card`, `status`.

use crate::args::{ADMIN, Init, Status, Trust};
use crate::card::RelayCard;
use crate::key_file::KeySource;
use crate::settings::{Limits, Settings};
use crate::trouble::{self, Trouble};
use crate::{admin, data, orgs, say, status};
use aidmesh_core::enrolment::OrgCard;
use aidmesh_core::id::{Key8, Org};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes a relay and prints its card.
pub(crate) fn init(data: &Path, init: Init, json: bool) -> Result<(), Trouble> {
    admin::loopback(init.admin)?;
    let cards = init
        .orgs
        .iter()
        .map(|given| orgs::read(given))
        .collect::<Result<_, _>>()?;
    let cards = orgs::by_org(cards)?;
    let (public, guessed) = match init.public {
        Some(public) => (public, false),
        None => (guess(init.listen), true),
    };
    let fits = RelayCard::new(&init.name, &public, [0; 32]);
    fits.map_err(|why| Trouble::new(trouble::SAID, why))?;
    let source = KeySource::choose(init.key_file.as_deref(), None, data);
    let absolute = |path: &Path| {
        let whole = std::path::absolute(path);
        whole.map_err(|why| Trouble::new(trouble::SAID, format_args!("{}: {why}", path.display())))
    };
    let settings = Settings {
        version: Settings::VERSION,
        name: init.name,
        key: String::new(),
        listen: init.listen,
        public,
        admin: init.admin,
        room_bytes: init.room_mib << 20,
        key_file: source.noted().map(absolute).transpose()?,
        openings: init.openings.as_deref().map(absolute).transpose()?,
        orgs: cards.values().map(orgs::text).collect::<Result<_, _>>()?,
        limits: Limits::default(),
    };
    let settings = data::make(data, &source, settings)?;
    match json {
        true => say(&format!("{}\n", described(data, &settings, &cards)?)),
        false => say(&screen(data, &settings, &cards, guessed)?),
    }
    Ok(())
}

/// Where this machine would send from: nothing is sent to find out. The addresses are those of
/// documentation (RFC 5737, RFC 3849).
fn guess(listen: SocketAddr) -> String {
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let (from, to): (IpAddr, IpAddr) = match listen.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        false => (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    let socket = UdpSocket::bind((from, 0)).and_then(|socket| {
        socket.connect((to, 9))?;
        socket.local_addr()
    });
    let ip = socket.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip());
    SocketAddr::new(ip, listen.port()).to_string()
}

/// The short name of a relay's key, to compare by eye.
pub(crate) fn fingerprint(key: &[u8; 32]) -> String {
    HEXLOWER.encode(&Key8::of_key(key).0)
}

fn described(data: &Path, settings: &Settings, cards: &BTreeMap<Org, OrgCard>) -> Result<Value, Trouble> {
    let card = settings.card()?;
    let served = cards
        .iter()
        .map(|(org, card)| json!({"id": HEXLOWER.encode(&org.0), "name": card.root.name.as_str()}));
    Ok(json!({
        "schema": "aidmesh.relay_card/1",
        "card": card.to_string(),
        "name": card.name,
        "address": card.address,
        "key": HEXLOWER.encode(&card.key),
        "fingerprint": fingerprint(&card.key),
        "listen": settings.listen,
        "admin": settings.admin,
        "data": data,
        "key_file": settings.key_file,
        "orgs": served.collect::<Vec<_>>(),
    }))
}

fn screen(
    data: &Path,
    settings: &Settings,
    cards: &BTreeMap<Org, OrgCard>,
    guessed: bool,
) -> Result<String, Trouble> {
    let card = settings.card()?;
    let mut out = String::new();
    let _ = writeln!(out, "Relay {} is made. It has not been started.", card.name);
    let _ = writeln!(out, "  data        {}", data.display());
    match &settings.key_file {
        Some(path) => {
            let _ = writeln!(
                out,
                "  key file    {} (keep a copy, apart from the data)",
                path.display()
            );
        }
        None => {
            let _ = writeln!(out, "  key         from a credential of systemd");
        }
    }
    let _ = writeln!(out, "  listens     {} (UDP)", settings.listen);
    let note = if guessed {
        " (guessed; say it with --public)"
    } else {
        ""
    };
    let _ = writeln!(out, "  reached at  {}{note}", card.address);
    let _ = writeln!(out, "  fingerprint {}", fingerprint(&card.key));
    out.push_str(&served(cards));
    let _ = writeln!(
        out,
        "\nIts card, one line for the invites of these organisations:\n\n{card}\n"
    );
    let _ = writeln!(out, "Next: aidmesh-relay run --data {}", data.display());
    Ok(out)
}

fn served(cards: &BTreeMap<Org, OrgCard>) -> String {
    let mut out = String::new();
    for (org, card) in cards {
        let id = HEXLOWER.encode(&org.0);
        let _ = writeln!(
            out,
            "  serves      {} (id {id}; compare it with theirs)",
            card.root.name.as_str()
        );
    }
    out
}

/// The organisations that the settings name.
pub(crate) fn cards_of(settings: &Settings) -> Result<BTreeMap<Org, OrgCard>, Trouble> {
    let cards = settings.orgs.iter().map(|text| orgs::parse(text.as_bytes()));
    let cards = cards.collect::<Result<_, _>>();
    orgs::by_org(cards.map_err(|why| Trouble::new(trouble::CARD, format_args!("in relay.json: {why}")))?)
}

/// Adds organisations to the settings.
pub(crate) fn trust(data: &Path, trust: &Trust, json: bool) -> Result<(), Trouble> {
    let mut settings = Settings::load(data)?;
    let mut cards = cards_of(&settings)?.into_values().collect::<Vec<_>>();
    for given in &trust.cards {
        cards.push(orgs::read(given)?);
    }
    let cards = orgs::by_org(cards)?;
    settings.orgs = cards.values().map(orgs::text).collect::<Result<_, _>>()?;
    settings.save(data)?;
    match json {
        true => say(&format!("{}\n", described(data, &settings, &cards)?)),
        false => say(&format!("From its next start the relay\n{}", served(&cards))),
    }
    Ok(())
}

/// Prints the card again.
pub(crate) fn card(data: &Path, json: bool) -> Result<(), Trouble> {
    let settings = Settings::load(data)?;
    match json {
        true => say(&format!(
            "{}\n",
            described(data, &settings, &cards_of(&settings)?)?
        )),
        false => say(&format!("{}\n", settings.card()?)),
    }
    Ok(())
}

/// Asks the relay that runs here. 0 if it takes items, else 1.
pub(crate) fn status(said: Option<&Path>, wanted: &Status, json: bool) -> Result<ExitCode, Trouble> {
    let noted = |data: PathBuf| match Settings::load(&data) {
        Ok(settings) => Ok(settings.admin),
        // a user who may not read the data folder may still ask
        Err(_) if said.is_none() => Ok(ADMIN),
        Err(why) => Err(why),
    };
    let address = match wanted.admin {
        Some(address) => address,
        None => noted(data::folder(said)?)?,
    };
    let status = crate::runtime()?.block_on(status::ask(address))?;
    match json {
        true => say(&format!("{status}\n")),
        false => say(&status::screen(&status)),
    }
    Ok(match status["ready"] == true {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_guessed_without_asking_anybody() {
        assert_eq!(guess("192.0.2.7:7443".parse().unwrap()), "192.0.2.7:7443");
        for listen in ["0.0.0.0:7443", "[::]:7443"] {
            let guessed: SocketAddr = guess(listen.parse().unwrap()).parse().unwrap();
            assert!(!guessed.ip().is_unspecified());
            assert_eq!(guessed.port(), 7443);
        }
    }
}
