//! Every sentence this crate says about an ECG.
//!
//! One table, so that page, command line, print and phone say the same and a
//! test can hold all of it against the rules: an elevation is "suspected, not a
//! diagnosis", and the absence of a finding never reassures. Changing a word
//! here changes it everywhere; it is part of the specification.

/// Follows the list of leads when thresholds are met.
pub const SUSPECTED: &str = "suspected, not a diagnosis";
/// Precedes the list of leads when thresholds are met.
pub const MEETS: &str = "meets ST-elevation thresholds in";
/// Said whenever no threshold is met, whatever the reason.
pub const NOT_MET: &str = "No ST threshold met by this program. That does not rule out a heart attack.";

/// The sentence for these leads, in the standard order; [`NOT_MET`] for none.
///
/// ```
/// let text = aidmesh_ecg::wording::st_text(&["II", "III", "aVF"]);
/// assert_eq!(text, "meets ST-elevation thresholds in II, III, aVF; suspected, not a diagnosis");
/// ```
#[must_use]
pub fn st_text(leads: &[&str]) -> String {
    if leads.is_empty() {
        return NOT_MET.to_owned();
    }
    format!("{MEETS} {}; {SUSPECTED}", leads.join(", "))
}
