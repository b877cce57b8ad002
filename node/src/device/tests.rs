use super::*;
use crate::org::desk::{Founding, create};
use aidmesh_core::directory::{Name, Role, Roles};
use aidmesh_core::machine::ThreadView;
use aidmesh_host::store::EngineKind;

fn unlock() -> Unlock {
    Unlock::KeyFile(Zeroizing::new([7; 32]))
}

/// A founded organisation in `data`; the count of its device in `state`.
fn found(data: &Path, state: &Path) {
    let folder = Folder::create(data, EngineKind::Sled).unwrap();
    let mut own = Vault::create(&folder.vault_path(), &unlock()).unwrap();
    let mut org = Vault::create(&folder.org_path(), &unlock()).unwrap();
    let new = Founding {
        organisation: Name::new("Hospital North").unwrap(),
        holder: Name::new("Dr K").unwrap(),
        roles: Roles::of(&[Role::Cardiologist, Role::ItAdmin]),
    };
    create(&mut org, &mut own, &new, crate::org::now_min()).unwrap();
    let identity = IdentityFile::load(&own).unwrap().unwrap();
    let key8 = Key8::of_key(&identity.keys.device.public());
    Openings::begin(state, key8.0).unwrap();
}

async fn threads(running: &Running) -> Vec<ThreadView> {
    let look = |machine: &aidmesh_core::machine::Machine| {
        let views = machine.threads().into_iter().filter_map(|id| machine.view(id));
        views.collect::<Vec<_>>()
    };
    running
        .handle()
        .read(move |machine, _| look(machine))
        .await
        .unwrap()
}

async fn new_thread(running: &Running) -> Result<(), NodeError> {
    let create = Command::CreateThread {
        kind: aidmesh_core::directory::ThreadKind::Patient,
        history: aidmesh_core::group::control::History::All,
        suite: Suite::XWing,
        title: "7K2".to_owned(),
    };
    running.handle().command(create).await.map(|_| ())
}

#[tokio::test]
async fn a_device_has_a_card_and_finds_its_threads_again() {
    let dir = tempfile::tempdir().unwrap();
    let (data, state) = (dir.path().join("data"), dir.path().join("state"));
    found(&data, &state);
    let how = How::default;
    let running = Device::open(&data, &state, &unlock())
        .unwrap()
        .start(how())
        .await
        .unwrap();
    let card = running.identity().own_cards;
    assert_eq!(card.len(), 1);
    new_thread(&running).await.unwrap();
    assert!(matches!(
        Device::open(&data, &state, &unlock()),
        Err(DeviceError::Folder(FolderError::InUse { .. }))
    ));
    running.stop().await;
    let device = Device::open(&data, &state, &unlock()).unwrap();
    assert_eq!(device.restored(), None);
    let running = device.start(how()).await.unwrap();
    assert_eq!(running.identity().own_cards, card);
    let threads = threads(&running).await;
    assert_eq!((threads.len(), threads[0].stopped), (1, None));
    running.stop().await;
}

#[tokio::test]
async fn a_copied_folder_is_treated_as_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, state) = (dir.path().join("data"), dir.path().join("state"));
    found(&data, &state);
    let running = Device::open(&data, &state, &unlock())
        .unwrap()
        .start(How::default())
        .await
        .unwrap();
    new_thread(&running).await.unwrap();
    running.stop().await;
    let copy = dir.path().join("copy");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&data, &copy])
        .status();
    assert!(copied.unwrap().success());
    let device = Device::open(&copy, &state, &unlock()).unwrap();
    assert_eq!(device.restored(), Some(Restored::OtherStore));
    let running = device.start(How::default()).await.unwrap();
    assert!(
        threads(&running).await[0].stopped.is_some(),
        "nothing is sealed by a copy"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_key_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, state) = (dir.path().join("data"), dir.path().join("state"));
    found(&data, &state);
    let wrong = Unlock::KeyFile(Zeroizing::new([8; 32]));
    assert!(matches!(
        Device::open(&data, &state, &wrong),
        Err(DeviceError::Vault(VaultError::Wrong))
    ));
}
