//! Layout of the page, in millimetres from the top left corner.
//!
//! Positions are on the 5 mm grid, so that the base lines of all rows and the
//! start of every trace fall on thick lines. A trace that leaves the page is
//! held at its edge.

use super::Options;
use crate::record::{EcgRecord, Lead, LeadName, STANDARD_12, Sex};

pub(super) const WIDTH_MM: f64 = 297.0;
pub(super) const HEIGHT_MM: f64 = 210.0;
/// The grid: left, top, right, bottom.
pub(super) const GRID_MM: [f64; 4] = [10.0, 30.0, 290.0, 195.0];
const ROW_CENTRES_MM: [f64; 4] = [55.0, 95.0, 135.0, 175.0];
const TRACE_LEFT_MM: f64 = 25.0;
const TRACE_WIDTH_MM: f64 = 250.0;
const PULSE_LEFT_MM: f64 = 13.0;
/// Fewer standard leads than this are drawn as strips.
const GRID_LEADS_MIN: usize = 6;
/// Rows of the 3x4 part: indices into the standard order, column after column.
const ROWS: [[usize; 4]; 3] = [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]];
const LEAD_II: usize = 1;

/// Everything on a page but the grid.
pub(super) struct Page {
    pub(super) traces: Vec<Trace>,
    pub(super) lines: Vec<Vec<(f64, f64)>>,
    pub(super) texts: Vec<Text>,
}

/// One piece of one lead.
pub(super) struct Trace {
    pub(super) lead: String,
    /// First sample shown.
    pub(super) start: usize,
    /// Microvolts at the middle of the row.
    pub(super) offset_uv: f64,
    pub(super) points: Vec<(f64, f64)>,
}

/// A text; `x`, `y` are its left (or right) end on the base line.
pub(super) struct Text {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) size_mm: f64,
    pub(super) from_right: bool,
    pub(super) warning: bool,
    pub(super) text: String,
}

/// Lays out a record.
pub(super) fn layout(record: &EcgRecord, options: &Options) -> Page {
    let mut page = Page {
        traces: Vec::new(),
        lines: Vec::new(),
        texts: Vec::new(),
    };
    let standard = record
        .leads()
        .iter()
        .filter(|lead| lead.name.standard_index().is_some())
        .count();
    if standard >= GRID_LEADS_MIN {
        page.three_by_four(record, options);
    } else {
        page.strips(record, options);
    }
    page.header(record, options);
    for (index, line) in options.footer.iter().take(3).enumerate() {
        page.text(GRID_MM[0], 199.0 + 4.0 * index as f64, 2.6, line);
    }
    page
}

impl Page {
    fn three_by_four(&mut self, record: &EcgRecord, options: &Options) {
        let width = TRACE_WIDTH_MM / 4.0;
        for (row, centre) in ROWS.iter().zip(ROW_CENTRES_MM) {
            self.pulse(centre, options);
            for (column, index) in row.iter().enumerate() {
                let left = TRACE_LEFT_MM + width * column as f64;
                let from_s = width * column as f64 / options.speed.mm_per_s();
                self.lead(
                    record,
                    &STANDARD_12[*index],
                    (left, centre, width),
                    from_s,
                    options,
                );
            }
        }
        self.pulse(ROW_CENTRES_MM[3], options);
        let strip = (TRACE_LEFT_MM, ROW_CENTRES_MM[3], TRACE_WIDTH_MM);
        self.lead(record, &STANDARD_12[LEAD_II], strip, 0.0, options);
    }

    fn strips(&mut self, record: &EcgRecord, options: &Options) {
        for (lead, centre) in record.leads().iter().zip(ROW_CENTRES_MM) {
            self.pulse(centre, options);
            self.lead(
                record,
                &lead.name,
                (TRACE_LEFT_MM, centre, TRACE_WIDTH_MM),
                0.0,
                options,
            );
        }
    }

    /// One lead from `from_s` on, in the box (left, centre, width).
    fn lead(
        &mut self,
        record: &EcgRecord,
        name: &LeadName,
        (left, centre, width): (f64, f64, f64),
        from_s: f64,
        options: &Options,
    ) {
        self.lines
            .push(vec![(left, centre - 12.5), (left, centre - 10.0)]);
        let label = name.to_string();
        let Some(lead) = record.lead(name) else {
            self.text(left + 1.0, centre - 13.0, 3.2, &format!("{label} not recorded"));
            return;
        };
        self.text(left + 1.0, centre - 13.0, 3.2, &label);
        let hz = record.rate_hz().to_f64();
        let seconds = width / options.speed.mm_per_s();
        if let Some(trace) = trace(lead, (left, centre), (from_s, seconds), hz, options) {
            self.traces.push(trace);
        }
    }

