use super::*;
use crate::blobs::Chunks;
use crate::golden;

fn key() -> Secret {
    Secret([0x42; 32])
}

fn text(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 % 251) as u8).collect()
}

type Sealed = Vec<(Layer, Vec<Vec<u8>>)>;

fn sample() -> (Manifest, Sealed) {
    let mut sealer = Sealer::new(key());
    let mut chunks = Vec::new();
    let name = FileName::new("A0001.hea").unwrap();
    for (layer, name, code, n) in [
        (Layer::ORIGINAL, Some(name), 4, 1025),
        (Layer::BEATS, None, 0, 130),
        (Layer::PREVIEW, None, 4, 2048),
        (Layer(5), None, 4, 1),
    ] {
        let size = ChunkSize::from_code(code).unwrap();
        chunks.push((layer, sealer.layer(layer, name, size, &text(n)).unwrap()));
    }
    (sealer.finish().unwrap(), chunks)
}

fn encoded(manifest: &Manifest) -> Vec<u8> {
    let mut w = Writer::new();
    manifest.write(&mut w);
    w.0
}

#[test]
fn a_sealed_object_opens_chunk_by_chunk_and_joins() {
    let (manifest, chunks) = sample();
    assert_eq!(
        Manifest::read(&mut Reader::new(&encoded(&manifest))),
        Ok(manifest.clone())
    );
    let totals: Vec<_> = manifest.totals().map(|(l, n)| (l.to_u8(), n)).collect();
    assert_eq!(totals, [(1, 3), (2, 2), (4, 2), (5, 1)]);
    for (layer, sealed) in chunks {
        let open: Vec<_> = (0u32..)
            .zip(&sealed)
            .map(|(i, c)| open_chunk(&manifest, layer, i, c).unwrap())
            .collect();
        let info = manifest.layer(layer).unwrap();
        assert_eq!(join(&manifest, layer, &open), Ok(text(info.bytes as usize)));
        assert_eq!(join(&manifest, layer, &open[1..]), Err(BlobError::Length));
    }
}

#[test]
fn a_chunk_opens_only_at_its_own_place() {
    let (manifest, chunks) = sample();
    let preview = &chunks[2].1;
    assert!(open_chunk(&manifest, Layer::PREVIEW, 0, &preview[0]).is_some());
    assert_eq!(open_chunk(&manifest, Layer::PREVIEW, 1, &preview[0]), None);
    assert_eq!(open_chunk(&manifest, Layer::ORIGINAL, 0, &preview[0]), None);
    assert_eq!(open_chunk(&manifest, Layer::PREVIEW, 2, &preview[0]), None);
    assert_eq!(open_chunk(&manifest, Layer::PREVIEW, u32::MAX, &preview[0]), None);
    assert_eq!(open_chunk(&manifest, Layer::LOSSLESS, 0, &preview[0]), None);
    for at in 0..preview[0].len() {
        let mut bad = preview[0].clone();
        bad[at] ^= 1;
        assert_eq!(open_chunk(&manifest, Layer::PREVIEW, 0, &bad), None);
    }
}

#[test]
fn exchanged_chunks_and_a_wrong_hash_are_refused() {
    let (mut manifest, _) = sample();
    let plain = text(2048);
    let (a, b) = plain.split_at(1024);
    assert_eq!(join(&manifest, Layer::PREVIEW, [a, b]), Ok(plain.clone()));
    assert_eq!(join(&manifest, Layer::PREVIEW, [b, a]), Err(BlobError::Hash));
    assert_eq!(join(&manifest, Layer::PREVIEW, [a, b, a]), Err(BlobError::Length));
    assert_eq!(join(&manifest, Layer::DIGEST, [a]), Err(BlobError::NoSuchLayer));
    manifest.layers[1].hash[0] ^= 1;
    assert_eq!(join(&manifest, Layer::PREVIEW, [a, b]), Err(BlobError::Hash));
}

#[test]
fn bounds_hold_when_sealing() {
    let mut sealer = Sealer::new(key());
    let (large, small) = (ChunkSize::LARGEST, ChunkSize::from_code(0).unwrap());
    let most = vec![0u8; limits::LAYER_BYTES as usize];
    assert!(sealer.layer(Layer::DIGEST, None, large, &[]).is_err());
    assert!(sealer.layer(Layer::DIGEST, None, small, &most).is_err());
    let name = FileName::new("x").ok();
    assert!(sealer.layer(Layer::DIGEST, name, small, b"x").is_err());
    assert_eq!(
        sealer.layer(Layer::ORIGINAL, None, large, &most).map(|c| c.len()),
        Ok(8192)
    );
    assert_eq!(
        sealer.layer(Layer::ORIGINAL, None, large, b"x"),
        Err(BlobError::Twice)
    );
    assert!(
        sealer
            .layer(Layer(5), None, large, &[most, vec![0]].concat())
            .is_err()
    );
    assert!(Sealer::new(key()).finish().is_err());
    assert!(Layer::from_u8(16).is_err() && ChunkSize::from_code(5).is_err());
}

#[test]
fn file_names_stay_in_their_folder() {
    for bad in [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "c:x",
        "a\nb",
        "a\u{202e}fdp.exe",
        &"x".repeat(81),
    ] {
        assert!(FileName::new(bad).is_err(), "{bad:?}");
    }
    assert!(FileName::new("Übertragung 12.xml").is_ok());
}

#[test]
fn complete_up_to_never_skips_a_gap_or_a_further_file() {
    let (manifest, _) = sample();
    let mut held = Blobs::new();
    let mut hold = |layer: u8, total: u32| {
        held.0.insert((manifest.object(), layer), Chunks::all_of(total));
        manifest.complete_up_to(&held)
    };
    assert_eq!(hold(2, 2), None);
    assert_eq!(hold(1, 2), None, "a wrong total is not complete");
    assert_eq!(hold(1, 3), Some(Layer::PREVIEW));
    assert_eq!(hold(4, 2), Some(Layer::PREVIEW), "a further file is missing");
    assert_eq!(hold(5, 1), Some(Layer::ORIGINAL));
}

#[test]
fn vectors() {
    let (manifest, chunks) = sample();
    let mut cases = vec![
        ("manifest", encoded(&manifest)),
        ("object8", manifest.object().0.to_vec()),
    ];
    let labels = ["beats-0", "beats-1", "beats-2"];
    cases.extend(labels.into_iter().zip(chunks[1].1.iter().cloned()));
    cases.push(("original5-0", chunks[3].1[0].clone()));
    golden::check("blob", &cases);
}

#[test]
fn damaged_manifests_are_refused_or_canonical() {
    let good = encoded(&sample().0);
    golden::mutate(&good, 2000, |bytes| {
        let mut r = Reader::new(bytes);
        if let Ok(manifest) = Manifest::read(&mut r) {
            assert_eq!(encoded(&manifest), r.consumed());
        }
    });
}
