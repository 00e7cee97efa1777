//! Room for bodies: how many bytes of requests and answers the gateway holds at one time, of all
//! grants together, and of one.
//!
//! Promises: what is held is counted from when it is read until the last who has it lets it go;
//! beyond a bound nothing more is taken in, and nothing waits for room. Knows nothing of what is in
//! a body.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use quotum_registry::name::GrantId;

use crate::limits::ROOM_SHARES;

#[cfg(test)]
mod tests;

/// The room of one gateway. Cheap to clone; all clones are one room.
#[derive(Debug, Clone)]
pub struct Room(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    held: Mutex<Held>,
}

/// Bytes that are held.
#[derive(Debug, Default)]
struct Held {
    all: usize,
    /// Of grants that hold any: as many as there are connections at most.
    grants: HashMap<GrantId, usize>,
}

/// A part of the room. Dropped: it is free again.
#[derive(Debug)]
pub struct Taken {
    room: Room,
    grant: GrantId,
    bytes: usize,
}

/// A body while it is read: its pieces, and the room that they take.
#[derive(Debug)]
pub struct Gathered {
    /// One that is all there is needs no copy.
    first: Bytes,
    rest: BytesMut,
    /// What it takes though it has not come yet.
    bytes_min: usize,
    taken: Taken,
}

/// A body that was read whole, and the room that it takes.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Bytes,
    taken: Taken,
}

/// What lets go of its room with the last who reads it.
struct Carried {
    bytes: Bytes,
    _taken: Taken,
}

/// So many bytes cannot be held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for more")]
pub struct NoRoom;

// === impl Room ===

impl Room {
    /// Room for `bytes_max`, of which one grant gets at most a share.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shared {
            bytes_max,
            held: Mutex::default(),
        }))
    }

    /// A part of the room for `grant`, with nothing in it yet.
    pub fn take(&self, grant: &GrantId) -> Taken {
        Taken {
            room: self.clone(),
            grant: grant.clone(),
            bytes: 0,
        }
    }

    /// Takes the room of `bytes` that are there already, for as long as anybody has them.
    pub fn hold(&self, grant: &GrantId, bytes: Bytes) -> Result<Bytes, NoRoom> {
        let mut taken = self.take(grant);
        taken.resize(bytes.len())?;
        Ok(taken.carry(bytes))
    }

    /// The bytes that are held.
    pub fn held_bytes(&self) -> usize {
        self.held().all
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, grant: &GrantId, bytes: usize) -> Result<(), NoRoom> {
        let mut held = self.held();
        let of_grant = held.grants.get(grant).copied().unwrap_or(0);
        let bytes_max = self.0.bytes_max;
        let fits = held.all.saturating_add(bytes) <= bytes_max
            && of_grant.saturating_add(bytes) <= bytes_max / ROOM_SHARES;
        if !fits {
            return Err(NoRoom);
        }
        held.all += bytes;
        match held.grants.get_mut(grant) {
            Some(of_grant) => *of_grant += bytes,
            None => drop(held.grants.insert(grant.clone(), bytes)),
        }
        Ok(())
    }

    fn shrink(&self, grant: &GrantId, bytes: usize) {
        let mut held = self.held();
        held.all -= bytes;
        if let Some(of_grant) = held.grants.get_mut(grant) {
            *of_grant -= bytes;
            if *of_grant == 0 {
                held.grants.remove(grant);
            }
        }
    }
}

// === impl Taken ===

impl Taken {
    /// Makes the part as large as `bytes`. Smaller it can always be.
    pub fn resize(&mut self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > self.bytes {
            self.room.grow(&self.grant, bytes - self.bytes)?;
        } else if bytes < self.bytes {
            self.room.shrink(&self.grant, self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Keeps at most `bytes`, and gives the rest.
    #[must_use]
    pub fn split(&mut self, bytes: usize) -> Self {
        let kept = self.bytes.min(bytes);
        let rest = self.bytes - kept;
        self.bytes = kept;
        Self {
            room: self.room.clone(),
            grant: self.grant.clone(),
            bytes: rest,
        }
    }

    /// Ties the part to `bytes`: it is free when the last who has them lets them go.
    pub fn carry(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Carried {
            bytes,
            _taken: self,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.room.shrink(&self.grant, self.bytes);
        }
    }
}

// === impl Gathered ===

impl Gathered {
    /// A body of `bytes_min` at least, for which there is room now or never: none is begun that
    /// cannot end.
    pub fn new(mut taken: Taken, bytes_min: usize) -> Result<Self, NoRoom> {
        taken.resize(bytes_min)?;
        Ok(Self {
            first: Bytes::new(),
            rest: BytesMut::new(),
            bytes_min,
            taken,
        })
    }

    pub fn bytes_held(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Adds the next piece, if there is room for it.
    pub fn push(&mut self, piece: Bytes) -> Result<(), NoRoom> {
        let bytes = self.bytes_held() + piece.len();
        self.taken.resize(bytes.max(self.bytes_min))?;
        if self.bytes_held() == 0 {
            self.first = piece;
            return Ok(());
        }
        if self.rest.is_empty() {
            self.rest
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&piece);
        Ok(())
    }

    pub fn finish(self) -> Whole {
        let bytes = match self.rest.is_empty() {
            true => self.first,
            false => self.rest.freeze(),
        };
        Whole {
            bytes,
            taken: self.taken,
        }
    }
}

// === impl Whole ===

impl Whole {
    /// The body with the room that it takes.
    pub fn into_bytes(self) -> Bytes {
        self.taken.carry(self.bytes)
    }

    /// The body with what was written in its place; longer than before only by what was counted.
    pub fn replaced(self, text: String) -> Bytes {
        let Self { bytes, mut taken } = self;
        drop(bytes);
        if text.len() < taken.bytes {
            drop(taken.split(text.len()));
        }
        taken.carry(text.into())
    }
}

// === impl Carried ===

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
