//! The listener: a Unix socket that takes connections of this node's own user and of root.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream, unix};

/// Pause after the system refused a connection, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// The user whose connections are taken, beside root.
    user: u32,
}

impl Listener {
    /// Binds `path` with mode 0600. A socket that is there already is replaced; anything else is not.
    pub fn bind(path: &Path) -> io::Result<Listener> {
        match path.symlink_metadata() {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(why),
        }
        let socket = UnixListener::bind(path)?;
        // until here the folder's own mode keeps others out, and each connection's user is asked for
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let user = rustix::process::geteuid().as_raw();
        Ok(Listener { socket, user })
    }

    fn takes(&self, stream: &UnixStream) -> bool {
        match stream.peer_cred() {
            Ok(peer) if may_speak(peer.uid(), self.user) => true,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "another user was refused at the socket");
                false
            }
            Err(why) => {
                tracing::warn!(kind = ?why.kind(), "a connection without a user was refused");
                false
            }
        }
    }
}

/// This node's own user, and root, who could read its memory anyway.
fn may_speak(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

impl axum::serve::Listener for Listener {
    type Io = UnixStream;
    type Addr = unix::SocketAddr;

    async fn accept(&mut self) -> (UnixStream, unix::SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, address)) if self.takes(&stream) => return (stream, address),
                Ok(_) => {}
                Err(why) => {
                    tracing::warn!(kind = ?why.kind(), "a connection was not taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<unix::SocketAddr> {
        self.socket.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_may_speak() {
        assert!(may_speak(1000, 1000) && may_speak(0, 1000));
        assert!(!may_speak(1001, 1000) && !may_speak(1000, 0));
    }

    #[tokio::test]
    async fn connections_of_another_user_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let mut listener = Listener::bind(&path).unwrap();
        let (ours, _theirs) = tokio::join!(UnixStream::connect(&path), listener.socket.accept());
        let ours = ours.unwrap();
        let uid = ours.peer_cred().unwrap().uid();
        assert!(listener.takes(&ours));
        // a node of somebody else: only root may speak to it too
        listener.user = uid + 1;
        assert_eq!(listener.takes(&ours), uid == 0);
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(Listener::bind(&path).unwrap());
        assert!(path.exists(), "a dead node leaves it");
        let listener = Listener::bind(&path).unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(listener);
        let file = folder.path().join("file");
        std::fs::write(&file, "precious").unwrap();
        let refused = Listener::bind(&file).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(Listener::bind(&link).is_err());
        assert!(link.symlink_metadata().is_ok(), "a link is left alone too");
    }
}
