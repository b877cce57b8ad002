//! Blobs of a thread: chunks are taken once an entry has named their object, each checked by its
//! own AEAD; a layer is told when its last chunk is here and the whole equals its hash.

use super::content::Absorbed;
use super::{Object, Thread};
use crate::blob::{self, Layer, Manifest};
use crate::blobs::Chunks;
use crate::envelope::{Class, Envelope};
use crate::id::Object8;
use crate::machine::command::EntryRef;
use crate::machine::ctx::Ctx;
use crate::machine::event::Event;
use crate::store::{Read, ReadError, table};
use bytes::Bytes;

impl Thread {
    /// An entry named this object.
    pub(super) fn learn_object(&mut self, entry: EntryRef, class: Class, manifest: Manifest) {
        let object = manifest.object();
        for (layer, total) in manifest.totals() {
            self.blobs
                .0
                .entry((object, layer.to_u8()))
                .or_insert_with(|| Chunks::none_of(total));
        }
        self.objects.entry(object).or_insert(Object {
            entry,
            manifest,
            class,
        });
    }

    /// The chunks of an own object are all here.
    pub(crate) fn own_chunks(&mut self, manifest: &Manifest) {
        for (layer, total) in manifest.totals() {
            self.blobs
                .0
                .insert((manifest.object(), layer.to_u8()), Chunks::all_of(total));
        }
    }

    /// Chunks of an object that [`Thread::own_chunks`] took and no entry names.
    pub(crate) fn take_back_chunks(&mut self, ctx: &mut Ctx<'_>, manifest: &Manifest) {
        let object = manifest.object();
        for (layer, total) in manifest.totals() {
            let layer = layer.to_u8();
            self.blobs.0.remove(&(object, layer));
            for index in 0..total {
                ctx.batch().delete(table::chunk(self.id, object, layer, index));
            }
        }
    }

    /// Class in which the chunks of a layer travel: digest and beats with their entry, preview and
    /// lossless as clinical, the rest in bulk.
    pub(crate) fn chunk_class(&self, object: Object8, layer: u8) -> Class {
        let entry = self.objects.get(&object).map_or(Class::Bulk, |o| o.class);
        match layer {
            0 | 1 => entry,
            2 | 3 => entry.max(Class::Clinical),
            _ => Class::Bulk,
        }
    }

    /// Takes a chunk.
    pub(super) fn absorb_chunk(
        &mut self,
        ctx: &mut Ctx<'_>,
        envelope: &Envelope,
        (object, layer, index): (Object8, u8, u32),
    ) -> Absorbed {
        let Some(known) = self.objects.get(&object) else {
            return Absorbed::Useless;
        };
        let held = self.blobs.0.get(&(object, layer));
        if held.is_none_or(|c| c.contains(index) || index >= c.total) {
            return Absorbed::Useless;
        }
        let Ok(number) = Layer::from_u8(layer) else {
            return Absorbed::Junk("unknown layer");
        };
        if blob::open_chunk(&known.manifest, number, index, &envelope.payload).is_none() {
            return Absorbed::Junk("chunk does not open");
        }
        let entry = known.entry;
        ctx.batch().put(
            table::chunk(self.id, object, layer, index),
            envelope.payload.clone(),
        );
        let chunks = self.blobs.0.get_mut(&(object, layer)).expect("looked up above");
        chunks.insert(index);
        let complete = chunks.complete() || ctx.flaws.layer_told_early;
        ctx.offer(self.id);
        if complete {
            self.layer_complete(ctx, entry, object, layer);
        }
        Absorbed::New
    }

    /// Checks the whole layer against its hash; a wrong one is thrown away and asked for again.
    fn layer_complete(&mut self, ctx: &mut Ctx<'_>, entry: EntryRef, object: Object8, layer: u8) {
        let view = ctx.tx.view(ctx.store);
        let whole = self.read_layer(&view, object, layer);
        drop(view);
        if matches!(whole, Ok(Some(_))) || ctx.flaws.layer_told_early {
            self.due_head(ctx);
            ctx.event(Event::LayerArrived {
                thread: self.id,
                entry,
                layer,
            });
            return;
        }
        let total = self.blobs.0.get(&(object, layer)).map_or(0, |c| c.total);
        for index in 0..total {
            ctx.batch().delete(table::chunk(self.id, object, layer, index));
        }
        self.blobs
            .0
            .insert((object, layer), Chunks::none_of(total.max(1)));
    }

    /// The bytes of a complete layer, checked; `None` if chunks are missing or it is not right.
    pub(crate) fn read_layer(
        &self,
        store: &dyn Read,
        object: Object8,
        layer: u8,
    ) -> Result<Option<Bytes>, ReadError> {
        let Some(known) = self.objects.get(&object) else {
            return Ok(None);
        };
        let Ok(number) = Layer::from_u8(layer) else {
            return Ok(None);
        };
        let Some(chunks) = self.blobs.0.get(&(object, layer)).filter(|c| c.complete()) else {
            return Ok(None);
        };
        let mut opened = Vec::with_capacity(chunks.total as usize);
        for index in 0..chunks.total {
            let Some(sealed) = store.get(&table::chunk(self.id, object, layer, index))? else {
                return Ok(None);
            };
            let Some(part) = blob::open_chunk(&known.manifest, number, index, &sealed) else {
                return Ok(None);
            };
            opened.push(part);
        }
        Ok(blob::join(&known.manifest, number, opened).ok().map(Bytes::from))
    }
}
