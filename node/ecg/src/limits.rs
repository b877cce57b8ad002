//! Every limit of this crate, in one place.
//!
//! Files come from monitors, memory sticks and strangers. An importer first
//! compares what a file *claims* with these numbers and with the bytes that are
//! really there, and only then allocates. A file above a limit is refused with
//! an error that names the limit; it can still be sent as an attachment.

/// Leads in one record.
pub const LEADS_MAX: usize = 16;
/// Samples per lead (2^20: 35 min at 500 Hz).
pub const SAMPLES_MAX: usize = 1 << 20;
/// Bytes of all files of one original together.
pub const BYTES_MAX: usize = 8 << 20;
/// Files of one original.
pub const FILES_MAX: usize = 17;
/// Bytes of a WFDB header file.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Lowest sampling rate accepted, Hz. Below this a QRS complex is a few points.
pub const RATE_MIN_HZ: f64 = 50.0;
/// Highest sampling rate accepted, Hz.
pub const RATE_MAX_HZ: f64 = 32_000.0;
/// Lines of free text kept from a file.
pub const TEXT_LINES_MAX: usize = 100;
/// Characters kept of one line of free text or of one name.
pub const TEXT_CHARS_MAX: usize = 256;
/// Elements of a DICOM data set, counted over all levels.
pub const DICOM_ELEMENTS_MAX: usize = 20_000;
/// Nesting of DICOM sequences. A waveform needs three.
pub const DICOM_DEPTH_MAX: usize = 8;
/// Beats that enter a median beat.
pub const MEDIAN_BEATS_MAX: usize = 64;
