//! The search finds what it must, in every form, and nothing else.

use data_encoding::{BASE64, HEXLOWER};

use super::{Found, SECRET_BYTES_MIN, Search, pieces, text};

const SECRET: &str = "man, 58, chest pain";

fn search() -> Search {
    Search::new(&[text("label", SECRET), text("other", "never planted at all")]).unwrap()
}

fn found(haystack: &[u8]) -> Found {
    let mut found = Found::default();
    search().over(haystack, &mut found);
    found
}

#[test]
fn as_it_is_as_hex_and_as_utf16() {
    let utf16: Vec<u8> = SECRET.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for form in [
        SECRET.as_bytes().to_vec(),
        HEXLOWER.encode(SECRET.as_bytes()).into_bytes(),
        utf16,
    ] {
        for padding in [0, 1, 100] {
            let haystack = [vec![b'x'; padding], form.clone(), vec![b'y'; padding]].concat();
            let found = found(&haystack);
            assert_eq!(search().names(&found), ["label"]);
            assert_eq!(search().missing(&found), ["other"]);
            assert_eq!(found.bytes, haystack.len() as u64);
        }
    }
}

#[test]
fn as_base64_wherever_it_stands() {
    for before in 0..6 {
        for after in 0..3 {
            let plain = ["p".repeat(before), SECRET.into(), "q".repeat(after)].concat();
            assert_eq!(
                found(BASE64.encode(plain.as_bytes()).as_bytes()).count(),
                1,
                "{before} {after}"
            );
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    assert_eq!(found(b"").count(), 0);
    assert_eq!(found(&SECRET.as_bytes()[..SECRET.len() - 1]).count(), 0);
    let mut noise: Vec<u8> = (0..100_000u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    assert_eq!(found(&noise).count(), 0);
    noise.extend_from_slice(SECRET.as_bytes());
    assert_eq!(found(&noise).count(), 1);
}

#[test]
fn what_chance_could_find_is_no_secret() {
    assert!(Search::new(&[text("short", &"x".repeat(SECRET_BYTES_MIN - 1))]).is_none());
    assert!(Search::new(&[text("enough", &"x".repeat(SECRET_BYTES_MIN))]).is_some());
}

#[test]
fn files_and_their_names_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("rows"), [b"....", SECRET.as_bytes(), b"...."].concat()).unwrap();
    std::fs::write(folder.path().join("never planted at all.log"), b"").unwrap();
    let mut in_folder = Found::default();
    search().over_folder(folder.path(), &mut in_folder).unwrap();
    assert_eq!(search().names(&in_folder), ["label", "other"]);
    assert_eq!(search().missing(&in_folder), [""; 0]);
    assert!(
        search()
            .over_folder(&folder.path().join("missing"), &mut in_folder)
            .is_err()
    );
}

#[test]
fn findings_add_up() {
    let both = found(SECRET.as_bytes()).and(&found(b"never planted at all"));
    assert_eq!((both.count(), both.bytes), (2, 39));
}

#[test]
fn pieces_are_spread_and_varied() {
    let mut file = vec![0u8; 4_000];
    for (at, byte) in file.iter_mut().enumerate().skip(1_700) {
        *byte = (at * 7 % 251) as u8;
    }
    let secrets = pieces("file", &file, 4);
    // the first stride is flat, so it has no piece
    assert_eq!(secrets.len(), 3);
    for secret in &secrets {
        assert!(
            file.windows(secret.bytes.len())
                .any(|window| window == secret.bytes)
        );
        assert!(secret.bytes.len() >= SECRET_BYTES_MIN);
    }
    assert_eq!(pieces("empty", b"", 4), []);
    assert_eq!(pieces("short", b"abc", 4), []);
}
