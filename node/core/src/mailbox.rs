//! What carriers and relays keep for others, and the proofs that go with it.

pub mod proof;
