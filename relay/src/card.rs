//! The card of a relay: one line by which an administrator puts it into invites.
//!
//! `NAME host:port KEYHEX`. Devices pin the key, so the line decides whom they talk to; it holds no secret.
//! A name is one word here, since the line is split at spaces.

use aidmesh_core::limits;
use data_encoding::HEXLOWER;
use std::fmt;
use std::str::FromStr;

/// Longest `host:port`: what fits into an invite.
const ADDRESS_BYTES: usize = 64;

/// How devices reach a relay, and the key they pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayCard {
    /// Name to show: 1 to 40 bytes, no spaces.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Public routing key.
    pub key: [u8; 32],
}

/// Why a line is no card of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not three words.
    #[error("a relay's card is one line: NAME host:port KEY")]
    Words,
    /// The name.
    #[error("the name of a relay has 1 to 40 bytes and no spaces")]
    Name,
    /// The address.
    #[error("the address of a relay is host:port, at most 64 bytes")]
    Address,
    /// The key.
    #[error("the key of a relay has 64 hexadecimal digits")]
    Key,
}

impl RelayCard {
    /// Checks the parts.
    pub fn new(name: &str, address: &str, key: [u8; 32]) -> Result<RelayCard, CardError> {
        let plain = |text: &str| !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if name.is_empty() || name.len() > limits::NAME_BYTES || !plain(name) {
            return Err(CardError::Name);
        }
        let (host, port) = address.rsplit_once(':').ok_or(CardError::Address)?;
        let port_fits = port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !port_fits || address.len() > ADDRESS_BYTES || !plain(address) {
            return Err(CardError::Address);
        }
        let (name, address) = (name.to_owned(), address.to_owned());
        Ok(RelayCard { name, address, key })
    }
}

impl fmt::Display for RelayCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.address, HEXLOWER.encode(&self.key))
    }
}

impl FromStr for RelayCard {
    type Err = CardError;

    fn from_str(line: &str) -> Result<RelayCard, CardError> {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        let [name, address, key] = words[..] else {
            return Err(CardError::Words);
        };
        let key = HEXLOWER.decode(key.to_ascii_lowercase().as_bytes());
        let key = key.ok().and_then(|key| key.try_into().ok());
        RelayCard::new(name, address, key.ok_or(CardError::Key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_read_as_it_is_written() {
        for address in ["relay.example:7443", "[2001:db8::1]:7443", "192.0.2.7:1"] {
            let card = RelayCard::new("North-1", address, [0xa7; 32]).unwrap();
            assert_eq!(format!("  {card}\n").parse(), Ok(card));
        }
    }

    #[test]
    fn what_is_no_card_is_refused_with_the_reason() {
        let key = "a7".repeat(32);
        for (line, why) in [
            ("".to_owned(), CardError::Words),
            (format!("N h:1 {key} more"), CardError::Words),
            (format!("{} h:1 {key}", "n".repeat(41)), CardError::Name),
            (format!("N h {key}"), CardError::Address),
            (format!("N h:0 {key}"), CardError::Address),
            (format!("N h:65536 {key}"), CardError::Address),
            (format!("N :7 {key}"), CardError::Address),
            (format!("N {}:7 {key}", "h".repeat(63)), CardError::Address),
            (format!("N h:1 {}", &key[2..]), CardError::Key),
            (format!("N h:1 {}", "zz".repeat(32)), CardError::Key),
        ] {
            assert_eq!(line.parse::<RelayCard>(), Err(why), "{line}");
        }
        assert_eq!(RelayCard::new("two words", "h:1", [0; 32]), Err(CardError::Name));
    }
}
