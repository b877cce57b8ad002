//! A small stroke font for printable ASCII.
//!
//! Each glyph stands on a grid 4 units wide: y 0 is the top of capitals, 6 the
//! base line, 8 the foot of a `g`. A glyph is a list of strokes, a stroke a list
//! of points, a point two digits: `062046 1434` is an A. All glyphs have one
//! width. A character outside the table is drawn as an empty box, so that a name
//! in another script is seen to be missing rather than silently left out.

/// Units from the top of a capital to the base line.
const CAPITAL_UNITS: f64 = 6.0;
/// Units from one glyph to the next.
const ADVANCE_UNITS: f64 = 5.6;
const BOX: &str = "0040460600";
const FIRST: u32 = ' ' as u32;

/// Glyphs from the space to the tilde.
#[rustfmt::skip]
const GLYPHS: [&str; 95] = [
    "", "2024 2526", "1011 3031", "1016 3036 0242 0444", "413010010213334445361605 2026",
    "4006 0010110100 3545463635", "4620101121053646", "2021", "30212536", "10212516",
    "2125 0244 4204", "0444 2226", "2517", "1434", "2526", "4006",
    // 0 to 9
    "103041453616050110", "112026 1636", "01103041420646", "011030414233 1333 334445361605",
    "36300444", "400002324345361605", "413010010516364544331304", "004016",
    "103041423313020110 1304051636454433", "051636454130100102133342",
    // : ; < = > ? @
    "2223 2526", "2223 2517", "400346", "0343 0545", "004306", "01103041422324 2526",
    "3432312224344441301001051636",
    // A to Z
    "062046 1434", "06003041423303 3344453606", "4130100105163645", "06003041453606", "40000646 0333",
    "400006 0333",
    "41301001051636454323", "0006 4046 0343", "1030 2026 1636", "4045361605",
    "0006 4004 1346", "000646", "0600244046", "06004640", "103041453616050110",
    "06003041423303", "103041453616050110 2446", "06003041423303 2346", "413010010213334445361605",
    "0040 2026",
    "000516364540", "002640", "0016223640", "0046 4006", "002340 2326", "00400646",
    // [ \ ] ^ _ `
    "30101636", "0046", "10303616", "022042", "0646", "1021",
    // a to z
    "12324346 441405163645", "0006 0312324345361605", "4332120305163645", "4046 4332120305163645",
    "04444332120305163645", "41302126 0242", "4247381807 4332120305163645", "0006 0312324346", "2226 2021",
    "22271807 2021", "0006 3204 1436", "2026", "0206 03122326 23324346", "0206 0312324346",
    "123243453616050312", "0208 0312324345361605", "4248 4332120305163645", "0206 03123243",
    "43321203143445361605", "20253645 0242", "0205163645 4246", "022642", "0216243642", "0246 4206",
    "0226 4218", "02420646",
    // { | } ~
    "3021221323242536", "2026", "1021223323242516", "0413243342",
];

fn glyph(c: char) -> &'static str {
    let index = (c as u32)
        .checked_sub(FIRST)
        .and_then(|index| usize::try_from(index).ok());
    index.and_then(|index| GLYPHS.get(index)).copied().unwrap_or(BOX)
}

/// Width of a text whose capitals are about 0.7 of `size_mm` high, mm.
pub(super) fn width(text: &str, size_mm: f64) -> f64 {
    text.chars().count() as f64 * ADVANCE_UNITS * unit(size_mm)
}

/// The strokes of a text that starts at `left` on the base line `base`, mm.
pub(super) fn strokes(text: &str, left: f64, base: f64, size_mm: f64) -> Vec<Vec<(f64, f64)>> {
    let unit = unit(size_mm);
    let mut all = Vec::new();
    for (index, c) in text.chars().enumerate() {
        let x0 = left + index as f64 * ADVANCE_UNITS * unit;
        for stroke in glyph(c).split_ascii_whitespace() {
            let points = stroke.as_bytes().chunks_exact(2).map(|pair| {
                let (x, y) = (f64::from(pair[0] - b'0'), f64::from(pair[1] - b'0'));
                (x0 + x * unit, base + (y - CAPITAL_UNITS) * unit)
            });
            all.push(points.collect());
        }
    }
    all
}

fn unit(size_mm: f64) -> f64 {
    0.7 * size_mm / CAPITAL_UNITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_is_pairs_of_digits_within_the_grid() {
        for (index, glyph) in GLYPHS.iter().enumerate() {
            for stroke in glyph.split(' ').filter(|stroke| !stroke.is_empty()) {
                assert!(
                    stroke.len() >= 4 && stroke.len() % 2 == 0,
                    "glyph {index}: {stroke}"
                );
                for pair in stroke.as_bytes().chunks(2) {
                    assert!((b'0'..=b'4').contains(&pair[0]), "glyph {index}: {stroke}");
                    assert!((b'0'..=b'8').contains(&pair[1]), "glyph {index}: {stroke}");
                }
            }
        }
        assert_eq!(glyph('A'), "062046 1434");
        assert_eq!(glyph('~'), "0413243342");
        assert_eq!(glyph('\u{e9}'), BOX);
    }
}
