//! The bytes of one record.
//!
//! Each record names its segment, so that what a recycled file held before is not taken for new,
//! and how much of the log was on disk when it was written: that tells a torn tail from damage.

use prost::Message;
use quotum_api::peer;

use super::ShardId;
use crate::limits::RECORD_BYTES_MAX;
use crate::raft::{Entry, LogId, Vote};
use crate::wire::{
    entry_from_wire, entry_to_wire, log_id_from_wire, log_id_to_wire, vote_from_wire, vote_to_wire,
};

/// Length, checksum, segment, watermark, kind, shard.
pub(crate) const HEADER_BYTES: usize = 32;

/// Records start at multiples of this.
pub(crate) const ALIGN: usize = 8;

/// A place in the log: segments in their order, and bytes within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u32,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Record {
    Entry(ShardId, Entry),
    Vote(ShardId, Vote),
    /// Entries from this index on are gone.
    Truncate(ShardId, u64),
    /// Entries up to this one are in a snapshot.
    Purge(ShardId, LogId),
    /// Nothing but the watermark of its header.
    Mark,
    /// The segment ends here.
    Seal,
}

/// A record that was found sound.
#[derive(Debug)]
pub(crate) struct Framed<'a> {
    pub(crate) synced: Place,
    /// Bytes to the next record.
    pub(crate) length: usize,
    kind: u8,
    shard: ShardId,
    body: &'a [u8],
}

// === impl Record ===

impl Record {
    /// Appends the record to `out`, whose end must be a multiple of [`ALIGN`].
    pub(crate) fn encode(self, segment: u64, synced: Place, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let (kind, shard): (u32, ShardId) = match self {
            Self::Entry(shard, entry) => {
                entry_to_wire(entry).encode(out).expect("a vector grows");
                (1, shard)
            }
            Self::Vote(shard, vote) => {
                vote_to_wire(&vote).encode(out).expect("a vector grows");
                (2, shard)
            }
            Self::Truncate(shard, from) => {
                out.extend_from_slice(&from.to_le_bytes());
                (3, shard)
            }
            Self::Purge(shard, id) => {
                log_id_to_wire(&id).encode(out).expect("a vector grows");
                (4, shard)
            }
            Self::Mark => (5, ShardId(0)),
            Self::Seal => (6, ShardId(0)),
        };
        let body = out.len() - start - HEADER_BYTES;
        assert!(
            body <= RECORD_BYTES_MAX,
            "a record of {body} bytes was let through"
        );
        out.resize(out.len().next_multiple_of(ALIGN), 0);
        let length = u32::try_from(body).expect("below RECORD_BYTES_MAX");
        let header = &mut out[start..start + HEADER_BYTES];
        header[0..4].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&segment.to_le_bytes());
        header[16..20].copy_from_slice(&synced.offset.to_le_bytes());
        // Segments are never more than a few apart: 32 bits of the watermark's number suffice.
        let behind = u32::try_from(segment - synced.segment).expect("a watermark near its record");
        header[20..24].copy_from_slice(&behind.to_le_bytes());
        header[24..28].copy_from_slice(&kind.to_le_bytes());
        header[28..32].copy_from_slice(&shard.0.to_le_bytes());
        let sum = crc32fast::hash(&out[start + 8..start + HEADER_BYTES + body]);
        out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    }

    /// The most bytes that the record takes.
    pub(crate) fn bytes_max(&self) -> usize {
        let body = match self {
            Self::Entry(_, entry) => match &entry.payload {
                openraft::EntryPayload::Normal(payload) => payload.0.len() + 64,
                openraft::EntryPayload::Blank => 64,
                openraft::EntryPayload::Membership(_) => entry_to_wire(entry.clone()).encoded_len(),
            },
            _ => 64,
        };
        (HEADER_BYTES + body).next_multiple_of(ALIGN)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// The sound record of `segment` that starts at `bytes`, if there is one.
pub(crate) fn frame(bytes: &[u8], segment: u64) -> Option<Framed<'_>> {
    let header = bytes.get(..HEADER_BYTES)?;
    if header[8..16] != segment.to_le_bytes() {
        return None;
    }
    let length = number(header, 0) as usize;
    if length > RECORD_BYTES_MAX {
        return None;
    }
    let summed = bytes.get(8..HEADER_BYTES + length)?;
    if crc32fast::hash(summed) != number(header, 4) {
        return None;
    }
    Some(Framed {
        synced: Place {
            segment: segment.checked_sub(u64::from(number(header, 20)))?,
            offset: number(header, 16),
        },
        length: (HEADER_BYTES + length).next_multiple_of(ALIGN),
        kind: u8::try_from(number(header, 24)).ok()?,
        shard: ShardId(number(header, 28)),
        body: &bytes[HEADER_BYTES..HEADER_BYTES + length],
    })
}

// === impl Framed ===

impl Framed<'_> {
    /// What the record says, or what is wrong with a record whose checksum is right.
    pub(crate) fn decode(&self) -> Result<Record, &'static str> {
        const NOT_PROTO: &str = "a record that cannot be decoded";
        let shard = self.shard;
        match self.kind {
            1 => {
                let entry = peer::Entry::decode(self.body).map_err(|_| NOT_PROTO)?;
                Ok(Record::Entry(
                    shard,
                    entry_from_wire(entry).map_err(|e| e.0)?,
                ))
            }
            2 => {
                let vote = peer::Vote::decode(self.body).map_err(|_| NOT_PROTO)?;
                Ok(Record::Vote(
                    shard,
                    vote_from_wire(Some(vote)).map_err(|e| e.0)?,
                ))
            }
            3 => {
                let from = self.body.try_into().map_err(|_| NOT_PROTO)?;
                Ok(Record::Truncate(shard, u64::from_le_bytes(from)))
            }
            4 => {
                let id = peer::LogId::decode(self.body).map_err(|_| NOT_PROTO)?;
                Ok(Record::Purge(shard, log_id_from_wire(id)))
            }
            5 => Ok(Record::Mark),
            6 => Ok(Record::Seal),
            _ => Err("a record of an unknown kind"),
        }
    }
}
