//! Roles and what each may do in a thread: DETAILS section 3 as one data table, [`TABLE`].
//!
//! No rank stands in a certificate: a [`tier`] is computed from role, kind of thread, relation of
//! the organisations and custody; lower is stronger. Every device computes membership from this
//! table, so a change of a row is a change of the protocol.
//!
//! Hotlines and conversations use the column of patient threads.
//!
//! Not here: who is addressed or on call. Where DETAILS says "of the addressed hospital" the table
//! checks the role alone; whom to add is the choice of the person who adds.

use crate::codec::Malformed;

/// What a person does with a device. The number is the bit in a certificate; on the wire a role
/// alone is its bit number plus one, 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Role {
    Physician = 0,
    Cardiologist = 1,
    IncidentCommander = 2,
    Paramedic = 3,
    Nurse = 4,
    Dispatcher = 5,
    Responder = 6,
    /// Hospital export and on-call resolver.
    Gateway = 7,
    Auditor = 8,
    ItAdmin = 9,
    Relay = 10,
}

impl Role {
    /// All roles by bit number.
    pub const ALL: [Role; 11] = [
        Role::Physician,
        Role::Cardiologist,
        Role::IncidentCommander,
        Role::Paramedic,
        Role::Nurse,
        Role::Dispatcher,
        Role::Responder,
        Role::Gateway,
        Role::Auditor,
        Role::ItAdmin,
        Role::Relay,
    ];

    /// Wire number: bit number plus one.
    pub fn to_u8(self) -> u8 {
        self as u8 + 1
    }

    /// From its wire number.
    pub fn from_u8(n: u8) -> Result<Role, Malformed> {
        let role = usize::from(n).checked_sub(1).and_then(|i| Role::ALL.get(i));
        role.copied().ok_or(Malformed("unknown role"))
    }

    /// Its name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Role::Physician => "physician",
            Role::Cardiologist => "cardiologist",
            Role::IncidentCommander => "incident-commander",
            Role::Paramedic => "paramedic",
            Role::Nurse => "nurse",
            Role::Dispatcher => "dispatcher",
            Role::Responder => "responder",
            Role::Gateway => "gateway",
            Role::Auditor => "auditor",
            Role::ItAdmin => "it-admin",
            Role::Relay => "relay",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of roles as in a certificate. Unknown bits are kept and grant nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Roles(pub u16);

impl Roles {
    /// The set of `roles`.
    pub const fn of(roles: &[Role]) -> Roles {
        let mut bits = 0;
        let mut i = 0;
        while i < roles.len() {
            bits |= roles[i].bit();
            i += 1;
        }
        Roles(bits)
    }

    /// Whether `role` is in it.
    pub fn contains(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// The known roles in it.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |r| self.contains(*r))
    }
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ThreadKind {
    /// A patient's care team.
    Patient = 1,
    /// The channel of an incident.
    Incident = 2,
    /// A standing thread between a unit and a hospital.
    Hotline = 3,
    /// Any other conversation.
    Conversation = 4,
}

impl ThreadKind {
    /// Its name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            ThreadKind::Patient => "patient",
            ThreadKind::Incident => "incident",
            ThreadKind::Hotline => "hotline",
            ThreadKind::Conversation => "conversation",
        }
    }

    /// From its wire number.
    pub fn from_u8(n: u8) -> Result<ThreadKind, Malformed> {
        Ok(match n {
            1 => ThreadKind::Patient,
            2 => ThreadKind::Incident,
            3 => ThreadKind::Hotline,
            4 => ThreadKind::Conversation,
            _ => return Err(Malformed("unknown thread kind")),
        })
    }
}

/// Whose entries a role may recall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recall {
    /// Nobody's.
    Nothing,
    /// Own entries.
    Own,
    /// Own alerts.
    OwnAlerts,
    /// Alerts of the incident.
    IncidentAlerts,
    /// Any clinical entry, with a reason.
    AnyClinical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Itself only.
    Own,
    /// Whom it added.
    OwnAdds,
    /// Weaker tiers, and whom it added.
    Weaker,
    /// Its own tier and weaker.
    SameOrWeaker,
    /// Devices in this role.
    Only(Role),
}

struct Row {
    role: Role,
    /// Tier in patient threads and in incident threads; `None`: never a member.
    tier: Option<[u8; 2]>,
    add: Roles,
    /// In patient threads and in incident threads.
    remove: [Reach; 2],
    recall: Recall,
}

const CLINICIANS: [Role; 4] = [Role::Physician, Role::Cardiologist, Role::Paramedic, Role::Nurse];
const ANY: Roles = Roles(0xff);
const CLINICIANS_AND_GATEWAY: Roles = Roles(Roles::of(&CLINICIANS).0 | Role::Gateway.bit());
const NOBODY: Roles = Roles(0);

