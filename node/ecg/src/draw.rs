//! The 12-lead page, as SVG and as PNG.
//!
//! A4 across, millimetre paper (1 mm and 5 mm), 3 rows of 4 columns and a rhythm
//! strip of lead II, a 1 mV calibration pulse in each row, speed and gain in
//! print, and a badge that says what the reader is looking at. Columns follow
//! each other in time as on a paper printer. A record with few standard leads is
//! drawn as full-width strips instead.
//!
//! The page is laid out once, in millimetres, as a list of traces, lines and
//! texts; both writers only copy that list, so they cannot differ in substance.
//! Each trace is centred on the median of the part shown; that shift is the only
//! change to the signal, and it is written into the SVG (`data-offset-uv`).
//! Nothing is filtered and no sample is left out.

mod font;
mod page;
mod png;
mod svg;

pub use png::{DrawError, png};
pub use svg::svg;

/// Paper speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// 25 mm/s: 10 s on the strip.
    #[default]
    Mm25PerS,
    /// 50 mm/s: 5 s on the strip.
    Mm50PerS,
}

/// Gain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gain {
    /// 5 mm/mV, for large signals.
    Mm5PerMv,
    /// 10 mm/mV, the standard.
    #[default]
    Mm10PerMv,
    /// 20 mm/mV, for small signals.
    Mm20PerMv,
}

/// How to draw a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Paper speed.
    pub speed: Speed,
    /// Gain.
    pub gain: Gain,
    /// What the reader is looking at, e.g. `PREVIEW: within 17 uV RMS`; empty for none.
    pub badge: String,
    /// Lines below the ECG, e.g. the sentence about ST; at most three are drawn.
    pub footer: Vec<String>,
    /// Resolution of the PNG, dots per inch, kept within 72..=300; 0 means 150.
    pub dpi: u32,
}

impl Speed {
    /// Millimetres per second.
    #[must_use]
    pub fn mm_per_s(self) -> f64 {
        match self {
            Self::Mm25PerS => 25.0,
            Self::Mm50PerS => 50.0,
        }
    }
}

impl Gain {
    /// Millimetres per millivolt.
    #[must_use]
    pub fn mm_per_mv(self) -> f64 {
        match self {
            Self::Mm5PerMv => 5.0,
            Self::Mm10PerMv => 10.0,
            Self::Mm20PerMv => 20.0,
        }
    }
}
