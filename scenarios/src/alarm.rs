//! Listens for ERROR: in this project an ERROR line means a bug, so one of them fails a run.
//!
//! The subscriber is global and keeps the first message of each thread, because seeds run on several
//! threads. It takes nothing below ERROR, and costs nothing where nobody logs.

use std::cell::RefCell;
use std::fmt::{Debug, Write};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Starts to listen; further calls change nothing. Somebody else's subscriber is left alone.
pub fn listen() {
    // Only one subscriber can be global: the second call of this function meets the first one's.
    let _ = tracing::subscriber::set_global_default(Errors);
}

/// The first ERROR of this thread since the last call.
pub fn take() -> Option<String> {
    FIRST.with_borrow_mut(Option::take)
}

struct Errors;

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().target().to_owned());
        event.record(&mut text);
        FIRST.with_borrow_mut(|first| first.get_or_insert(text.0).len());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_is_kept_until_it_is_taken() {
        super::listen();
        tracing::warn!("not a bug");
        assert_eq!(super::take(), None);
        tracing::error!(rule = 7, "a bug");
        assert!(super::take().is_some_and(|text| text.contains("a bug")));
        assert_eq!(super::take(), None);
    }
}
