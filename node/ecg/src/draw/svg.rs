//! The page as SVG.
//!
//! One user unit is a millimetre, so the page prints to scale. Every trace is a
//! `polyline` with the lead, its first sample and the microvolts at the middle
//! of the row as `data-` attributes; coordinates have two decimals (0.01 mm).
//! Texts stay texts, so that they can be searched and read aloud.

use std::fmt::Write as _;

use super::Options;
use super::page::{GRID_MM, HEIGHT_MM, Page, Text, WIDTH_MM, layout};
use crate::record::EcgRecord;

/// Draws a record as an SVG document.
#[must_use]
pub fn svg(record: &EcgRecord, options: &Options) -> String {
    let page = layout(record, options);
    let mut out = String::new();
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH_MM}mm\" height=\"{HEIGHT_MM}mm\" \
         viewBox=\"0 0 {WIDTH_MM} {HEIGHT_MM}\" font-family=\"sans-serif\" fill=\"none\" \
         stroke-linejoin=\"round\">\n<rect width=\"{WIDTH_MM}\" height=\"{HEIGHT_MM}\" fill=\"#fff\"/>\n"
    );
    out.push_str(&head);
    grid(&mut out);
    drawn(&mut out, &page);
    out.push_str("</svg>\n");
    out
}

fn grid(out: &mut String) {
    let [left, top, right, bottom] = GRID_MM;
    for (step, colour, width) in [(1.0, "#f3cfcf", 0.1), (5.0, "#e2a3a3", 0.2)] {
        let mut path = String::new();
        let mut x = left;
        while x <= right {
            push(&mut path, format_args!("M{x} {top}V{bottom}"));
            x += step;
        }
        let mut y = top;
        while y <= bottom {
            push(&mut path, format_args!("M{left} {y}H{right}"));
            y += step;
        }
        push(
            out,
            format_args!("<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n"),
        );
    }
}

fn drawn(out: &mut String, page: &Page) {
    out.push_str("<g stroke=\"#000\" stroke-width=\"0.25\">\n");
    for line in &page.lines {
        push(out, format_args!("<polyline points=\"{}\"/>\n", points(line)));
    }
    for trace in &page.traces {
        push(
            out,
            format_args!(
                "<polyline data-lead=\"{}\" data-start=\"{}\" data-offset-uv=\"{:.1}\" points=\"{}\"/>\n",
                escape(&trace.lead),
                trace.start,
                trace.offset_uv,
                points(&trace.points)
            ),
        );
    }
    out.push_str("</g>\n");
    for text in &page.texts {
        write_text(out, text);
    }
}

fn write_text(out: &mut String, text: &Text) {
    let Text { x, y, size_mm, .. } = text;
    let anchor = if text.from_right {
        " text-anchor=\"end\""
    } else {
        ""
    };
    let colour = if text.warning { "#b00000" } else { "#000" };
    let body = escape(&text.text);
    push(
        out,
        format_args!(
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size_mm}\" fill=\"{colour}\"{anchor}>{body}</text>\n"
        ),
    );
}

fn points(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 14);
    for (index, (x, y)) in points.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        push(&mut out, format_args!("{space}{x:.2},{y:.2}"));
    }
    out
}

/// Text from a file inside a document: escaped, and without characters that XML forbids.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}
