//! Judges histories from files: `quotum-checker FILE...`. One JSON object a file; exit 1 where one is
//! violated, 2 where one is no history.

use std::fs::File;
use std::io::{BufReader, Write};
use std::process::ExitCode;

use quotum_checker::history::{HistoryError, read};
use quotum_checker::{Report, check};

fn judge(name: &str) -> Result<Report, HistoryError> {
    check(&read(BufReader::new(File::open(name)?))?)
}

fn main() -> ExitCode {
    let mut worst = 0;
    for name in std::env::args().skip(1) {
        match judge(&name) {
            Ok(report) => {
                let line = serde_json::to_string(&report).unwrap_or_default();
                // Nobody is left to tell if this fails.
                let _ = writeln!(std::io::stdout(), "{line}");
                worst = worst.max(u8::from(!report.is_sound()));
            }
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "error: {name}: {error}");
                worst = 2;
            }
        }
    }
    ExitCode::from(worst)
}
