//! fjall: a keyspace for each shard, one journal for all of them.

use std::path::Path;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::{Failure, Shard};

struct Fjall {
    database: Database,
    keyspace: Keyspace,
    /// The first entry that is not purged.
    first: u64,
}

pub(crate) fn open(folder: &Path, shards: usize) -> Result<Vec<Box<dyn Shard>>, Failure> {
    let database = Database::builder(folder).open()?;
    let shard = |number| -> Result<Box<dyn Shard>, Failure> {
        let name = format!("shard-{number}");
        Ok(Box::new(Fjall {
            database: database.clone(),
            keyspace: database.keyspace(&name, KeyspaceCreateOptions::default)?,
            first: 1,
        }))
    };
    (0..shards).map(shard).collect()
}

impl Shard for Fjall {
    fn append(&mut self, first: u64, entries: &[Bytes]) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for (index, payload) in (first..).zip(entries) {
            batch.insert(&self.keyspace, index.to_be_bytes(), payload.as_ref());
        }
        batch.commit()?;
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn purge(&mut self, index: u64) -> Result<(), Failure> {
        let mut batch = self.database.batch();
        for old in self.first..index {
            batch.remove(&self.keyspace, old.to_be_bytes());
        }
        self.first = index;
        Ok(batch.commit()?)
    }

    fn entries(&mut self) -> Result<Vec<(u64, Bytes)>, Failure> {
        let entry = |guard: fjall::Guard| -> Result<(u64, Bytes), Failure> {
            let (key, value) = guard.into_inner()?;
            let index = u64::from_be_bytes(key.as_ref().try_into()?);
            Ok((index, Bytes::copy_from_slice(&value)))
        };
        self.keyspace.iter().map(entry).collect()
    }
}
