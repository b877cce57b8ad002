//! The rows in which OpenMLS keeps one group, or our key packages, in memory.
//!
//! OpenMLS makes a dozen single writes in one operation and its storage trait knows no transaction.
//! So it writes here, and what changed leaves later as part of one atomic batch ([`Rows::drain`]).
//!
//! * One namespace holds one group. The group's id is therefore no part of a row's key, and two
//!   nodes with one group id and one epoch number can never touch each other's rows.
//! * Key: one byte of [`Kind`], then the CBOR of what tells rows of a kind apart, if anything does.
//! * Values are CBOR: OpenMLS supports self-describing formats only. They are wiped when dropped.

use crate::store::{Batch, Read, ReadError};
use openmls_traits::storage::{CURRENT_VERSION as V1, StorageProvider, traits};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use zeroize::Zeroizing;

/// First byte of a row's key. The numbers are on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    JoinConfig = 1,
    OwnLeafNodes = 2,
    Proposals = 3,
    Tree = 4,
    InterimTranscriptHash = 5,
    GroupContext = 6,
    ConfirmationTag = 7,
    GroupState = 8,
    MessageSecrets = 9,
    ResumptionPskStore = 10,
    OwnLeafIndex = 11,
    EpochSecrets = 12,
    ExportTree = 13,
    SignatureKeyPair = 14,
    EncryptionKeyPair = 15,
    EpochKeyPairs = 16,
    KeyPackage = 17,
    Psk = 18,
}

/// A row does not parse, or a value cannot be written as CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("mls row of kind {0} does not parse")]
pub(super) struct RowError(u8);

/// The rows and which of them the store does not have yet.
#[derive(Default)]
pub(super) struct Rows(RefCell<Inner>);

#[derive(Default)]
struct Inner {
    values: BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>,
    dirty: BTreeSet<Vec<u8>>,
}

/// A copy belongs to another namespace: all of its rows are still to be written there.
impl Clone for Rows {
    fn clone(&self) -> Rows {
        let inner = self.0.borrow();
        let values = inner.values.clone();
        let dirty = inner.dirty.iter().chain(values.keys()).cloned().collect();
        Rows(RefCell::new(Inner { values, dirty }))
    }
}

impl Rows {
    /// The rows under `prefix` of the store, clean.
    pub(super) fn load(store: &dyn Read, prefix: &[u8]) -> Result<Rows, ReadError> {
        let mut inner = Inner::default();
        store.scan(prefix, &mut |key, value| {
            let key = key[prefix.len()..].to_vec();
            inner.values.insert(key, Zeroizing::new(value.to_vec()));
            ControlFlow::Continue(())
        })?;
        Ok(Rows(RefCell::new(inner)))
    }

    /// Puts and deletes what changed since the last call. `key` makes the store's key of a row's.
    pub(super) fn drain(&self, key: impl Fn(&[u8]) -> Vec<u8>, batch: &mut Batch) {
        let inner = &mut *self.0.borrow_mut();
        for row in std::mem::take(&mut inner.dirty) {
            match inner.values.get(&row) {
                Some(value) => batch.put(key(&row), value.to_vec()),
                None => batch.delete(key(&row)),
            }
        }
    }

    /// Takes all rows of a kind out of a namespace that was not saved yet.
    pub(super) fn leave_out(&self, kind: Kind) {
        let inner = &mut *self.0.borrow_mut();
        let other = |row: &[u8]| row.first() != Some(&(kind as u8));
        inner.values.retain(|row, _| other(row));
        inner.dirty.retain(|row| other(row));
    }

    /// Deletes all rows of these kinds.
    pub(super) fn delete(&self, kinds: &[Kind]) {
        let inner = &mut *self.0.borrow_mut();
        let of_kinds = |row: &&Vec<u8>| kinds.iter().any(|kind| row.first() == Some(&(*kind as u8)));
        let gone: Vec<Vec<u8>> = inner.values.keys().filter(of_kinds).cloned().collect();
        for row in gone {
            inner.values.remove(&row);
            inner.dirty.insert(row);
        }
    }

    /// Puts zeros in the place of all bytes that a value holds, for a value that OpenMLS must find.
    pub(super) fn blank(&self, kind: Kind) -> Result<(), RowError> {
        let row = vec![kind as u8];
        let Some(mut value) = self.get::<ciborium::Value>(kind, &row)? else {
            return Ok(());
        };
        blank(&mut value);
        self.put(kind, row, &value)
    }

    /// The list of resumption secrets becomes empty, and stays so in all children.
    pub(super) fn keep_no_resumption(&self) -> Result<(), RowError> {
        let (kind, row) = (Kind::ResumptionPskStore, vec![Kind::ResumptionPskStore as u8]);
        let Some(ciborium::Value::Map(mut fields)) = self.get(kind, &row)? else {
            return Err(RowError(kind as u8));
        };
        for (_, field) in &mut fields {
            match field {
                ciborium::Value::Array(secrets) => secrets.clear(),
                // how many there may be, and where the next one goes
                number => *number = 0.into(),
            }
        }
        self.put(kind, row, &ciborium::Value::Map(fields))
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.count(kind) > 0
    }

