//! Prints what the importer made of a file, as one line of JSON.
//!
//! Used by `tests/interop/judge_ecg.py`, which reads the same file with an
//! independent program and compares. Usage: `ecg_dump FILE`, or
//! `ecg_dump --generate sinus|inferior SEED OUT.dcm` to write a generated ECG as
//! DICOM first. Leads are listed in the order of the file's channels; `blake3`
//! is over all samples as 32-bit little endian, lead after lead in that order.
#![allow(clippy::print_stdout, reason = "a command line example")]

use std::error::Error;
use std::path::Path;

use aidmesh_ecg::generate::{Rhythm, generate};
use aidmesh_ecg::{Imported, Lead, Measurement, NamedFile, companions, dicom, import, measure};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [path] => path.to_owned(),
        ["--generate", kind, seed, out] => {
            let rhythm = if kind == "inferior" {
                Rhythm::InferiorStemi
            } else {
                Rhythm::Sinus
            };
            let record = generate(rhythm, 10, seed.parse()?, 500, 10);
            std::fs::write(out, dicom::write(&record)?)?;
            out.to_owned()
        }
        _ => return Err("usage: ecg_dump FILE | --generate sinus|inferior SEED OUT.dcm".into()),
    };
    println!("{}", json(&read(Path::new(&path))?));
    Ok(())
}

fn read(path: &Path) -> Result<Imported, Box<dyn Error>> {
    let name = |path: &Path| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let mut files = vec![(name(path), std::fs::read(path)?)];
    for companion in companions(&files[0].1)? {
        let bytes = std::fs::read(path.with_file_name(&companion))?;
        files.push((companion, bytes));
    }
    let files: Vec<NamedFile<'_>> = files
        .iter()
        .map(|(name, bytes)| NamedFile { name, bytes })
        .collect();
    Ok(import(&files)?)
}

fn json(imported: &Imported) -> String {
    let record = &imported.record;
    let mut leads: Vec<&Lead> = record.leads().iter().collect();
    leads.sort_by_key(|lead| lead.file_channel);
    let mut hasher = blake3::Hasher::new();
    let mut rows = Vec::new();
    for lead in leads {
        let bytes: Vec<u8> = lead
            .samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        hasher.update(&bytes);
        let sum: i64 = lead.samples.iter().map(|&sample| i64::from(sample)).sum();
        let scale = lead.scale;
        rows.push(format!(
            r#"{{"name":"{}","sum":{sum},"zero":{},"lsb_uv":[{},{}],"offset_uv":[{},{}]}}"#,
            lead.name.to_string().replace(['"', '\\'], "_"),
            scale.zero,
            scale.lsb_uv.num(),
            scale.lsb_uv.den(),
            scale.offset_uv.num(),
            scale.offset_uv.den(),
        ));
    }
    let warnings: Vec<String> = imported
        .warnings
        .iter()
        .map(|warning| format!("\"{warning}\""))
        .collect();
    let head = format!(
        r#""format":"{:?}","rate":[{},{}],"n":{},"blake3":"{}""#,
        imported.format,
        record.rate_hz().num(),
        record.rate_hz().den(),
        record.samples_per_lead(),
        hasher.finalize().to_hex(),
    );
    let (rows, warnings) = (rows.join(","), warnings.join(","));
    let measured = measured_json(&measure(record));
    format!(r#"{{{head},"leads":[{rows}],"warnings":[{warnings}],"measured":{measured}}}"#)
}

fn measured_json(measured: &Measurement) -> String {
    let peaks: Vec<String> = measured.r_peaks.iter().map(ToString::to_string).collect();
    let st_uv = measured
        .st_uv
        .map(|uv| uv.map_or("null".to_owned(), |uv| format!("{uv:.1}")))
        .join(",");
    let (rate_bpm, peaks) = (measured.heart_rate_bpm.unwrap_or(0.0), peaks.join(","));
    let Measurement {
        pr_ms, qrs_ms, qt_ms, ..
    } = measured;
    let intervals = format!(r#""pr_ms":{pr_ms},"qrs_ms":{qrs_ms},"qt_ms":{qt_ms}"#);
    let text = measured.st_text();
    format!(
        r#"{{"rate_bpm":{rate_bpm:?},{intervals},"st_uv":[{st_uv}],"text":"{text}","r_peaks":[{peaks}]}}"#
    )
}
