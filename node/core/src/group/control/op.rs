//! Ops: signed changes of membership, each with its own counter per slot and with what its author had seen.
//!
//! Body: `counter 4 | t 1 | dev 16 | inc 4 | role 1 | kp flag 1, hash 32 if 1 | why 1 | ref 16 | past`.
//! The past is `n varint, n x op id 16`, and t the number below plus 16. Without the 16 it is of an earlier
//! version, and the past `n varint, n x (slot 4, counter varint)`. Fields that an act does not use are
//! zero, and anything else there is refused, so that an op has one encoding.
//!
//! | t | act | dev, inc | role | kp | why | ref |
//! |---|---|---|---|---|---|---|
//! | 1 | Add | whom | as what | key package; none only for the founder | 0, or 1 break-glass | - |
//! | 2 | Remove | whom | - | - | [`Why`] | as_of: node of the author's head |
//! | 3 | Erase | - | - | - | reason code | what |
//! | 4 | Bad | - | - | - | - | node |
//! | 5 | Rejoin | - | - | key package; none withdraws | - | - |
//! | 6 | Refound | - | - | - | - | suite 2, 14 zero; suite 0 withdraws |

use crate::codec::{Malformed, Reader, Writer};
use crate::directory::Role;
use crate::id::{Dev, Incarnation, NodeId, OpId, Slot};
use crate::limits;

/// Why a device is removed. An unknown reason of a newer version has no effect of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// No reason given.
    Unsaid,
    /// Its holder left the case.
    Left,
    /// Its key is revoked: any tier may remove it.
    Revoked,
    /// It was lost.
    Lost,
    /// It was added by mistake.
    Mistake,
    /// Care was handed over.
    HandedOver,
    /// A reason of a newer version.
    Other(u8),
}

impl Why {
    /// Its wire number.
    pub fn to_u8(self) -> u8 {
        match self {
            Why::Unsaid => 0,
            Why::Left => 1,
            Why::Revoked => 2,
            Why::Lost => 3,
            Why::Mistake => 4,
            Why::HandedOver => 5,
            Why::Other(n) => n,
        }
    }

    /// From its wire number.
    pub fn from_u8(n: u8) -> Why {
        match n {
            0 => Why::Unsaid,
            1 => Why::Left,
            2 => Why::Revoked,
            3 => Why::Lost,
            4 => Why::Mistake,
            5 => Why::HandedOver,
            n => Why::Other(n),
        }
    }
}

/// What an op does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A device becomes a member.
    Add {
        /// Whom.
        dev: Dev,
        /// Its next life in this thread.
        inc: Incarnation,
        /// In which role.
        role: Role,
        /// [`key_package_hash`](super::key_package_hash); `None` only for the founder.
        kp: Option<[u8; 32]>,
        /// Joined by break-glass, for a time.
        break_glass: bool,
    },
    /// A device stops being a member.
    Remove {
        /// Whom.
        dev: Dev,
        /// Which life.
        inc: Incarnation,
        /// Why.
        why: Why,
        /// Node of the head that the author signed in the same batch before.
        as_of: NodeId,
    },
    /// Erasure of what `target` names.
    Erase {
        /// Entry or patient, by id.
        target: [u8; 16],
        /// Reason code.
        reason: u8,
    },
    /// The author holds the parent but cannot process this node.
    Bad {
        /// The node.
        node: NodeId,
    },
    /// The author asks for a new leaf.
    Rejoin {
        /// Key package; `None` withdraws the request.
        kp: Option<[u8; 32]>,
    },
    /// The author asks all members for key packages, to go on with a new group.
    Refound {
        /// Number of its suite; 0 withdraws the request.
        suite: u16,
    },
}

/// One op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Number among the ops of this slot, from 1 to [`limits::OPS_PER_SLOT`].
    pub counter: u32,
    /// What it does.
    pub act: Act,
    /// What its author had counted.
    pub past: Past,
}

/// What the author of an op had counted, as the fewest ops in whose pasts all others are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Past {
    /// By id, strictly ascending, the author's op before this one among them or in their pasts. No op that
    /// is said later changes what this one had seen, whatever its author signs.
    Ops(Vec<OpId>),
    /// By the last number of each slot, strictly ascending; own earlier ops are implied. Of an earlier
    /// version: two ops at one number cannot be told apart.
    Numbers(Vec<(Slot, u32)>),
}

impl Past {
    /// Nothing was named.
    pub fn is_empty(&self) -> bool {
        match self {
            Past::Ops(ids) => ids.is_empty(),
            Past::Numbers(places) => places.is_empty(),
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Past::Ops(ids) => {
                w.count(ids.len());
                ids.iter().for_each(|id| {
                    w.put(&id.0);
                });
            }
            Past::Numbers(places) => {
                w.count(places.len());
                for (slot, counter) in places {
                    w.put(&slot.0).varint(*counter);
                }
            }
        }
    }