    pub(super) fn count(&self, kind: Kind) -> usize {
        let inner = self.0.borrow();
        let of_kind = |row: &&Vec<u8>| row.first() == Some(&(kind as u8));
        inner.values.keys().filter(of_kind).count()
    }

    /// Deletes all rows.
    pub(super) fn delete_all(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.dirty.extend(std::mem::take(&mut inner.values).into_keys());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().values.is_empty()
    }

    /// Bytes of all values.
    #[cfg(test)]
    pub(super) fn size_bytes(&self) -> usize {
        self.0.borrow().values.values().map(|v| v.len()).sum()
    }

    fn key<K: Serialize>(kind: Kind, key: &K) -> Result<Vec<u8>, RowError> {
        let mut out = vec![kind as u8];
        ciborium::into_writer(key, &mut out).map_err(|_| RowError(kind as u8))?;
        Ok(out)
    }

    pub(super) fn put<T: Serialize>(&self, kind: Kind, row: Vec<u8>, value: &T) -> Result<(), RowError> {
        let mut out = Zeroizing::new(Vec::new());
        ciborium::into_writer(value, &mut *out).map_err(|_| RowError(kind as u8))?;
        let inner = &mut *self.0.borrow_mut();
        inner.values.insert(row.clone(), out);
        inner.dirty.insert(row);
        Ok(())
    }

    pub(super) fn get<T: DeserializeOwned>(&self, kind: Kind, row: &[u8]) -> Result<Option<T>, RowError> {
        let inner = self.0.borrow();
        let value = inner
            .values
            .get(row)
            .map(|bytes| ciborium::from_reader(&bytes[..]));
        value.transpose().map_err(|_| RowError(kind as u8))
    }

    fn remove(&self, row: Vec<u8>) {
        let inner = &mut *self.0.borrow_mut();
        if inner.values.remove(&row).is_some() {
            inner.dirty.insert(row);
        }
    }

    /// Appends to a row that is a list, read back as a `Vec`.
    fn append<T: Serialize>(&self, kind: Kind, value: &T) -> Result<(), RowError> {
        let row = vec![kind as u8];
        let mut list: Vec<ciborium::Value> = self.get(kind, &row)?.unwrap_or_default();
        list.push(ciborium::Value::serialized(value).map_err(|_| RowError(kind as u8))?);
        self.put(kind, row, &list)
    }
}

/// Methods on values of which a namespace holds one.
macro_rules! one_per_group {
    (put { $($put:ident [$($g:ident),*] $value:ident $pk:ident;)* }
     get { $($get:ident [$($h:ident),*] $out:ident $gk:ident;)* }
     delete { $($del:ident $dk:ident;)* }) => {
        $(fn $put<$($g: traits::$g<V1>),*>(&self, _: &GroupId, value: &$value) -> Result<(), RowError> {
            self.put(Kind::$pk, vec![Kind::$pk as u8], value)
        })*
        $(fn $get<$($h: traits::$h<V1>),*>(&self, _: &GroupId) -> Result<Option<$out>, RowError> {
            self.get(Kind::$gk, &[Kind::$gk as u8])
        })*
        $(fn $del<GroupId: traits::GroupId<V1>>(&self, _: &GroupId) -> Result<(), RowError> {
            self.remove(vec![Kind::$dk as u8]);
            Ok(())
        })*
    };
}

/// Methods on values that have a key of their own.
macro_rules! keyed {
    (put { $($put:ident [$($g:ident),*] $pkey:ident $value:ident $pk:ident;)* }
     get { $($get:ident [$($h:ident),*] $gkey:ident $out:ident $gk:ident;)* }
     delete { $($del:ident $dkey:ident $dk:ident;)* }) => {
        $(fn $put<$($g: traits::$g<V1>),*>(&self, key: &$pkey, value: &$value) -> Result<(), RowError> {
            self.put(Kind::$pk, Rows::key(Kind::$pk, key)?, value)
        })*
        $(fn $get<$($h: traits::$h<V1>),*>(&self, key: &$gkey) -> Result<Option<$out>, RowError> {
            self.get(Kind::$gk, &Rows::key(Kind::$gk, key)?)
        })*
        $(fn $del<$dkey: traits::$dkey<V1>>(&self, key: &$dkey) -> Result<(), RowError> {
            self.remove(Rows::key(Kind::$dk, key)?);
            Ok(())
        })*
    };
}

impl StorageProvider<V1> for Rows {
    type Error = RowError;

