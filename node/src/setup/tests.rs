use super::*;
use crate::office::{Office, OfficeError};
use crate::org::desk::Offer;
use aidmesh_core::directory::Role;
use std::path::Path;
use zeroize::Zeroizing;

fn unlock() -> Unlock {
    Unlock::KeyFile(Zeroizing::new([7; 32]))
}

fn place(dir: &Path, name: &str) -> Place {
    Place {
        data: dir.join(name),
        state: dir.join("state"),
        engine: EngineKind::Sled,
    }
}

fn founding() -> Founding {
    Founding {
        organisation: Name::new("Hospital North").unwrap(),
        holder: Name::new("Dr K").unwrap(),
        roles: Roles::of(&[Role::Cardiologist]),
    }
}

#[tokio::test]
async fn a_device_is_founded_another_one_joins_and_both_run() {
    let dir = tempfile::tempdir().unwrap();
    let (north, unit) = (place(dir.path(), "north"), place(dir.path(), "unit"));
    found(&north, &unlock(), &founding()).await.unwrap();
    let again = found(&north, &unlock(), &founding()).await;
    assert!(matches!(again, Err(SetupError::Desk(DeskError::Exists))));
    let mut office = Office::open(&north.data, &unlock()).unwrap();
    assert!(matches!(
        Office::open(&north.data, &unlock()),
        Err(OfficeError::InUse)
    ));
    let offer = Offer {
        roles: Roles::of(&[Role::Paramedic]),
        desk: None,
        valid_min: 60,
    };
    let cards = vec![office.own_card().unwrap().unwrap()];
    let mut desk = office.desk().unwrap();
    let invite = desk.invite(&offer, now_min()).unwrap();
    let holder = Name::new("Medic A").unwrap();
    let first = ask(&unit, &unlock(), &invite, holder.clone(), None).unwrap();
    let second = ask(&unit, &unlock(), &invite, holder, None).unwrap();
    assert_eq!(first.request, second.request);
    assert_eq!(asked(&unit, &unlock()).unwrap().words, first.words);
    let approved = desk.approve(&first.request, &cards, now_min()).unwrap();
    let identity = take(&unit, &unlock(), &approved.grant).unwrap();
    assert_eq!(identity.cards, cards);
    drop(office);
    for place in [&north, &unit] {
        let device = Device::open(&place.data, &place.state, &unlock()).unwrap();
        assert_eq!(device.restored(), None);
        device.start(How::default()).await.unwrap().stop().await;
    }
}
