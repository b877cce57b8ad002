//! The page as PNG, by `tiny-skia`.
//!
//! Texts are drawn with the strokes of [`super::font`]: no font file, the same
//! letters everywhere.

use tiny_skia::{Color, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};

use super::page::{GRID_MM, HEIGHT_MM, Page, Text, WIDTH_MM, layout};
use super::{Options, font};
use crate::record::EcgRecord;

const DPI: u32 = 150;
const DPI_RANGE: std::ops::RangeInclusive<u32> = 72..=300;
const MM_PER_INCH: f64 = 25.4;

/// Why a page could not be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrawError {
    /// No memory for the picture.
    #[error("no memory for the picture")]
    Memory,
    /// The PNG encoder failed.
    #[error("the picture cannot be encoded")]
    Encode,
}

/// Draws a record as a PNG file.
///
/// # Errors
/// See [`DrawError`].
pub fn png(record: &EcgRecord, options: &Options) -> Result<Vec<u8>, DrawError> {
    let dpi = if options.dpi == 0 {
        DPI
    } else {
        options.dpi.clamp(*DPI_RANGE.start(), *DPI_RANGE.end())
    };
    let scale = f64::from(dpi) / MM_PER_INCH;
    let pixels = |mm: f64| (mm * scale + 0.5) as u32;
    let mut sheet = Sheet {
        pixmap: Pixmap::new(pixels(WIDTH_MM), pixels(HEIGHT_MM)).ok_or(DrawError::Memory)?,
        to_pixels: Transform::from_scale(scale as f32, scale as f32),
    };
    sheet.pixmap.fill(Color::WHITE);
    sheet.grid();
    sheet.page(&layout(record, options));
    sheet.pixmap.encode_png().map_err(|_| DrawError::Encode)
}

struct Sheet {
    pixmap: Pixmap,
    to_pixels: Transform,
}

impl Sheet {
    fn grid(&mut self) {
        let [left, top, right, bottom] = GRID_MM;
        for (step, rgb, width) in [(1.0, [0xf3, 0xcf, 0xcf], 0.1), (5.0, [0xe2, 0xa3, 0xa3], 0.2)] {
            let mut lines = Vec::new();
            let mut x = left;
            while x <= right {
                lines.push(vec![(x, top), (x, bottom)]);
                x += step;
            }
            let mut y = top;
            while y <= bottom {
                lines.push(vec![(left, y), (right, y)]);
                y += step;
            }
            self.stroke(&lines, rgb, width);
        }
    }

    fn page(&mut self, page: &Page) {
        self.stroke(&page.lines, [0, 0, 0], 0.25);
        for trace in &page.traces {
            self.stroke(std::slice::from_ref(&trace.points), [0, 0, 0], 0.25);
        }
        for text in &page.texts {
            self.text(text);
        }
    }

    fn text(&mut self, text: &Text) {
        let width = font::width(&text.text, text.size_mm);
        let left = if text.from_right { text.x - width } else { text.x };
        let rgb = if text.warning { [0xb0, 0, 0] } else { [0, 0, 0] };
        self.stroke(
            &font::strokes(&text.text, left, text.y, text.size_mm),
            rgb,
            text.size_mm * 0.09,
        );
    }

    fn stroke(&mut self, lines: &[Vec<(f64, f64)>], [red, green, blue]: [u8; 3], width_mm: f64) {
        let Some(path) = path(lines) else { return };
        let mut paint = Paint::default();
        paint.set_color_rgba8(red, green, blue, 255);
        paint.anti_alias = true;
        let stroke = Stroke {
            width: width_mm as f32,
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        self.pixmap
            .stroke_path(&path, &paint, &stroke, self.to_pixels, None);
    }
}

/// `None` where there is nothing to draw.
fn path(lines: &[Vec<(f64, f64)>]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for line in lines {
        for (index, (x, y)) in line.iter().enumerate() {
            if index == 0 {
                builder.move_to(*x as f32, *y as f32);
            } else {
                builder.line_to(*x as f32, *y as f32);
            }
        }
    }
    builder.finish()
}
