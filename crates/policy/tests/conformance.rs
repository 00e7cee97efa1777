//! Every file of cases below `testdata` is one test.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use quotum_policy::cases;

fn main() {
    let arguments = Arguments::from_args();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let trials = ["conformance", "cases"]
        .into_iter()
        .flat_map(|folder| files(&testdata.join(folder)))
        .map(|file| {
            let name = file
                .strip_prefix(&testdata)
                .unwrap_or(&file)
                .display()
                .to_string();
            Trial::test(name, move || run(&file))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of cases");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no cases", folder.display());
    files
}

fn run(file: &Path) -> Result<(), Failed> {
    let report = cases::run(&std::fs::read(file)?)?;
    if report.steps.is_empty() {
        return Err("this file tests nothing".into());
    }
    match report.passed() {
        true => Ok(()),
        false => Err(report.to_string().into()),
    }
}
