//! Objects: the layers of an ECG, a photo, a voice note or a file, cut into chunks of at most
//! 1 KiB that are sealed one by one, so that any chunk can come from any peer and a transfer
//! resumes with a bitmap ([`crate::blobs`]).
//!
//! The [`Manifest`] travels inside the entry. Layout (PAYLOADS "Blobs"): `v 1 | object key 32 |
//! n varint, n x (layer 1 | size code 1 | bytes varint | BLAKE3 of the plaintext 32 | if layer >= 4:
//! name len varint, utf8 <= 80, empty = none)`, layers strictly ascending. A chunk is
//! ChaCha20-Poly1305 under `KDF(object key, "layer" + decimal layer)`, nonce = index,
//! AAD = `object8 | layer 1 | index u32 | total u32`.
//!
//! Invariants: one key seals one version of an object, a layer at most once; no layer is empty or
//! larger than [`limits::LAYER_BYTES`]. Not here: what a layer means, storing, requesting.

use crate::blobs::Blobs;
use crate::codec::{Malformed, Reader, Writer};
use crate::crypto::{self, Secret, TAG_BYTES};
use crate::id::Object8;
use crate::limits;
use std::fmt;

/// One layer of an object. A higher layer holds more of the truth: digest, beats, preview,
/// lossless, original; numbers from 5 are further files that belong to the original.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(u8);

impl Layer {
    /// Text of the alert, rates, intervals.
    pub const DIGEST: Layer = Layer(0);
    /// Average beats.
    pub const BEATS: Layer = Layer(1);
    /// Lossy trace or picture with stated error.
    pub const PREVIEW: Layer = Layer(2);
    /// Every sample.
    pub const LOSSLESS: Layer = Layer(3);
    /// The file as it was imported; further files follow from 5.
    pub const ORIGINAL: Layer = Layer(4);

    /// From its wire number, below [`limits::LAYERS_PER_OBJECT`].
    pub fn from_u8(n: u8) -> Result<Layer, Malformed> {
        if usize::from(n) < limits::LAYERS_PER_OBJECT {
            Ok(Layer(n))
        } else {
            Err(Malformed("layer beyond the limit"))
        }
    }

    /// Its wire number.
    pub fn to_u8(self) -> u8 {
        self.0
    }

    /// The layer as a quality: further files count as original.
    pub fn quality(self) -> Layer {
        self.min(Layer::ORIGINAL)
    }

