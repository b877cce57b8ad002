//! Small files of every format, made from generated records.

use aidmesh_ecg::generate::{Rhythm, generate};
use aidmesh_ecg::{EcgRecord, ImportError, Imported, NamedFile, dicom, import};

/// Owned files of one original.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

pub(crate) fn import_files(files: &Files) -> Result<Imported, ImportError> {
    let named: Vec<NamedFile<'_>> = files
        .iter()
        .map(|(name, bytes)| NamedFile { name, bytes })
        .collect();
    import(&named)
}

/// 12 leads, 100 samples each.
pub(crate) fn small() -> EcgRecord {
    generate(Rhythm::Sinus, 10, 5, 100, 1)
}

/// WFDB format 16 behind `skip` bytes, with checksums and first samples.
pub(crate) fn wfdb16(record: &EcgRecord, skip: usize) -> Files {
    let storage = if skip == 0 {
        "16".to_owned()
    } else {
        format!("16x1+{skip}")
    };
    let mut data = vec![0; skip];
    for index in 0..record.samples_per_lead() {
        for lead in record.leads() {
            data.extend((lead.samples[index] as i16).to_le_bytes());
        }
    }
    vec![
        ("small.hea".to_owned(), header(record, &storage).into_bytes()),
        ("small.dat".to_owned(), data),
    ]
}

/// WFDB format 212; samples are cut to 12 bits.
pub(crate) fn wfdb212(record: &EcgRecord) -> (Files, Vec<Vec<i32>>) {
    let rows: Vec<Vec<i32>> = record
        .leads()
        .iter()
        .map(|lead| {
            lead.samples
                .iter()
                .map(|sample| (*sample).clamp(-2047, 2047))
                .collect()
        })
        .collect();
    let stream: Vec<i32> = (0..record.samples_per_lead())
        .flat_map(|index| rows.iter().map(move |row: &Vec<i32>| row[index]))
        .collect();
    let mut data = Vec::new();
    for pair in stream.chunks(2) {
        let (first, second) = (pair[0] as u16, *pair.get(1).unwrap_or(&0) as u16);
        data.extend([
            first as u8,
            (first >> 8 & 0x0f) as u8 | (second >> 4 & 0xf0) as u8,
        ]);
        if pair.len() == 2 {
            data.push(second as u8);
        }
    }
    let files = vec![
        ("small.hea".to_owned(), header(record, "212").into_bytes()),
        ("small.dat".to_owned(), data),
    ];
    (files, rows)
}

fn header(record: &EcgRecord, storage: &str) -> String {
    let (leads, samples) = (record.leads(), record.samples_per_lead());
    let hz = record.rate_hz().to_f64();
    let mut text = format!("small {} {hz} {samples} 10:11:12.5 03/02/2020\n", leads.len());
    for lead in leads {
        let sum = lead.samples.iter().sum::<i32>() as i16;
        let first = lead.samples[0];
        text += &format!(
            "small.dat {storage} 200(0)/mV 16 0 {first} {sum} 0 {}\n",
            lead.name
        );
    }
    text + "# Age: 58\n# Sex: Male\n# invented\n"
}

pub(crate) fn dicom(record: &EcgRecord) -> Files {
    vec![("small.dcm".to_owned(), dicom::write(record).unwrap())]
}

/// The same DICOM file in implicit VR little endian.
pub(crate) fn dicom_implicit(record: &EcgRecord) -> Files {
    let bytes = dicom::write(record).unwrap();
    let mut file = dicom_object::from_reader(bytes.as_slice()).unwrap();
    file.update_meta(|meta| meta.transfer_syntax = "1.2.840.10008.1.2".to_owned());
    let mut out = Vec::new();
    file.write_all(&mut out).unwrap();
    vec![("implicit.dcm".to_owned(), out)]
}