const fn row(role: Role, tier: [u8; 2], add: Roles, remove: [Reach; 2], recall: Recall) -> Row {
    Row {
        role,
        tier: Some(tier),
        add,
        remove,
        recall,
    }
}

const fn outside(role: Role) -> Row {
    Row {
        role,
        tier: None,
        add: NOBODY,
        remove: [Reach::Own; 2],
        recall: Recall::Nothing,
    }
}

const SAME: [Reach; 2] = [Reach::SameOrWeaker; 2];
const COMMANDER: [Reach; 2] = [Reach::Only(Role::Responder), Reach::SameOrWeaker];
const WEAKER: [Reach; 2] = [Reach::Weaker; 2];
const OWN_ADDS: [Reach; 2] = [Reach::OwnAdds; 2];
const DISPATCHED: Roles = Roles::of(&[Role::Responder, Role::Paramedic]);
const ON_CALL: Roles = Roles::of(&CLINICIANS);

/// DETAILS section 3, in the order of [`Role::ALL`].
static TABLE: [Row; 11] = [
    row(Role::Physician, [1, 2], ANY, SAME, Recall::AnyClinical),
    row(Role::Cardiologist, [1, 2], ANY, SAME, Recall::AnyClinical),
    row(
        Role::IncidentCommander,
        [2, 1],
        ANY,
        COMMANDER,
        Recall::IncidentAlerts,
    ),
    row(
        Role::Paramedic,
        [2, 2],
        CLINICIANS_AND_GATEWAY,
        WEAKER,
        Recall::Own,
    ),
    row(Role::Nurse, [2, 2], CLINICIANS_AND_GATEWAY, WEAKER, Recall::Own),
    row(Role::Dispatcher, [3, 2], DISPATCHED, OWN_ADDS, Recall::OwnAlerts),
    row(Role::Responder, [3, 3], NOBODY, [Reach::Own; 2], Recall::Own),
    row(Role::Gateway, [3, 3], ON_CALL, OWN_ADDS, Recall::Nothing),
    outside(Role::Auditor),
    outside(Role::ItAdmin),
    outside(Role::Relay),
];

fn of(role: Role) -> &'static Row {
    let row = &TABLE[role as usize];
    debug_assert_eq!(row.role, role);
    row
}

fn column(kind: ThreadKind) -> usize {
    usize::from(kind == ThreadKind::Incident)
}

/// The strongest tier of a device of a foreign organisation.
const FOREIGN_TIER: u8 = 2;

/// Tier in a thread, 1 strongest; `None`: this role is never a member. `same_org`: of the
/// organisation that owns the thread or of a co-owner that genesis names. `custody`: created the thread.
pub fn tier(role: Role, kind: ThreadKind, same_org: bool, custody: bool) -> Option<u8> {
    let own = of(role).tier?[column(kind)];
    Some(match (custody, same_org) {
        (true, _) => 1,
        (false, true) => own,
        (false, false) => own.max(FOREIGN_TIER),
    })
}

/// Whether a member in role `adder` may add a device in role `added`. A conversation is nobody's care, so
/// whoever may be a member of it may be added by any other.
pub fn may_add(adder: Role, kind: ThreadKind, added: Role) -> bool {
    let rows = (of(adder), of(added));
    let listed = kind == ThreadKind::Conversation || rows.0.add.contains(added);
    rows.0.tier.is_some() && tier(added, kind, true, false).is_some() && listed
}

/// One of the two sides of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Role in the thread.
    pub role: Role,
    /// Tier in the thread.
    pub tier: u8,
}

/// Why a removal is allowed beyond the role's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Grounds {
    /// A device removes itself.
    pub itself: bool,
    /// The remover added the removed device in this incarnation.
    pub own_add: bool,
    /// The reason is a revocation: any tier may.
    pub revoked: bool,
}

/// Whether `remover` may remove `removed`.
pub fn may_remove(remover: Party, kind: ThreadKind, removed: Party, grounds: Grounds) -> bool {
    if grounds.itself || grounds.revoked {
        return true;
    }
    match of(remover.role).remove[column(kind)] {
        Reach::Own => false,
        Reach::OwnAdds => grounds.own_add,
        Reach::Weaker => grounds.own_add || removed.tier > remover.tier,
        Reach::SameOrWeaker => removed.tier >= remover.tier,
        Reach::Only(role) => removed.role == role,
    }
}

/// What a role may recall.
pub fn may_recall(role: Role) -> Recall {
    of(role).recall
}