    one_per_group! {
        put {
        write_mls_join_config [GroupId, MlsGroupJoinConfig] MlsGroupJoinConfig JoinConfig;
        write_tree [GroupId, TreeSync] TreeSync Tree;
        write_interim_transcript_hash [GroupId, InterimTranscriptHash]
            InterimTranscriptHash InterimTranscriptHash;
        write_context [GroupId, GroupContext] GroupContext GroupContext;
        write_confirmation_tag [GroupId, ConfirmationTag] ConfirmationTag ConfirmationTag;
        write_group_state [GroupState, GroupId] GroupState GroupState;
        write_message_secrets [GroupId, MessageSecrets] MessageSecrets MessageSecrets;
        write_resumption_psk_store [GroupId, ResumptionPskStore] ResumptionPskStore ResumptionPskStore;
        write_own_leaf_index [GroupId, LeafNodeIndex] LeafNodeIndex OwnLeafIndex;
        write_group_epoch_secrets [GroupId, GroupEpochSecrets] GroupEpochSecrets EpochSecrets;
        write_application_export_tree [GroupId, ApplicationExportTree] ApplicationExportTree ExportTree;
        }
        get {
        mls_group_join_config [GroupId, MlsGroupJoinConfig] MlsGroupJoinConfig JoinConfig;
        tree [GroupId, TreeSync] TreeSync Tree;
        group_context [GroupId, GroupContext] GroupContext GroupContext;
        interim_transcript_hash [GroupId, InterimTranscriptHash] InterimTranscriptHash InterimTranscriptHash;
        confirmation_tag [GroupId, ConfirmationTag] ConfirmationTag ConfirmationTag;
        group_state [GroupState, GroupId] GroupState GroupState;
        message_secrets [GroupId, MessageSecrets] MessageSecrets MessageSecrets;
        resumption_psk_store [GroupId, ResumptionPskStore] ResumptionPskStore ResumptionPskStore;
        own_leaf_index [GroupId, LeafNodeIndex] LeafNodeIndex OwnLeafIndex;
        group_epoch_secrets [GroupId, GroupEpochSecrets] GroupEpochSecrets EpochSecrets;
        application_export_tree [GroupId, ApplicationExportTree] ApplicationExportTree ExportTree;
        }
        delete {
        delete_own_leaf_nodes OwnLeafNodes;
        delete_group_config JoinConfig;
        delete_tree Tree;
        delete_confirmation_tag ConfirmationTag;
        delete_group_state GroupState;
        delete_context GroupContext;
        delete_interim_transcript_hash InterimTranscriptHash;
        delete_message_secrets MessageSecrets;
        delete_all_resumption_psk_secrets ResumptionPskStore;
        delete_own_leaf_index OwnLeafIndex;
        delete_group_epoch_secrets EpochSecrets;
        }
    }

    keyed! {
        put {
        write_signature_key_pair [SignaturePublicKey, SignatureKeyPair]
            SignaturePublicKey SignatureKeyPair SignatureKeyPair;
        write_encryption_key_pair [EncryptionKey, HpkeKeyPair] EncryptionKey HpkeKeyPair EncryptionKeyPair;
        write_key_package [HashReference, KeyPackage] HashReference KeyPackage KeyPackage;
        write_psk [PskId, PskBundle] PskId PskBundle Psk;
        }
        get {
        signature_key_pair [SignaturePublicKey, SignatureKeyPair]
            SignaturePublicKey SignatureKeyPair SignatureKeyPair;
        encryption_key_pair [HpkeKeyPair, EncryptionKey] EncryptionKey HpkeKeyPair EncryptionKeyPair;
        key_package [HashReference, KeyPackage] HashReference KeyPackage KeyPackage;
        psk [PskBundle, PskId] PskId PskBundle Psk;
        }
        delete {
        delete_signature_key_pair SignaturePublicKey SignatureKeyPair;
        delete_encryption_key_pair EncryptionKey EncryptionKeyPair;
        delete_key_package HashReference KeyPackage;
        delete_psk PskId Psk;
        }
    }

    fn delete_application_export_tree<
        GroupId: traits::GroupId<V1>,
        ApplicationExportTree: traits::ApplicationExportTree<V1>,
    >(
        &self,
        _: &GroupId,
    ) -> Result<(), RowError> {
        self.remove(vec![Kind::ExportTree as u8]);
        Ok(())
    }

    fn append_own_leaf_node<GroupId: traits::GroupId<V1>, LeafNode: traits::LeafNode<V1>>(
        &self,
        _: &GroupId,
        leaf_node: &LeafNode,
    ) -> Result<(), RowError> {
        self.append(Kind::OwnLeafNodes, leaf_node)
    }

