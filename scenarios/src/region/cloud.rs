//! What a client of the cloud would do, and what nobody can do better than: two models on the same day.
//!
//! **The client is a model, no product.** It uploads an ECG in one request, as the market's products do.
//! The connection must last for the whole upload; without it the screen says so and a person tries again
//! by hand, a few times; a restart of the tablet forgets the upload. Sources in the study of the field
//! (`research/field.md`, sections 2.1 and 2.2): failure ends at the crew ("unable to connect", resend by
//! hand: R16, R17); a trial counts as failed after 120 s (R8). How often and how soon people try again is
//! not published: [`TRIES`] and [`PAUSE_S`] are set so that over coverage of about two thirds of the time
//! the client comes to the 67 to 76 % that 917 rural attempts by cellular gave (R1). It is favoured: no
//! loss of rate by congestion control, no break when cells change, no queue at its server.
//!
//! The **oracle** begins at the moment of capture and uses each second of coverage at full rate, loses
//! nothing to noise, handshakes, restarts or waits, and needs the bytes of the file alone. Nothing that
//! sends the file as it is can be faster; that no machine ever is, is checked for each ECG.

use super::map::Cover;
use super::road::{Capture, Unit};
use crate::chance::Chance;

/// How often a person tries in all.
const TRIES: u32 = 4;
/// Seconds from the message of failure until a person tries again, from and to.
const PAUSE_S: (u64, u64) = (120, 300);
/// From capture until the first try.
const FIRST_S: u64 = 10;
/// Without any signal the client says so after this time.
const NO_SIGNAL_S: u64 = 20;
/// An upload that takes longer has failed.
const TIMEOUT_S: u64 = 120;
/// Round trips before the first byte of a file: name, TCP, TLS 1.3, and the answer at the end.
const ROUND_TRIPS: u64 = 4;
/// Bytes of TLS and HTTP beside the file.
const OVERHEAD_BYTES: u64 = 6_000;
/// From the server to the reader's screen.
const SERVER_MS: u64 = 2_000;

/// Milliseconds from capture until the hospital can read the file; `None` if it never gets it.
pub(super) fn upload_ms(unit: &Unit, capture: &Capture, bytes: u64, chance: &mut Chance) -> Option<u64> {
    let mut at_s = capture.at_s + FIRST_S;
    for _ in 0..TRIES {
        // a person who has arrived hands the paper over and tries no more
        if at_s >= capture.arrive_s {
            return None;
        }
        let ended = one_try(unit, at_s, bytes);
        let until_s = match ended {
            Ok(took_ms) => at_s + took_ms.div_ceil(1000),
            Err(failed_s) => failed_s,
        };
        // nothing is queued across a restart, whether it was under way or meant for later
        if capture.restart_s.is_some_and(|restart| restart <= until_s) {
            return None;
        }
        if let Ok(took_ms) = ended {
            return Some((at_s - capture.at_s) * 1000 + took_ms + SERVER_MS);
        }
        at_s = until_s + chance.between(PAUSE_S.0, PAUSE_S.1);
    }
    None
}

/// One upload from `at_s`: milliseconds that it takes, or the second at which the screen says it failed.
fn one_try(unit: &Unit, at_s: u64, bytes: u64) -> Result<u64, u64> {
    let Some(line) = unit.cover(at_s).profile() else {
        return Err(at_s + NO_SIGNAL_S);
    };
    let setup_ms = ROUND_TRIPS * 2 * line.one_way_us / 1000;
    let (mut now_ms, mut left) = (at_s * 1000 + setup_ms, (bytes + OVERHEAD_BYTES) * 8_000_000);
    for second in at_s..at_s + TIMEOUT_S {
        let Some(rate) = useful_bps(unit.cover(second)) else {
            return Err(second + NO_SIGNAL_S);
        };
        let end_ms = (second + 1) * 1000;
        let here = end_ms.saturating_sub(now_ms) * rate * 1000;
        if here >= left {
            return Ok(now_ms + left / (rate * 1000) - at_s * 1000);
        }
        left -= here;
        now_ms = now_ms.max(end_ms);
    }
    Err(at_s + TIMEOUT_S)
}

/// Milliseconds from capture until `bytes` can be there at the earliest.
pub(super) fn oracle_ms(unit: &Unit, capture: &Capture, bytes: u64) -> Option<u64> {
    let mut left = bytes * 8_000_000;
    let last = unit.spans.last()?.from_s + 24 * super::road::HOUR_S;
    for second in capture.at_s..last {
        let cover = unit.cover(second);
        let rate = cover.profile().map_or(0, |line| line.rate_bps);
        if rate * 1_000_000 >= left {
            let flight_ms = cover.profile()?.one_way_us / 1000;
            return Some((second - capture.at_s) * 1000 + left / (rate * 1000) + flight_ms);
        }
        left -= rate * 1_000_000;
    }
    None
}

/// Bits a second that arrive: the line's rate without what is lost.
fn useful_bps(cover: Cover) -> Option<u64> {
    let line = cover.profile()?;
    Some(line.rate_bps * u64::from(1_000_000 - line.loss_ppm) / 1_000_000)
}
