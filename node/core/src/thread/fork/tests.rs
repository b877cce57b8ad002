//! Small trees of commits, built by hand: no keys, no sockets, only who made what and who stands where.

use super::*;
use crate::directory::{DeviceCert, Role, ThreadKind};
use crate::group::control::{Commit, MadeBy, Object};
use crate::group::fixture::{Device, OWNER, genesis};
use crate::group::keys::KeyRing;
use crate::group::membership::{Life, Member};
use crate::id::{Handle, OpId, Slot, ThreadId};
use crate::thread::{Author, CommitInfo};
use bytes::Bytes;

const ROOT: NodeId = NodeId([0xff; 16]);

fn node(n: u8) -> NodeId {
    NodeId([n; 16])
}

fn cert(n: u8) -> DeviceCert {
    Device::new(n, Role::Nurse, OWNER).cert
}

fn dev(n: u8) -> Dev {
    cert(n).dev()
}

/// A thread whose members are devices 1 to `members`, all able to read the root.
struct Tree {
    thread: Thread,
    sight: Sight,
}

impl Tree {
    fn new(members: u8) -> Tree {
        let mut thread = Thread::new(ThreadId([3; 16]), KeyRing::new());
        thread.root = ROOT;
        for n in 1..=members {
            let (slot, cert) = (Slot([n; 4]), cert(n));
            let (dev, key) = (cert.dev(), cert.device_key);
            let life = Life {
                slot,
                device_key: key,
                add: OpId([n; 16]),
            };
            thread.membership.ever.insert((dev, 1), life);
            let member = Member {
                inc: 1,
                role: Role::Nurse,
                slot,
                device_key: key,
                tier: 3,
                kp_hash: None,
                add: OpId([n; 16]),
            };
            thread.membership.members.insert(dev, member);
            thread.slots.insert(slot, Author { dev, key, cert });
        }
        let all = (1..=members).map(|n| (dev(n), 1)).collect();
        thread.rosters.insert(ROOT, all);
        let founder = Device::new(1, Role::Nurse, OWNER);
        if let Object::Genesis(genesis) = genesis(&founder, ThreadKind::Patient).object() {
            thread.genesis = Some((**genesis).clone());
        }
        let sight = Sight {
            lowest_id: false,
            keeps_ended: false,
            votes: vec![],
            ended: vec![],
            backers: OnceCell::new(),
        };
        Tree { thread, sight }
    }

    /// A commit of a device; its roster is that of its parent.
    fn commit(&mut self, id: u8, parent: NodeId, by: u8) -> NodeId {
        let node = self.commit_of(id, parent, by);
        let roster = self.thread.rosters[&parent].clone();
        self.thread.rosters.insert(node, roster);
        node
    }

    /// A commit of a device whose ops are not here.
    fn commit_of(&mut self, id: u8, parent: NodeId, by: u8) -> NodeId {
        let header = Commit {
            parent,
            author: Slot([by; 4]),
            made_by: MadeBy::Member,
            adds: vec![],
            removes: vec![],
            key: None,
            body: Bytes::new(),
        };
        let info = CommitInfo {
            ops: [OpId([id; 16])].into(),
            header,
            bytes: Bytes::new(),
        };
        self.thread.commits.insert(node(id), info);
        self.thread.children.entry(parent).or_default().insert(node(id));
        node(id)
    }

    fn vote(&mut self, by: u8, at: NodeId) {
        self.sight.votes.retain(|(voter, _)| *voter != dev(by));
        self.sight.votes.push((dev(by), at));
    }

    fn end(&mut self, of: u8, as_of: NodeId) {
        self.sight.ended.push((dev(of), 1, as_of));
        self.thread.membership.members.remove(&dev(of));
    }

    fn head(&mut self) -> NodeId {
        self.sight.backers.take();
        self.thread.walk(&self.sight, |_| true)
    }
}

/// Two children of the root, by devices 1 and 2; the first returned wins while nobody votes.
fn two_children(members: u8) -> (Tree, (NodeId, u8), (NodeId, u8)) {
    let mut tree = Tree::new(members);
    let (a, b) = (tree.commit(10, ROOT, 1), tree.commit(20, ROOT, 2));
    match tree.head() == a {
        true => (tree, (a, 1), (b, 2)),
        false => (tree, (b, 2), (a, 1)),
    }
}

#[test]
fn a_path_without_forks_is_walked_to_its_end() {
    let mut tree = Tree::new(3);
    assert_eq!(tree.head(), ROOT);
    let one = tree.commit(10, ROOT, 1);
    let two = tree.commit(9, one, 2);
    assert_eq!(tree.head(), two);
}

#[test]
fn the_word_of_another_beats_the_number_and_a_majority_beats_both() {
    let (mut tree, (low, low_by), (high, _)) = two_children(5);
    assert_eq!(tree.head(), low);
    tree.vote(low_by, low);
    assert_eq!(tree.head(), low, "its author's own word changes nothing");
    tree.vote(3, high);
    assert_eq!(tree.head(), high);
    // two of five, one of them another than the author: equal in kind, so the number decides
    tree.vote(4, low);
    assert_eq!(tree.head(), low);
    tree.vote(5, high);
    tree.vote(if low_by == 1 { 2 } else { 1 }, high);
    assert_eq!(tree.head(), high, "three of five");
}

