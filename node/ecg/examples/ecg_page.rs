//! Draws a file as a 12-lead page: `ecg_page FILE OUT.png|OUT.svg [25|50] [5|10|20]`.

use std::error::Error;
use std::path::Path;

use aidmesh_ecg::draw::{Gain, Options, Speed, png, svg};
use aidmesh_ecg::{NamedFile, companions, import, measure};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, out, rest @ ..] = arguments.as_slice() else {
        return Err("usage: ecg_page FILE OUT.png|OUT.svg [25|50] [5|10|20]".into());
    };
    let path = Path::new(path);
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mut files = vec![(name, std::fs::read(path)?)];
    for companion in companions(&files[0].1)? {
        let bytes = std::fs::read(path.with_file_name(&companion))?;
        files.push((companion, bytes));
    }
    let files: Vec<NamedFile<'_>> = files
        .iter()
        .map(|(name, bytes)| NamedFile { name, bytes })
        .collect();
    let record = import(&files)?.record;
    let chosen = |index: usize| rest.get(index).map(String::as_str);
    let options = Options {
        speed: if chosen(0) == Some("50") {
            Speed::Mm50PerS
        } else {
            Speed::Mm25PerS
        },
        gain: match chosen(1) {
            Some("5") => Gain::Mm5PerMv,
            Some("20") => Gain::Mm20PerMv,
            _ => Gain::Mm10PerMv,
        },
        badge: "LOSSLESS, original file stored".to_owned(),
        footer: vec![format!("Measured here: {}", measure(&record).st_text())],
        dpi: 150,
    };
    if out.ends_with(".svg") {
        std::fs::write(out, svg(&record, &options))?;
    } else {
        std::fs::write(out, png(&record, &options)?)?;
    }
    Ok(())
}
