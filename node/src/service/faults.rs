//! Which fault, and which status of HTTP, each refusal is. The words stand in [`crate::fault`].
//!
//! Statuses say whose turn it is: 400, 404, 409, 413 and 422 the asker's, 403 the role's or organisation's,
//! 503 the device's. A fault never names what somebody wrote.

use crate::api::types::Fault;
use crate::fault;
use aidmesh_core::machine::command::CommandError;
use aidmesh_core::store::ReadError;
use aidmesh_ecg::ImportError;
use aidmesh_host::node::NodeError;
use std::fmt::Display;

/// A refusal: nothing was changed, unless its words say otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", fault.line())]
pub struct Failure {
    /// Status of HTTP.
    pub status: u16,
    /// For people and programs.
    pub fault: Fault,
}

fn failure(status: u16, code: &'static str) -> Failure {
    let fault = fault::of(code);
    Failure { status, fault }
}

fn particular(status: u16, code: &'static str, how: impl Display) -> Failure {
    let fault = fault::with(code, how);
    Failure { status, fault }
}

/// The request itself makes no sense.
pub fn senseless(how: impl Display) -> Failure {
    particular(400, "AM-USE-01", how)
}

/// There is no such path in the API.
pub fn no_such_path() -> Failure {
    particular(404, "AM-USE-01", "the API has no such path")
}

/// The path takes other methods.
pub fn wrong_method() -> Failure {
    particular(405, "AM-USE-01", "the path does not take this method")
}

/// More bytes than a request may have.
pub fn body_too_large(bytes: usize) -> Failure {
    particular(
        413,
        "AM-USE-05",
        format_args!("a request has at most {bytes} bytes"),
    )
}

/// A value that is not one of those that exist.
pub(super) fn unknown_word(what: &str, known: &[&str]) -> Failure {
    senseless(format_args!("{what} is one of: {}", known.join(", ")))
}

/// Nothing is called so.
pub fn not_found(what: &str, known: &[String]) -> Failure {
    match known.is_empty() {
        true => particular(404, "AM-USE-02", what),
        false => particular(
            404,
            "AM-USE-02",
            format_args!("{what}; there are: {}", known.join(", ")),
        ),
    }
}

/// Several are called so.
pub(super) fn ambiguous(candidates: &[String]) -> Failure {
    particular(409, "AM-USE-03", candidates.join(", "))
}

/// Too long, too many or empty.
pub fn unfit(how: impl Display) -> Failure {
    particular(422, "AM-USE-05", how)
}

/// No role of that device may be added by this one.
pub(super) fn role_forbids(how: impl Display) -> Failure {
    particular(403, "AM-THREAD-01", how)
}

/// It is so already.
pub(super) fn no_change(how: impl Display) -> Failure {
    particular(409, "AM-THREAD-02", how)
}

/// An act on an entry that was written on this device.
pub(super) fn own_entry() -> Failure {
    particular(409, "AM-THREAD-02", "it was written on this device")
}

/// Only its author takes an entry back.
pub(super) fn not_yours() -> Failure {
    failure(403, "AM-THREAD-04")
}

/// Only its author's device follows who has an entry.
pub(super) fn not_followed() -> Failure {
    let mut failure = failure(403, "AM-THREAD-04");
    failure.fault.means = "Only the device that wrote an entry knows who has it.".into();
    failure.fault.next = "See what arrived here with: aidmesh inbox".into();
    failure
}

/// No card of the device is here.
pub(super) fn no_card(person: &str) -> Failure {
    particular(404, "AM-ORG-13", person)
}

/// A file of an original that did not arrive yet.
pub(super) fn incomplete(held: u32, total: u32) -> Failure {
    particular(
        409,
        "AM-NODE-05",
        format_args!("{held} of {total} parts are here"),
    )
}

/// Files of the organisation could not be taken up.
pub(super) fn not_read(how: impl Display) -> Failure {
    particular(500, "AM-ORG-02", how)
}

/// The store could not be read.
pub(super) fn unreadable(why: &ReadError) -> Failure {
    particular(503, "AM-STORE-05", why)
}

/// Something inside that cannot happen did.
pub fn inside(how: impl Display) -> Failure {
    particular(500, "AM-NODE-08", how)
}

/// The node did not do it.
pub(super) fn node(why: NodeError) -> Failure {
    match why {
        NodeError::Refused(why) => command(&why),
        NodeError::CannotSave => failure(503, "AM-STORE-02"),
        NodeError::Stopped => failure(503, "AM-NODE-04"),
        _ => inside("the node refused without a reason that is known here"),
    }
}

fn command(why: &CommandError) -> Failure {
    match why {
        CommandError::Poisoned | CommandError::Read(_) => failure(503, "AM-STORE-02"),
        CommandError::NotAMember => failure(403, "AM-ORG-01"),
        CommandError::UnknownThread => particular(404, "AM-USE-02", "no such thread"),
        CommandError::UnknownEntry => particular(404, "AM-USE-02", "no such entry"),
        CommandError::UnknownDevice => failure(404, "AM-ORG-13"),
        CommandError::Forbidden => failure(403, "AM-THREAD-01"),
        CommandError::NoChange => failure(409, "AM-THREAD-02"),
        CommandError::NobodySignedOn => failure(403, "AM-NODE-09"),
        CommandError::Invalid(how) => unfit(how),
        CommandError::Full(what) => particular(503, "AM-NODE-10", what),
        CommandError::Group(why) => particular(500, "AM-THREAD-05", why),
        CommandError::Refused(why) if why.contains("restored") => particular(403, "AM-STORE-08", why),
        CommandError::Refused(why) => particular(403, "AM-ORG-07", why),
        _ => inside("the machine refused without a reason that is known here"),
    }
}

/// The files are no ECG that can be sent.
pub(super) fn no_ecg(why: &ImportError) -> Failure {
    let code = match why {
        ImportError::NoFiles | ImportError::UnknownFormat => "AM-ECG-01",
        ImportError::MissingFile(_) => "AM-ECG-02",
        ImportError::TooMany { .. } => "AM-ECG-03",
        ImportError::Unsupported(_) => "AM-ECG-06",
        _ => "AM-ECG-05",
    };
    particular(422, code, why)
}

/// An ECG of more files or bytes than an entry takes.
pub(super) fn ecg_too_large(how: impl Display) -> Failure {
    particular(422, "AM-ECG-03", how)
}
