//! Cards of the organisations that a relay serves: read from what an operator gives, kept as text.
//!
//! A card is given as the text that `aidmesh org card` prints, or as a file with that text or with its
//! bytes. It is verified in itself: its root key signed it. That it is the card of the right organisation
//! only the operator can say, so name and id are printed back.
//!
//! Text: a word of letters and digits with a colon, then base32. What stands before the colon is for people;
//! the signature decides.

use crate::trouble::{self, Trouble};
use aidmesh_core::enrolment::OrgCard;
use aidmesh_core::id::Org;
use aidmesh_core::limits;
use data_encoding::BASE32_NOPAD;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How the kept text begins.
const PREFIX: &str = "AMO1";
/// Longest text: a prefix, base32, line breaks.
const TEXT_BYTES: usize = 64 + limits::ORG_CARD_BYTES * 2;

/// Reads a card given as text or as the path of a file.
pub fn read(given: &str) -> Result<OrgCard, Trouble> {
    let path = Path::new(given);
    // a text is never a path: it has no name of a file with a colon in it that exists here
    let bytes = match path.is_file() {
        true => read_file(path)?,
        false => given.as_bytes().to_vec(),
    };
    parse(&bytes).map_err(|why| {
        let what = match path.is_file() {
            true => format!("{}: {why}", path.display()),
            false => format!("neither a file nor the text of a card: {why}"),
        };
        Trouble::new(trouble::CARD, what)
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_BYTES as u64 + 1).read_to_end(&mut bytes));
    let refused =
        |why: &dyn std::fmt::Display| Trouble::new(trouble::CARD, format_args!("{}: {why}", path.display()));
    match read.map_err(|why| refused(&why))? > TEXT_BYTES {
        true => Err(refused(&"too long for a card")),
        false => Ok(bytes),
    }
}

/// Reads the bytes or the text of a card.
pub fn parse(given: &[u8]) -> Result<OrgCard, &'static str> {
    if let Ok(card) = OrgCard::decode(given) {
        return Ok(card);
    }
    let text = std::str::from_utf8(given).map_err(|_| "letters are missing or wrong")?;
    if text.len() > TEXT_BYTES {
        return Err("too long for a card");
    }
    let text: String = text.split_whitespace().collect::<String>().to_ascii_uppercase();
    let (prefix, body) = text.split_once(':').ok_or("the text of a card has a colon")?;
    if !prefix.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err("the text of a card begins with a word and a colon");
    }
    let bytes = BASE32_NOPAD.decode(body.as_bytes());
    let bytes = bytes.map_err(|_| "letters are missing or wrong")?;
    OrgCard::decode(&bytes).map_err(|why| why.0)
}

/// The text of a card.
pub fn text(card: &OrgCard) -> Result<String, Trouble> {
    let bytes = card.encode().map_err(|why| Trouble::new(trouble::CARD, why.0))?;
    Ok(format!("{PREFIX}:{}", BASE32_NOPAD.encode(&bytes)))
}

/// Of several cards of one organisation the last counts. At least one is left.
pub fn by_org(cards: Vec<OrgCard>) -> Result<BTreeMap<Org, OrgCard>, Trouble> {
    let cards: BTreeMap<Org, OrgCard> = cards.into_iter().map(|card| (card.org(), card)).collect();
    match cards.len() {
        0 => Err(Trouble::new(trouble::CARD, "none was given")),
        n if n > limits::ROOTS => Err(Trouble::new(trouble::CARD, "more than 256 organisations")),
        _ => Ok(cards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::Organisation;

    fn card(organisation: &Organisation) -> OrgCard {
        OrgCard {
            root: organisation.card.clone(),
            admins: vec![organisation.admin_cert.clone()],
        }
    }

    #[test]
    fn a_card_is_read_as_text_as_a_file_of_text_and_as_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (card, path) = (
            card(&Organisation::new("North", 1)),
            folder.path().join("north.card"),
        );
        let (line, name) = (text(&card).unwrap(), path.to_str().unwrap());
        assert_eq!(read(&line), Ok(card.clone()));
        let folded: String = line.to_lowercase().chars().flat_map(|c| [c, '\n']).collect();
        std::fs::write(&path, folded).unwrap();
        assert_eq!(read(name), Ok(card.clone()));
        std::fs::write(&path, card.encode().unwrap()).unwrap();
        assert_eq!(read(name), Ok(card));
    }

    #[test]
    fn what_is_no_card_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (north, south) = (Organisation::new("North", 1), Organisation::new("South", 2));
        let line = text(&card(&north)).unwrap();
        let mut slip = line.clone().into_bytes();
        slip[40] = if slip[40] == b'A' { b'B' } else { b'A' };
        let slip = String::from_utf8(slip).unwrap();
        for given in [
            "",
            "no such file",
            &line[5..],
            &line[..100],
            &slip,
            &"A".repeat(1 << 16),
        ] {
            assert_eq!(read(given).unwrap_err().code, trouble::CARD, "{given:.20}");
        }
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'A'; 1 << 20]).unwrap();
        assert!(
            read(large.to_str().unwrap())
                .unwrap_err()
                .how
                .contains("too long")
        );
        // an administrator whom this root did not certify
        let mixed = OrgCard {
            root: north.card,
            admins: vec![south.admin_cert],
        };
        assert_eq!(text(&mixed).unwrap_err().code, trouble::CARD);
    }

    #[test]
    fn one_card_of_an_organisation_is_kept() {
        let north = card(&Organisation::new("North", 1));
        assert_eq!(by_org(vec![north.clone(), north]).unwrap().len(), 1);
        assert_eq!(by_org(vec![]).unwrap_err().code, trouble::CARD);
    }
}