    fn own_leaf_nodes<GroupId: traits::GroupId<V1>, LeafNode: traits::LeafNode<V1>>(
        &self,
        _: &GroupId,
    ) -> Result<Vec<LeafNode>, RowError> {
        let kind = Kind::OwnLeafNodes;
        Ok(self.get(kind, &[kind as u8])?.unwrap_or_default())
    }

    fn write_encryption_epoch_key_pairs<
        GroupId: traits::GroupId<V1>,
        EpochKey: traits::EpochKey<V1>,
        HpkeKeyPair: traits::HpkeKeyPair<V1>,
    >(
        &self,
        _: &GroupId,
        epoch: &EpochKey,
        leaf_index: u32,
        key_pairs: &[HpkeKeyPair],
    ) -> Result<(), RowError> {
        let kind = Kind::EpochKeyPairs;
        self.put(kind, Rows::key(kind, &(epoch, leaf_index))?, &key_pairs)
    }

    fn encryption_epoch_key_pairs<
        GroupId: traits::GroupId<V1>,
        EpochKey: traits::EpochKey<V1>,
        HpkeKeyPair: traits::HpkeKeyPair<V1>,
    >(
        &self,
        _: &GroupId,
        epoch: &EpochKey,
        leaf_index: u32,
    ) -> Result<Vec<HpkeKeyPair>, RowError> {
        let kind = Kind::EpochKeyPairs;
        let row = Rows::key(kind, &(epoch, leaf_index))?;
        Ok(self.get(kind, &row)?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<GroupId: traits::GroupId<V1>, EpochKey: traits::EpochKey<V1>>(
        &self,
        _: &GroupId,
        epoch: &EpochKey,
        leaf_index: u32,
    ) -> Result<(), RowError> {
        self.remove(Rows::key(Kind::EpochKeyPairs, &(epoch, leaf_index))?);
        Ok(())
    }

    fn queue_proposal<
        GroupId: traits::GroupId<V1>,
        ProposalRef: traits::ProposalRef<V1>,
        QueuedProposal: traits::QueuedProposal<V1>,
    >(
        &self,
        _: &GroupId,
        proposal_ref: &ProposalRef,
        proposal: &QueuedProposal,
    ) -> Result<(), RowError> {
        self.append(Kind::Proposals, &(proposal_ref, proposal))
    }

    fn queued_proposals<
        GroupId: traits::GroupId<V1>,
        ProposalRef: traits::ProposalRef<V1>,
        QueuedProposal: traits::QueuedProposal<V1>,
    >(
        &self,
        _: &GroupId,
    ) -> Result<Vec<(ProposalRef, QueuedProposal)>, RowError> {
        let kind = Kind::Proposals;
        Ok(self.get(kind, &[kind as u8])?.unwrap_or_default())
    }

    fn queued_proposal_refs<GroupId: traits::GroupId<V1>, ProposalRef: traits::ProposalRef<V1>>(
        &self,
        _: &GroupId,
    ) -> Result<Vec<ProposalRef>, RowError> {
        let kind = Kind::Proposals;
        let list: Vec<(ProposalRef, IgnoredAny)> = self.get(kind, &[kind as u8])?.unwrap_or_default();
        Ok(list.into_iter().map(|(proposal_ref, _)| proposal_ref).collect())
    }

    fn remove_proposal<GroupId: traits::GroupId<V1>, ProposalRef: traits::ProposalRef<V1>>(
        &self,
        _: &GroupId,
        proposal_ref: &ProposalRef,
    ) -> Result<(), RowError> {
        let kind = Kind::Proposals;
        let gone = ciborium::Value::serialized(proposal_ref).map_err(|_| RowError(kind as u8))?;
        let list: Vec<Queued> = self.get(kind, &[kind as u8])?.unwrap_or_default();
        let list: Vec<_> = list.into_iter().filter(|queued| queued.0 != gone).collect();
        self.put(kind, vec![kind as u8], &list)
    }

    fn clear_proposal_queue<GroupId: traits::GroupId<V1>, ProposalRef: traits::ProposalRef<V1>>(
        &self,
        _: &GroupId,
    ) -> Result<(), RowError> {
        self.remove(vec![Kind::Proposals as u8]);
        Ok(())
    }
}

/// Zeros for all bytes in a value; OpenMLS writes some of them as lists of numbers.
fn blank(value: &mut ciborium::Value) {
    match value {
        ciborium::Value::Bytes(bytes) => bytes.fill(0),
        ciborium::Value::Array(list) => list.iter_mut().for_each(|item| match item {
            ciborium::Value::Integer(_) => *item = 0.into(),
            _ => blank(item),
        }),
        ciborium::Value::Map(pairs) => pairs.iter_mut().for_each(|(_, item)| blank(item)),
        _ => {}
    }
}

/// A queued proposal with its reference, of types that only OpenMLS knows.
#[derive(Serialize, Deserialize)]
struct Queued(ciborium::Value, ciborium::Value);