    fn read(r: &mut Reader<'_>, by_id: bool) -> Result<Past, Malformed> {
        let n = r.count(limits::CURSORS)?;
        if by_id {
            let ids = (0..n).map(|_| Ok(OpId(r.array()?)));
            let ids = ids.collect::<Result<Vec<_>, Malformed>>()?;
            let sorted = ids.is_sorted_by(|a, b| a < b);
            return sorted.then_some(Past::Ops(ids)).ok_or(NOT_SORTED);
        }
        let places = (0..n).map(|_| Ok((Slot(r.array()?), counter(r.varint()?)?)));
        let places = places.collect::<Result<Vec<_>, Malformed>>()?;
        let sorted = places.is_sorted_by(|a, b| a.0 < b.0);
        sorted.then_some(Past::Numbers(places)).ok_or(NOT_SORTED)
    }
}

const NOT_SORTED: Malformed = Malformed("past of an op is not sorted");
/// Added to the number of an act where the past is named by ids.
const BY_ID: u8 = 16;

struct Fields {
    dev: Dev,
    inc: Incarnation,
    role: u8,
    kp: Option<[u8; 32]>,
    why: u8,
    reference: [u8; 16],
}

const NONE: Fields = Fields {
    dev: Dev([0; 16]),
    inc: 0,
    role: 0,
    kp: None,
    why: 0,
    reference: [0; 16],
};

impl Op {
    pub(super) fn write(&self, w: &mut Writer) {
        let (t, f) = self.act.fields();
        let t = match self.past {
            Past::Ops(_) => t + BY_ID,
            Past::Numbers(_) => t,
        };
        w.u32(self.counter).u8(t).put(&f.dev.0).u32(f.inc).u8(f.role);
        match f.kp {
            Some(hash) => w.u8(1).put(&hash),
            None => w.u8(0),
        };
        w.u8(f.why).put(&f.reference);
        self.past.write(w);
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Op, Malformed> {
        let counter = counter(r.u32()?)?;
        let t = r.u8()?;
        let f = Fields {
            dev: Dev(r.array()?),
            inc: r.u32()?,
            role: r.u8()?,
            kp: match r.u8()? {
                0 => None,
                1 => Some(r.array()?),
                _ => return Err(Malformed("flag is neither 0 nor 1")),
            },
            why: r.u8()?,
            reference: r.array()?,
        };
        let by_id = t & BY_ID != 0;
        let act = Act::of(t & !BY_ID, f)?;
        let past = Past::read(r, by_id)?;
        Ok(Op { counter, act, past })
    }
}

impl Act {
    fn fields(self) -> (u8, Fields) {
        match self {
            Act::Add {
                dev,
                inc,
                role,
                kp,
                break_glass,
            } => {
                let (role, why) = (role.to_u8(), break_glass.into());
                let add = Fields {
                    dev,
                    inc,
                    role,
                    kp,
                    why,
                    ..NONE
                };
                (1, add)
            }
            Act::Remove { dev, inc, why, as_of } => {
                let (why, reference) = (why.to_u8(), as_of.0);
                let remove = Fields {
                    dev,
                    inc,
                    why,
                    reference,
                    ..NONE
                };
                (2, remove)
            }
            Act::Erase { target, reason } => {
                let (why, reference) = (reason, target);
                (
                    3,
                    Fields {
                        why,
                        reference,
                        ..NONE
                    },
                )
            }
            Act::Bad { node } => {
                let reference = node.0;
                (4, Fields { reference, ..NONE })
            }
            Act::Rejoin { kp } => (5, Fields { kp, ..NONE }),
            Act::Refound { suite } => {
                let mut reference = [0; 16];
                reference[..2].copy_from_slice(&suite.to_le_bytes());
                (6, Fields { reference, ..NONE })
            }
        }
    }

    fn of(t: u8, f: Fields) -> Result<Act, Malformed> {
        let act = match t {
            1 => Act::Add {
                dev: f.dev,
                inc: f.inc,
                role: Role::from_u8(f.role)?,
                kp: f.kp,
                break_glass: f.why == 1,
            },
            2 => Act::Remove {
                dev: f.dev,
                inc: f.inc,
                why: Why::from_u8(f.why),
                as_of: NodeId(f.reference),
            },
            3 => Act::Erase {
                target: f.reference,
                reason: f.why,
            },
            4 => Act::Bad {
                node: NodeId(f.reference),
            },
            5 => Act::Rejoin { kp: f.kp },
            6 => Act::Refound {
                suite: u16::from_le_bytes([f.reference[0], f.reference[1]]),
            },
            _ => return Err(Malformed("unknown op")),
        };
        if matches!(t, 1 | 2) && f.inc == 0 {
            return Err(Malformed("incarnations start at 1"));
        }
        let (_, again) = act.fields();
        let same = again.dev == f.dev
            && again.inc == f.inc
            && again.role == f.role
            && again.kp == f.kp
            && again.why == f.why
            && again.reference == f.reference;
        if same {
            Ok(act)
        } else {
            Err(Malformed("unused field is set"))
        }
    }
}

fn counter(n: u32) -> Result<u32, Malformed> {
    if n == 0 || n > limits::OPS_PER_SLOT {
        return Err(Malformed("op counter out of range"));
    }
    Ok(n)
}