    /// The 1 mV pulse at the left of a row, 5 mm wide.
    fn pulse(&mut self, centre: f64, options: &Options) {
        let top = centre - options.gain.mm_per_mv();
        let at = |mm: f64| PULSE_LEFT_MM + mm;
        let (base, high) = (centre, top);
        self.lines.push(vec![
            (at(0.0), base),
            (at(2.0), base),
            (at(2.0), high),
            (at(7.0), high),
            (at(7.0), base),
            (at(9.0), base),
        ]);
    }

    fn header(&mut self, record: &EcgRecord, options: &Options) {
        let about = &record.about;
        let left = GRID_MM[0];
        self.text(left, 10.0, 4.0, &patient_line(record));
        let recorded = about
            .captured
            .map_or("capture time not in file".to_owned(), |time| {
                let ((year, month, day), (hour, minute, second, _)) = (time.date(), time.time());
                format!(
                    "recorded {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} (device clock)"
                )
            });
        let device = about.device.as_deref().unwrap_or("device not in file");
        self.text(left, 16.0, 3.0, &format!("{recorded}   {device}"));
        let filter = about
            .filter
            .as_deref()
            .map_or("filter not in file".to_owned(), |f| format!("{f} (from file)"));
        let (speed, gain) = (options.speed.mm_per_s(), options.gain.mm_per_mv());
        let hz = record.rate_hz().to_f64();
        let scale = format!(
            "{speed} mm/s   {gain} mm/mV   {filter}   {hz} Hz, {:.1} s",
            record.duration_s()
        );
        self.text(left, 22.0, 3.0, &scale);
        self.warning(10.0, 4.0, &options.badge);
        if about.invented {
            self.warning(16.0, 3.6, crate::generate::INVENTED_TEXT);
        }
        let shown = |lead: &&Lead| {
            self.traces
                .iter()
                .any(|trace| trace.lead == lead.name.to_string())
        };
        let hidden = record.leads().iter().filter(|lead| !shown(lead));
        let hidden: Vec<String> = hidden.map(|lead| lead.name.to_string()).collect();
        if !hidden.is_empty() {
            self.warning(22.0, 3.0, &format!("not shown: {}", hidden.join(", ")));
        }
    }

    /// A line at the right of the header, in the colour of warnings.
    fn warning(&mut self, y: f64, size_mm: f64, text: &str) {
        let text = text.to_owned();
        self.texts.push(Text {
            x: GRID_MM[2],
            y,
            size_mm,
            from_right: true,
            warning: true,
            text,
        });
    }

    fn text(&mut self, x: f64, y: f64, size_mm: f64, text: &str) {
        self.texts.push(Text {
            x,
            y,
            size_mm,
            from_right: false,
            warning: false,
            text: text.to_owned(),
        });
    }
}

fn patient_line(record: &EcgRecord) -> String {
    let patient = &record.about.patient;
    let name = patient.name.as_deref().unwrap_or("name not in file");
    let mut parts = vec![name.to_owned()];
    parts.extend(patient.id.as_deref().map(|id| format!("id {id}")));
    parts.extend(patient.age_years.map(|years| format!("{years} years")));
    parts.extend(patient.sex.map(|sex| match sex {
        Sex::Female => "female".to_owned(),
        Sex::Male => "male".to_owned(),
        Sex::Other => "other sex".to_owned(),
    }));
    parts.join("   ")
}

/// Samples of `lead` from `from_s` on for `seconds`, or what there is of them.
fn trace(
    lead: &Lead,
    (left, centre): (f64, f64),
    (from_s, seconds): (f64, f64),
    hz: f64,
    options: &Options,
) -> Option<Trace> {
    let row = lead.microvolts();
    let start = (from_s * hz + 0.5) as usize;
    let end = (((from_s + seconds) * hz + 0.5) as usize + 1).min(row.len());
    let part = row.get(start..end).filter(|part| !part.is_empty())?;
    let mut sorted = part.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Rounded to what the SVG writes.
    let offset_uv = (sorted[sorted.len() / 2] * 10.0).round() / 10.0;
    let point = |(index, uv): (usize, &f64)| {
        let x = left + index as f64 / hz * options.speed.mm_per_s();
        let y = centre - (uv - offset_uv) / 1000.0 * options.gain.mm_per_mv();
        (x, y.clamp(0.0, HEIGHT_MM))
    };
    let points = part.iter().enumerate().map(point).collect();
    Some(Trace {
        lead: lead.name.to_string(),
        start,
        offset_uv,
        points,
    })
}
