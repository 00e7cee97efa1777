//! A log segment: whatever a disk holds, a start finds a log or refuses it, and a second start
//! finds the same.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use quotum_replica::disk::Disk;
use quotum_replica::disk::memory::MemoryDisk;
use quotum_replica::log::Log;
use quotum_replica::{Durability, LogConfig};

const NAME: &str = "log-0000000000000001.seg";

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let disk = MemoryDisk::new();
        let mut file = disk.open(NAME).expect("a file");
        file.write_at(0, bytes).expect("room");
        file.set_len(1 << 16).expect("room");
        file.sync().await.expect("synced");
        disk.sync_names().expect("synced");
        let config = LogConfig { durability: Durability::Fsync, segment_bytes: 1 << 16 };
        let first = Log::open(Arc::new(disk.clone()), config).await;
        if first.is_ok() {
            let disk = disk.lose_power(|| false);
            let second = Log::open(Arc::new(disk), config).await;
            assert!(second.is_ok(), "a log that was opened opens again");
        }
    });
});
