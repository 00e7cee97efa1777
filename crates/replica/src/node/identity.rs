//! Who a node is: drawn once, kept on the disk, never used again after its data is lost.
//!
//! The last line of the file is a checksum over those before it. A file that was written before
//! there was one is taken as it is; the next change of it adds one.

use std::fmt::Write;
use std::io;

use crate::disk::{self, SharedDisk};
use crate::network::ClusterId;

use super::NodeConfig;

#[cfg(test)]
mod tests;

/// The file that holds it.
const FILE: &str = "identity";

/// What the line of the checksum begins with.
const SUM: &str = "sum = ";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: u64,
    /// Tells this data directory from any other under the same node id. 0 in those that are older
    /// than incarnations.
    pub(super) incarnation: u64,
    pub(super) shards: u32,
    pub(super) cluster: Option<ClusterId>,
    /// This node drew the cluster's id: it and nobody else founds the groups.
    pub(super) founder: bool,
}

/// Why a data directory is not this node's.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{file}: line {line}: {what}")]
    Malformed {
        file: String,
        line: usize,
        what: &'static str,
    },
    #[error(
        "{file}: its checksum is wrong: what it says of this node is damaged, and must not be guessed"
    )]
    Damaged { file: String },
    #[error("{file}: this is the data of node {found}, not of node {wanted}")]
    OtherNode {
        file: String,
        found: u64,
        wanted: u64,
    },
    #[error(
        "{file}: this cluster has {found} shards, not {wanted}; their number is fixed when a cluster starts"
    )]
    OtherShards {
        file: String,
        found: u32,
        wanted: u32,
    },
    #[error("{file}")]
    Io {
        file: String,
        #[source]
        source: io::Error,
    },
}

// === impl Identity ===

impl Identity {
    /// Reads the identity, or draws one from `random` and writes it.
    pub(super) async fn load(
        disk: &SharedDisk,
        config: &NodeConfig,
        random: u64,
    ) -> Result<Self, IdentityError> {
        let file = disk.describe(FILE);
        let bytes = match disk.read(FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Small enough for every language that may read it from JSON; 0 is nobody.
                let node = config.id.unwrap_or((random >> 12).max(1));
                let identity = Self {
                    node,
                    incarnation: super::mix(random).max(1),
                    shards: config.shards,
                    cluster: None,
                    founder: false,
                };
                identity.save(disk).await?;
                return Ok(identity);
            }
            Err(source) => return Err(IdentityError::Io { file, source }),
        };
        let identity = Self::decode(&bytes, &file)?;
        if let Some(wanted) = config.id.filter(|id| *id != identity.node) {
            return Err(IdentityError::OtherNode {
                file,
                found: identity.node,
                wanted,
            });
        }
        if identity.shards != config.shards {
            let (found, wanted) = (identity.shards, config.shards);
            return Err(IdentityError::OtherShards {
                file,
                found,
                wanted,
            });
        }
        Ok(identity)
    }

    pub(super) async fn save(&self, disk: &SharedDisk) -> Result<(), IdentityError> {
        let saved = disk::replace(disk.as_ref(), FILE, self.encode().as_bytes()).await;
        saved.map_err(|source| IdentityError::Io {
            file: disk.describe(FILE),
            source,
        })
    }

    fn encode(&self) -> String {
        let mut text = format!(
            "node = {}\nincarnation = {}\nshards = {}\n",
            self.node, self.incarnation, self.shards
        );
        if let Some(cluster) = self.cluster {
            writeln!(text, "cluster = {}", hex(&cluster)).expect("a string grows");
        }
        if self.founder {
            text.push_str("founder = true\n");
        }
        let sum = sum(&text);
        text + &sum
    }

    fn decode(bytes: &[u8], file: &str) -> Result<Self, IdentityError> {
        let damaged = || IdentityError::Damaged {
            file: file.to_owned(),
        };
        let text = str::from_utf8(bytes).map_err(|_| damaged())?;
        match text.rfind(SUM) {
            None => Self::parse(text, file),
            Some(at) if text[at..] == sum(&text[..at]) => Self::parse(&text[..at], file),
            Some(_) => Err(damaged()),
        }
    }

    fn parse(text: &str, file: &str) -> Result<Self, IdentityError> {
        let mut node = None;
        let mut incarnation = 0;
        let mut shards = None;
        let mut cluster = None;
        let mut founder = false;
        for (at, line) in text.lines().enumerate() {
            let malformed = |what| IdentityError::Malformed {
                file: file.to_owned(),
                line: at + 1,
                what,
            };
            let (name, value) = line
                .split_once(" = ")
                .ok_or_else(|| malformed("no name = value"))?;
            let number = |_| malformed("not a number");
            match name {
                "node" => node = Some(value.parse().map_err(number)?),
                "incarnation" => incarnation = value.parse().map_err(number)?,
                "founder" => {
                    founder = value.parse().map_err(|_| malformed("not true or false"))?;
                }
                "shards" => shards = Some(value.parse().map_err(number)?),
                "cluster" => {
                    let id = unhex(value).ok_or_else(|| malformed("not 32 hexadecimal digits"))?;
                    cluster = Some(id);
                }
                _ => return Err(malformed("unknown name")),
            }
        }
        let missing = |what| IdentityError::Malformed {
            file: file.to_owned(),
            line: 1,
            what,
        };
        Ok(Self {
            node: node.ok_or_else(|| missing("node is missing"))?,
            incarnation,
            shards: shards.ok_or_else(|| missing("shards is missing"))?,
            cluster,
            founder,
        })
    }
}

/// The line that ends a file.
fn sum(text: &str) -> String {
    format!("{SUM}{:08x}\n", crc32fast::hash(text.as_bytes()))
}

/// A cluster id as people read it.
pub(super) fn hex(id: &ClusterId) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string grows");
        text
    })
}

fn unhex(text: &str) -> Option<ClusterId> {
    let mut id = ClusterId::default();
    if text.len() != 2 * id.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(id)
}
