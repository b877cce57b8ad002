//! Which code an error of this device is: folder, vault, openings, node, office, enrolment.
//!
//! One place, so that command line, API and a failed start say the same of the same. What happened in
//! particular is the error's own text: it may name files of this user, and never payload, keys or
//! passphrases.

use super::with;
use crate::api::types::Fault;
use crate::device::DeviceError;
use crate::office::OfficeError;
use crate::org::desk::DeskError;
use crate::org::identity::IdentityError;
use crate::org::join::JoinError;
use crate::org::online::FetchError;
use crate::org::text::TextError;
use crate::run::RunError;
use crate::setup::SetupError;
use aidmesh_core::enrolment::RequestError;
use aidmesh_core::machine::OpenError;
use aidmesh_host::folder::FolderError;
use aidmesh_host::node::{NodeError, StartError};
use aidmesh_host::openings::OpeningsError;
use aidmesh_host::store::StoreError;
use aidmesh_host::vault::VaultError;

impl From<FolderError> for Fault {
    fn from(why: FolderError) -> Fault {
        let code = match &why {
            FolderError::NotThere { .. } => "AM-STORE-01",
            FolderError::NotOurs { .. } => "AM-STORE-09",
            FolderError::Exists { .. } => "AM-STORE-10",
            FolderError::InUse { .. } => "AM-STORE-07",
            FolderError::ReadOnly { .. } => "AM-STORE-04",
            FolderError::Full { .. } => "AM-STORE-03",
            FolderError::TooNew { .. } => "AM-STORE-11",
            _ => "AM-STORE-04",
        };
        with(code, why)
    }
}

impl From<VaultError> for Fault {
    fn from(why: VaultError) -> Fault {
        let code = match &why {
            VaultError::Wrong | VaultError::NoPassphrase | VaultError::NoKeyFile => "AM-STORE-06",
            VaultError::NotThere => "AM-STORE-01",
            VaultError::Exists => "AM-STORE-10",
            VaultError::TooNew(_) => "AM-STORE-11",
            VaultError::NotAVault | VaultError::Damaged(_) => "AM-STORE-13",
            VaultError::Full => "AM-STORE-03",
            VaultError::TooLarge | VaultError::Memory => "AM-STORE-02",
            _ => "AM-STORE-04",
        };
        with(code, why)
    }
}

impl From<OpeningsError> for Fault {
    fn from(why: OpeningsError) -> Fault {
        let code = match &why {
            OpeningsError::InUse { .. } => "AM-STORE-07",
            OpeningsError::Full { .. } => "AM-STORE-03",
            _ => "AM-STORE-04",
        };
        with(code, why)
    }
}

impl From<StoreError> for Fault {
    fn from(why: StoreError) -> Fault {
        let code = match &why {
            StoreError::Full => "AM-STORE-03",
            StoreError::InUse => "AM-STORE-07",
            StoreError::Foreign(_) | StoreError::Damaged(_) | StoreError::Read(_) | StoreError::Row(_) => {
                "AM-STORE-05"
            }
            _ => "AM-STORE-02",
        };
        with(code, why)
    }
}

impl From<StartError> for Fault {
    fn from(why: StartError) -> Fault {
        match why {
            StartError::Store(why) => why.into(),
            StartError::Open(OpenError::TooNew(..)) => with("AM-STORE-11", why),
            StartError::Open(_) => with("AM-STORE-05", why),
            _ => with("AM-STORE-02", why),
        }
    }
}

impl From<IdentityError> for Fault {
    fn from(why: IdentityError) -> Fault {
        match why {
            IdentityError::Vault(why) => why.into(),
            IdentityError::Damaged(_) => with("AM-STORE-13", why),
            IdentityError::Full => with("AM-ORG-18", why),
            IdentityError::Own => with("AM-ORG-17", why),
            IdentityError::NotOurs(_) | IdentityError::Refused(_) => with("AM-ORG-07", why),
        }
    }
}

impl From<NodeError> for Fault {
    fn from(why: NodeError) -> Fault {
        match &why {
            NodeError::CannotSave => with("AM-STORE-02", why),
            _ => with("AM-NODE-07", why),
        }
    }
}