    /// Its word, used wherever a person reads it.
    pub fn name(self) -> &'static str {
        ["digest", "beats", "preview", "lossless", "original"][usize::from(self.quality().0)]
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

/// A file name that cannot leave its folder or trick the eye: 1 to 80 bytes, no separator, no
/// control or text-direction character, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileName(String);

impl FileName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<FileName, Malformed> {
        let strange = |c: char| {
            c.is_control()
                || matches!(c, '/' | '\\' | ':' | '\u{200e}' | '\u{200f}')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        if name.is_empty() || name.len() > limits::FILE_NAME_BYTES {
            Err(Malformed("file name empty or over the limit"))
        } else if name == "." || name == ".." || name.chars().any(strange) {
            Err(Malformed("file name with a path or control character"))
        } else {
            Ok(FileName(name.to_owned()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Plaintext bytes of a full chunk as a code: 64 x 2^n, n <= 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSize(u8);

impl ChunkSize {
    /// 1 024 bytes, the most: for IP links.
    pub const LARGEST: ChunkSize = ChunkSize(4);

    /// From its code.
    pub fn from_code(code: u8) -> Result<ChunkSize, Malformed> {
        if code <= ChunkSize::LARGEST.0 {
            Ok(ChunkSize(code))
        } else {
            Err(Malformed("unknown chunk size"))
        }
    }

    /// Its code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// In bytes.
    pub fn bytes(self) -> u32 {
        64 << self.0
    }
}

/// What a manifest says of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Which layer.
    pub layer: Layer,
    /// File name, only from [`Layer::ORIGINAL`] up.
    pub name: Option<FileName>,
    /// Plaintext bytes, at least 1.
    pub bytes: u32,
    /// Size of its chunks; the last may be shorter.
    pub size: ChunkSize,
    /// BLAKE3 of the plaintext.
    pub hash: [u8; 32],
}

impl LayerInfo {
    /// Number of chunks, at least 1.
    pub fn total(&self) -> u32 {
        self.bytes.div_ceil(self.size.bytes())
    }

    /// Plaintext bytes of chunk `index`; `None` beyond the end.
    pub fn chunk_bytes(&self, index: u32) -> Option<u32> {
        let before = index.checked_mul(self.size.bytes())?;
        let left = self.bytes.checked_sub(before).filter(|left| *left > 0)?;
        Some(left.min(self.size.bytes()))
    }

    fn check(&self) -> Result<(), Malformed> {
        if self.bytes == 0 || self.bytes > limits::LAYER_BYTES {
            Err(Malformed("layer empty or over the limit"))
        } else if self.total() > limits::CHUNKS_PER_LAYER {
            Err(Malformed("chunks over the limit"))
        } else if self.name.is_some() && self.layer < Layer::ORIGINAL {
            Err(Malformed("only originals have a name"))
        } else {
            Ok(())
        }
    }
}

/// Why an object could not be sealed or put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The layer does not keep the bounds.
    #[error(transparent)]
    Layer(#[from] Malformed),
    /// The same layer was sealed already with this key.
    #[error("layer sealed twice with one key")]
    Twice,
    /// The manifest does not name this layer.
    #[error("no such layer")]
    NoSuchLayer,
    /// Chunks are missing, of a wrong length, or too many.
    #[error("chunks do not add up to the layer")]
    Length,
    /// The bytes are not what the manifest says.
    #[error("plaintext hash differs")]
    Hash,
}

/// Key and layers of one object; whoever reads the entry can open the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    key: Secret,
    layers: Vec<LayerInfo>,
}

const VERSION: u8 = 1;

impl Manifest {
    /// From its parts: 1 to [`limits::LAYERS_PER_OBJECT`] layers, strictly ascending.
    pub fn new(object_key: Secret, layers: Vec<LayerInfo>) -> Result<Manifest, Malformed> {
        if layers.is_empty() || layers.len() > limits::LAYERS_PER_OBJECT {
            return Err(Malformed("layers empty or over the limit"));
        }
        if layers.windows(2).any(|w| w[0].layer >= w[1].layer) {
            return Err(Malformed("layers not sorted"));
        }
        layers.iter().try_for_each(LayerInfo::check)?;
        Ok(Manifest {
            key: object_key,
            layers,
        })
    }

    /// Id under which carriers see the chunks.
    pub fn object(&self) -> Object8 {
        Object8::of_key(&self.key.0)
    }

    /// All layers, ascending.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// One layer.
    pub fn layer(&self, layer: Layer) -> Option<&LayerInfo> {
        self.layers.iter().find(|l| l.layer == layer)
    }

    /// Chunk count of each layer.
    pub fn totals(&self) -> impl Iterator<Item = (Layer, u32)> + '_ {
        self.layers.iter().map(|l| (l.layer, l.total()))
    }

    /// The highest quality up to which *every* layer is complete in `held` with the right number of
    /// chunks. *Original* needs all further files too. Never more than what is there.
    pub fn complete_up_to(&self, held: &Blobs) -> Option<Layer> {
        let object = self.object();
        let complete = |info: &&LayerInfo| {
            let chunks = held.0.get(&(object, info.layer.0));
            chunks.is_some_and(|c| c.total == info.total() && c.complete())
        };
        let n = self.layers.iter().take_while(complete).count();
        let next = self.layers.get(n).map(|l| l.layer.quality());
        let reached = self.layers[..n].iter().map(|l| l.layer.quality());
        reached.filter(|q| next != Some(*q)).max()
    }

    /// The layout above.
    pub fn write(&self, w: &mut Writer) {
        w.u8(VERSION).put(&self.key.0).count(self.layers.len());
        for l in &self.layers {
            w.u8(l.layer.0).u8(l.size.0).varint(l.bytes).put(&l.hash);
            if l.layer >= Layer::ORIGINAL {
                w.bytes(l.name.as_ref().map_or("", FileName::as_str).as_bytes());
            }
        }
    }

    /// Reads [`Manifest::write`].
    pub fn read(r: &mut Reader<'_>) -> Result<Manifest, Malformed> {
        if r.u8()? != VERSION {
            return Err(Malformed("unknown manifest version"));
        }
        let key = Secret(r.array()?);
        let n = r.count(limits::LAYERS_PER_OBJECT)?;
        let mut layers = Vec::with_capacity(n);
        for _ in 0..n {
            let (layer, size) = (Layer::from_u8(r.u8()?)?, ChunkSize::from_code(r.u8()?)?);
            let (bytes, hash) = (r.varint()?, r.array()?);
            let name = match layer {
                small if small < Layer::ORIGINAL => "",
                _ => std::str::from_utf8(r.bytes(limits::FILE_NAME_BYTES)?)
                    .map_err(|_| Malformed("text is not utf8"))?,
            };
            layers.push(LayerInfo {
                layer,
                name: match name {
                    "" => None,
                    name => Some(FileName::new(name)?),
                },
                bytes,
                size,
                hash,
            });
        }
        Manifest::new(key, layers)
    }
}

/// Seals the layers of one object version. The key is fresh randomness and is used by this sealer
/// only; that is why it does not implement `Clone`.
#[derive(Debug)]
pub struct Sealer {
    key: Secret,
    layers: Vec<LayerInfo>,
}

impl Sealer {
    /// A sealer for a new object.
    pub fn new(object_key: Secret) -> Sealer {
        Sealer {
            key: object_key,
            layers: Vec::new(),
        }
    }

    /// Seals one layer; returns its chunks in order, each with its tag.
    pub fn layer(
        &mut self,
        layer: Layer,
        name: Option<FileName>,
        size: ChunkSize,
        plaintext: &[u8],
    ) -> Result<Vec<Vec<u8>>, BlobError> {
        let info = LayerInfo {
            layer,
            name,
            bytes: u32::try_from(plaintext.len()).map_err(|_| Malformed("layer over the limit"))?,
            size,
            hash: *blake3::hash(plaintext).as_bytes(),
        };
        info.check()?;
        if self.layers.iter().any(|l| l.layer == layer) {
            return Err(BlobError::Twice);
        }
        let (object, key) = (Object8::of_key(&self.key.0), layer_key(&self.key, layer));
        let total = info.total();
        let chunks = (0u32..)
            .zip(plaintext.chunks(size.bytes() as usize))
            .map(|(index, part)| crypto::seal_chunk(&key, index, &aad(object, layer, index, total), part))
            .collect();
        self.layers.push(info);
        Ok(chunks)
    }

    /// The manifest for the entry.
    pub fn finish(mut self) -> Result<Manifest, BlobError> {
        self.layers.sort_by_key(|l| l.layer);
        Ok(Manifest::new(self.key, self.layers)?)
    }
}

/// Opens one chunk; `None` if it is not the chunk at this place, or was changed.
pub fn open_chunk(manifest: &Manifest, layer: Layer, index: u32, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let info = manifest.layer(layer)?;
    let bytes = info.chunk_bytes(index)? as usize;
    if ciphertext.len() != bytes + TAG_BYTES {
        return None;
    }
    let aad = aad(manifest.object(), layer, index, info.total());
    crypto::open_chunk(&layer_key(&manifest.key, layer), index, &aad, ciphertext)
}

/// The layer from its opened chunks in order, checked against length and hash of the manifest.
pub fn join<C: AsRef<[u8]>>(
    manifest: &Manifest,
    layer: Layer,
    chunks: impl IntoIterator<Item = C>,
) -> Result<Vec<u8>, BlobError> {
    let info = manifest.layer(layer).ok_or(BlobError::NoSuchLayer)?;
    let mut out = Vec::new();
    for (index, chunk) in (0u32..).zip(chunks) {
        let chunk = chunk.as_ref();
        if info.chunk_bytes(index).map(|n| n as usize) != Some(chunk.len()) {
            return Err(BlobError::Length);
        }
        out.extend_from_slice(chunk);
    }
    if out.len() != info.bytes as usize {
        Err(BlobError::Length)
    } else if *blake3::hash(&out).as_bytes() != info.hash {
        Err(BlobError::Hash)
    } else {
        Ok(out)
    }
}

fn layer_key(object_key: &Secret, layer: Layer) -> Secret {
    crypto::kdf(&object_key.0, &format!("layer{}", layer.0))
}

fn aad(object: Object8, layer: Layer, index: u32, total: u32) -> [u8; 17] {
    let mut out = [0u8; 17];
    out[..8].copy_from_slice(&object.0);
    out[8] = layer.0;
    out[9..13].copy_from_slice(&index.to_le_bytes());
    out[13..].copy_from_slice(&total.to_le_bytes());
    out
}

#[cfg(test)]
mod tests;
