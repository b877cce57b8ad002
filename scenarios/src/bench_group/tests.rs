//! What is measured stays above its floor, and the page of performance says the same.

use super::*;
use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../docs/reference/performance.md");
const SUITES: [Suite; 2] = [Suite::Classical, Suite::XWing];
/// OpenMLS writes the computer's clock into a row; its fraction of a second takes 1 to 5 bytes.
const CLOCK_BYTES: usize = 4;
/// Members whose columns are computed again; more would take long without optimisation.
const AGAIN: [usize; 3] = [2, 8, limits::XWING_MEMBERS];

#[test]
fn no_size_is_below_its_floor_and_what_fits_breaks_no_limit() {
    for suite in SUITES {
        let costs = sizes(suite, 8).unwrap();
        for size in &costs.sizes {
            assert!(size.bytes >= size.floor_bytes, "{size:?}");
        }
        assert_eq!(costs.beyond, Vec::<&str>::new());
    }
}

#[test]
fn what_a_thread_of_the_product_cannot_be_is_said() {
    let costs = sizes(Suite::XWing, limits::XWING_MEMBERS + 1).unwrap();
    assert_eq!(costs.beyond, ["an X-Wing thread takes 17 members"]);
}

/// Rows of all tables whose first cell of the head ends with `of`: head, then cells.
fn rows(of: &str) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let (mut head, mut all) = (None, Vec::new());
    for line in PAGE.lines() {
        let Some(line) = line.strip_prefix("| ").and_then(|rest| rest.strip_suffix(" |")) else {
            head = head.filter(|_| line.starts_with('|'));
            continue;
        };
        let cells: Vec<&str> = line.split(" | ").collect();
        match &head {
            None => head = Some(cells),
            Some(names) if names[0].ends_with(of) => all.push((names.clone(), cells)),
            Some(_) => {}
        }
    }
    all
}

fn measured() -> BTreeMap<(String, String), Vec<Size>> {
    let each = SUITES.into_iter().flat_map(|suite| AGAIN.map(|n| (suite, n)));
    each.map(|(suite, n)| {
        let costs = sizes(suite, n).unwrap();
        ((format!("0x{:04X}", costs.suite), n.to_string()), costs.sizes)
    })
    .collect()
}

/// `bytes (floor)`.
fn agrees(cell: &str, size: &Size) -> bool {
    let Some((bytes, floor)) = cell.strip_suffix(')').and_then(|cell| cell.split_once(" (")) else {
        return false;
    };
    let off = bytes.parse::<usize>().map(|bytes| bytes.abs_diff(size.bytes));
    let allowed = if size.name.ends_with("_rows") {
        CLOCK_BYTES
    } else {
        0
    };
    off.is_ok_and(|off| off <= allowed) && floor == size.floor_bytes.to_string()
}

#[test]
fn the_sizes_on_the_page_are_those_that_are_measured() {
    let (measured, table) = (measured(), rows("bytes (floor)"));
    let mut found: usize = 0;
    for ((suite, n), sizes) in &measured {
        for size in sizes {
            let (head, row) = table
                .iter()
                .find(|(head, row)| {
                    (head[0].starts_with(suite) || head[0].starts_with("any")) && row[0] == size.what
                })
                .unwrap_or_else(|| panic!("{suite}: no row {}", size.what));
            let column = head.iter().position(|name| name == n);
            let cell = row[column.unwrap_or(row.len() - 1)];
            assert!(
                agrees(cell, size),
                "{suite}, {n}: the page has {cell} for {size:?}"
            );
            found += 1;
        }
    }
    let known = |what: &str| measured.values().flatten().any(|size| size.what == what);
    for (_, row) in &table {
        assert!(known(row[0]), "nothing measures {}", row[0]);
    }
    assert_eq!(found, measured.values().map(Vec::len).sum::<usize>());
}

#[test]
fn the_seconds_on_the_page_are_computed_from_the_sizes() {
    let (measured, table) = (measured(), rows("computed seconds"));
    assert!(table.len() > 4);
    let mut again = 0;
    for (head, row) in table {
        let (suite, what) = row[0].split_once(": ").unwrap();
        let (suite, n) = suite.split_once(", ").unwrap();
        let bytes: usize = row[1].parse().unwrap();
        if let Some(sizes) = measured.get(&(suite.to_owned(), n.to_owned())) {
            let size = sizes.iter().find(|size| size.what == what);
            assert_eq!(size.map(|size| size.bytes), Some(bytes), "{row:?}");
            again += 1;
        }
        for (rate, cell) in head.iter().zip(&row).skip(2) {
            let mut words = rate.rsplit(' ');
            let unit = if words.next() == Some("Mbit/s") { 1e6 } else { 1e3 };
            let rate = words.next().unwrap().parse::<f64>().unwrap() * unit;
            assert_eq!(*cell, format!("{:.3}", bytes as f64 * 8.0 / rate), "{row:?}");
        }
    }
    assert!(again > 4);
}