#[test]
fn a_vote_farther_on_counts_for_all_before_it() {
    let (mut tree, (low, _), (high, by)) = two_children(3);
    let next = tree.commit(30, high, by);
    tree.vote(3, next);
    tree.vote(by, next);
    assert_eq!(tree.head(), next);
    assert_ne!(tree.head(), low);
}

#[test]
fn the_number_is_not_the_commits_to_choose() {
    let (mut tree, (low, by), (_, other)) = two_children(4);
    // whatever ids their commits have, the same author wins on this parent
    for n in 1..100 {
        let mut again = Tree::new(4);
        let mine = again.commit(n, ROOT, by);
        again.commit(200 - n, ROOT, other);
        assert_eq!(again.head(), mine);
    }
    assert_eq!(tree.head(), low);
}

#[test]
fn commits_of_a_removed_author_are_left_out_unless_said_in_sight_or_held_by_most() {
    let (mut tree, (low, by), (high, other)) = two_children(5);
    tree.vote(by, low);
    tree.end(by, ROOT);
    assert_eq!(tree.head(), high);
    // said by somebody who stood on it
    tree.sight.ended[0].2 = low;
    tree.vote(other, low);
    assert_eq!(tree.head(), low);
    // said elsewhere, but most of those who could read the parent are on it
    tree.sight.ended[0].2 = high;
    assert_eq!(tree.head(), high);
    for n in [3, 4] {
        tree.vote(n, low);
    }
    assert_eq!(tree.head(), low);
}

#[test]
fn a_thread_outlives_the_removal_of_all_who_read_its_beginning() {
    let mut tree = Tree::new(3);
    tree.thread.rosters.insert(ROOT, [(dev(1), 1)].into());
    let first = tree.commit(10, ROOT, 1);
    let all = (1..=3).map(|n| (dev(n), 1)).collect();
    tree.thread.rosters.insert(first, all);
    let second = tree.commit(20, first, 2);
    for n in [2, 3] {
        tree.vote(n, second);
    }
    // the founder is removed by a word that names the root
    tree.end(1, ROOT);
    assert_eq!(tree.head(), second);
}

#[test]
fn only_candidates_and_their_way_are_walked() {
    let (mut tree, (low, _), (high, _)) = two_children(3);
    tree.thread.rosters.remove(&low);
    assert_eq!(tree.head(), high, "ops of the other do not count here");
    let next = tree.commit(30, high, 3);
    assert_eq!(tree.thread.walk(&tree.sight, |n| n == next), next);
    assert_eq!(tree.thread.walk(&tree.sight, |n| n == high), high);
    assert_eq!(tree.thread.walk(&tree.sight, |_| false), ROOT);
}

#[test]
fn a_head_counts_once_commits_lead_to_its_node() {
    let mut tree = Tree::new(2);
    let one = tree.commit(10, ROOT, 1);
    assert!(tree.thread.is_connected(ROOT));
    assert!(tree.thread.is_connected(one));
    assert!(!tree.thread.is_connected(node(77)));
}

#[test]
fn no_key_is_written_under_where_the_path_is_not_whole() {
    let mut tree = Tree::new(2);
    let one = tree.commit(10, ROOT, 1);
    tree.thread.genesis_op = OpId([1; 16]);
    tree.thread.makers.insert(OpId([1; 16]), Handle([5; 8]));
    assert_eq!(tree.thread.path_key(one), Some(Handle([5; 8])));
    // a Welcome led here, the commits between are not here yet: the key of the genesis may be an old one
    let beyond = tree.commit_of(30, node(77), 1);
    assert_eq!(tree.thread.path_key(node(77)), None);
    assert_eq!(tree.thread.path_key(beyond), None);
}

#[test]
fn nothing_is_sealed_before_a_commit_that_cannot_be_read_yet() {
    let mut tree = Tree::new(2);
    assert!(!tree.thread.goes_on_unread(ROOT));
    let child = tree.commit_of(10, ROOT, 1);
    assert!(tree.thread.goes_on_unread(ROOT), "its ops are not here");
    let roster = tree.thread.rosters[&ROOT].clone();
    tree.thread.rosters.insert(child, roster);
    assert!(!tree.thread.goes_on_unread(ROOT));
    let waiting = tree.thread.commits[&child].header.clone();
    tree.thread.unbuilt.insert(OpId([9; 16]), waiting);
    assert!(tree.thread.goes_on_unread(ROOT), "its key packages are not here");
    tree.thread.unbuilt.clear();
    // of another it may name what never was: nobody waits for that
    tree.commit_of(20, ROOT, 2);
    assert!(!tree.thread.goes_on_unread(ROOT));
    // nor for a founder who could not read the node
    tree.commit_of(30, ROOT, 1);
    assert!(tree.thread.goes_on_unread(ROOT));
    tree.thread.rosters.get_mut(&ROOT).unwrap().remove(&dev(1));
    assert!(!tree.thread.goes_on_unread(ROOT));
}
