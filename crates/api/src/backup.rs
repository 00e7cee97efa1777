//! Backups: what a sound one is, for whoever writes, keeps or reads one.
//!
//! A backup is a row of [`BackupChunk`]s: a head, then each group and the pieces of its state, and
//! an end with a checksum over all before it. In a file they follow [`MAGIC`], each after its length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use crate::cluster::backup_chunk::Part;
use crate::cluster::{BackupChunk, BackupHead};

#[cfg(test)]
mod tests;

/// What a file starts with: its kind and layout.
pub const MAGIC: &[u8; 8] = b"QTMBACK1";

/// The longest chunk in a file.
pub const CHUNK_BYTES_MAX: usize = 4 << 20;

/// What is wrong with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    #[error("this is no backup of this version")]
    Magic,
    #[error("it ends in the middle")]
    Short,
    #[error("a chunk cannot be decoded")]
    Malformed,
    #[error("its parts are not in order")]
    Order,
    #[error("the checksum is wrong")]
    Sum,
}

/// Checks a backup as its chunks go by.
#[derive(Debug, Default)]
pub struct Check {
    head: Option<BackupHead>,
    groups: u32,
    sum: crc32fast::Hasher,
    ended: bool,
}

// === impl Check ===

impl Check {
    /// Looks at the next chunk.
    pub fn take(&mut self, chunk: &BackupChunk) -> Result<(), Unsound> {
        let part = chunk.part.as_ref().ok_or(Unsound::Malformed)?;
        let in_order = match part {
            _ if self.ended => false,
            Part::Head(_) => self.head.is_none(),
            Part::Group(_) => self.head.is_some(),
            Part::Piece(_) => self.groups > 0,
            Part::End(_) => self
                .head
                .as_ref()
                .is_some_and(|head| self.groups == head.groups),
        };
        if !in_order {
            return Err(Unsound::Order);
        }
        match part {
            Part::Head(head) => self.head = Some(head.clone()),
            Part::Group(_) => self.groups += 1,
            Part::Piece(_) => {}
            Part::End(end) => {
                self.ended = true;
                return match self.sum() == end.crc32 {
                    true => Ok(()),
                    false => Err(Unsound::Sum),
                };
            }
        }
        self.sum.update(&chunk.encode_to_vec());
        Ok(())
    }

    /// The checksum of what was looked at.
    pub fn sum(&self) -> u32 {
        self.sum.clone().finalize()
    }

    /// The head of a backup that was looked at from its head to its end.
    pub fn end(self) -> Result<BackupHead, Unsound> {
        match (self.ended, self.head) {
            (true, Some(head)) => Ok(head),
            _ => Err(Unsound::Short),
        }
    }
}

/// A chunk as it stands in a file.
pub fn frame(chunk: &BackupChunk) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + chunk.encoded_len());
    out.put_u32_le(u32::try_from(chunk.encoded_len()).expect("a chunk has megabytes at most"));
    chunk.encode(&mut out).expect("a buffer grows");
    out.freeze()
}

/// The next chunk of a file; none at its end.
pub fn read(input: &mut impl std::io::Read) -> std::io::Result<Option<BackupChunk>> {
    let damaged = |what: Unsound| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match input.read(&mut length[have..])? {
            0 if have == 0 => return Ok(None),
            0 => return Err(damaged(Unsound::Short)),
            more => have += more,
        }
    }
    let length = (&length[..]).get_u32_le() as usize;
    if length > CHUNK_BYTES_MAX {
        return Err(damaged(Unsound::Malformed));
    }
    let mut bytes = vec![0; length];
    input
        .read_exact(&mut bytes)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged(Unsound::Short),
            _ => error,
        })?;
    let chunk = BackupChunk::decode(Bytes::from(bytes));
    chunk.map(Some).map_err(|_| damaged(Unsound::Malformed))
}
