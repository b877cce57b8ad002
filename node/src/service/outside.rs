//! What lies outside the machine: the files of a device and of its organisation.

use super::faults::{self, Failure};
use crate::device::{DeviceError, Running};
use aidmesh_core::machine::command::Card;
use aidmesh_host::node::NodeError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

/// What a service asks of the files.
pub trait Outside: Send + Sync {
    /// Reads what was done in the files of the organisation and tells the node. Whether anything was new.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<bool, Failure>> + Send + '_>>;
    /// The newest card that this device hands out, if it has one.
    fn own_card(&self) -> Option<Card>;
}

/// Weak, so that whoever runs the device can stop it while somebody still asks.
impl Outside for Weak<Running> {
    fn reload(&self) -> Pin<Box<dyn Future<Output = Result<bool, Failure>> + Send + '_>> {
        Box::pin(async move {
            let running = self.upgrade();
            let running = running.ok_or_else(|| faults::node(NodeError::Stopped))?;
            running.reload().await.map_err(not_reloaded)
        })
    }

    fn own_card(&self) -> Option<Card> {
        self.upgrade()?.identity().own_cards.pop()
    }
}

fn not_reloaded(why: DeviceError) -> Failure {
    match why {
        DeviceError::Node(why) => faults::node(why),
        why => faults::not_read(why),
    }
}