impl From<DeviceError> for Fault {
    fn from(why: DeviceError) -> Fault {
        match why {
            DeviceError::Folder(why) => why.into(),
            DeviceError::Vault(why) => why.into(),
            DeviceError::Identity(why) => why.into(),
            DeviceError::NotEnrolled => super::of("AM-ORG-01"),
            DeviceError::Openings(why) => why.into(),
            DeviceError::Start(why) => why.into(),
            DeviceError::Office(why) => why.into(),
            DeviceError::Node(why) => why.into(),
        }
    }
}

impl From<RunError> for Fault {
    fn from(why: RunError) -> Fault {
        match why {
            RunError::Device(why) => why.into(),
            RunError::Socket(std::io::ErrorKind::InvalidInput) => with("AM-STORE-14", why),
            RunError::Socket(_) => with("AM-STORE-04", why),
        }
    }
}

impl From<OfficeError> for Fault {
    fn from(why: OfficeError) -> Fault {
        match why {
            OfficeError::Vault(why) => why.into(),
            OfficeError::Desk(why) => why.into(),
            OfficeError::InUse => with("AM-STORE-07", why),
            OfficeError::Damaged(_) => with("AM-STORE-13", why),
            OfficeError::Io { .. } => with("AM-STORE-04", why),
        }
    }
}

impl From<DeskError> for Fault {
    fn from(why: DeskError) -> Fault {
        if let DeskError::Vault(why) = why {
            return why.into();
        }
        let code = match &why {
            DeskError::Exists => "AM-ORG-10",
            DeskError::NoOrganisation => "AM-ORG-09",
            DeskError::Damaged(_) => "AM-STORE-13",
            DeskError::Request(RequestError::Used { .. }) => "AM-ORG-04",
            DeskError::Request(RequestError::Ended(_)) => "AM-ORG-03",
            DeskError::Request(RequestError::Roles) => "AM-ORG-12",
            DeskError::Request(RequestError::Malformed(_)) => "AM-ORG-02",
            DeskError::Request(RequestError::Full) | DeskError::Full(_) => "AM-ORG-18",
            DeskError::Request(_) => "AM-ORG-07",
            DeskError::KnownKey | DeskError::Own | DeskError::OwnDevice => "AM-ORG-17",
            DeskError::Ended => "AM-ORG-05",
            DeskError::NoCard => "AM-ORG-13",
            DeskError::NotValidNow => "AM-ORG-16",
            DeskError::Nobody => "AM-USE-02",
            DeskError::Several(_) => "AM-USE-03",
            DeskError::WrongWords => "AM-ORG-07",
            DeskError::NoEntropy(_) | DeskError::Vault(_) => "AM-STORE-02",
            DeskError::NoRole | DeskError::Invite(_) | DeskError::Validity | DeskError::Grant(_) => {
                "AM-USE-05"
            }
        };
        with(code, why)
    }
}

impl From<JoinError> for Fault {
    fn from(why: JoinError) -> Fault {
        match why {
            JoinError::Vault(why) => why.into(),
            JoinError::Identity(why) => why.into(),
            JoinError::Enrolled => super::of("AM-ORG-10"),
            JoinError::NothingAsked => super::of("AM-ORG-14"),
            JoinError::Ended(_) => with("AM-ORG-03", why),
            JoinError::Roles => super::of("AM-ORG-12"),
            JoinError::NoEntropy(_) => with("AM-STORE-02", why),
            JoinError::Damaged(_) => with("AM-STORE-13", why),
            JoinError::Grant(_) => with("AM-ORG-07", why),
        }
    }
}

impl From<SetupError> for Fault {
    fn from(why: SetupError) -> Fault {
        match why {
            SetupError::Folder(why) => why.into(),
            SetupError::Vault(why) => why.into(),
            SetupError::Desk(why) => why.into(),
            SetupError::Join(why) => why.into(),
            SetupError::Openings(why) => why.into(),
            SetupError::Device(why) => why.into(),
        }
    }
}

impl From<TextError> for Fault {
    fn from(why: TextError) -> Fault {
        let code = match &why {
            TextError::File(std::io::ErrorKind::AlreadyExists) => "AM-USE-06",
            TextError::File(_) => "AM-USE-07",
            _ => "AM-ORG-02",
        };
        with(code, why)
    }
}

impl From<FetchError> for Fault {
    fn from(why: FetchError) -> Fault {
        match &why {
            FetchError::Refused(_) => with("AM-ORG-11", why),
            _ => with("AM-ORG-15", why),
        }
    }
}
