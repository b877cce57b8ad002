//! A thread's group: its keys without a server (PROTOCOL section 3, braided epochs).
//! One module per part; each says what it holds and what it leaves to the others.

pub mod mls;
