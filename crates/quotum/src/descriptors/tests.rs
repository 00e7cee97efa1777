use quotum_telemetry::{BuildInfo, Exposition};

use super::*;

fn metrics() -> (Exposition, EnvoyMetrics) {
    let exposition = Exposition::new(&BuildInfo {
        version: "t".into(),
        revision: "t".into(),
    });
    let metrics = EnvoyMetrics::new(&exposition);
    (exposition, metrics)
}

fn file(requests: u32) -> String {
    format!(
        "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{unit: day, requests_per_unit: {requests}}}\n"
    )
}

#[test]
fn a_bad_file_changes_nothing_until_it_is_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, file(1)).unwrap();
    fs::write(folder.path().join(".hidden"), "no: yaml: at all").unwrap();
    let (exposition, metrics) = metrics();
    let mut descriptors = Descriptors::open(folder.path(), metrics).unwrap();
    let config = descriptors.config();
    let first = config.borrow().clone().unwrap();
    descriptors.look_again();
    assert!(Arc::ptr_eq(&first, config.borrow().as_ref().unwrap()));
    fs::write(&path, "domain: d\ndescripors: []\n").unwrap();
    descriptors.look_again();
    descriptors.look_again();
    assert!(Arc::ptr_eq(&first, config.borrow().as_ref().unwrap()));
    fs::write(&path, file(22)).unwrap();
    descriptors.look_again();
    let second = config.borrow().clone().unwrap();
    assert!(second.revision() > first.revision());
    let shown = exposition.render();
    for line in [
        "ratelimit_service_config_load_success 2",
        "ratelimit_service_config_load_error 1",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
}

#[test]
fn a_file_that_is_put_back_counts_as_newer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, file(1)).unwrap();
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    let mut descriptors = Descriptors::open(folder.path(), metrics().1).unwrap();
    let config = descriptors.config();
    let first = config.borrow().as_ref().unwrap().revision();
    fs::write(&path, file(22)).unwrap();
    let back = fs::File::options().write(true).open(&path).unwrap();
    back.set_modified(old - Duration::from_secs(3_600)).unwrap();
    descriptors.look_again();
    assert_eq!(config.borrow().as_ref().unwrap().revision(), first + 1);
}

#[test]
fn without_a_folder_a_node_does_not_start_and_without_a_sound_file_it_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let failure = Descriptors::open(&folder.path().join("none"), metrics().1).unwrap_err();
    assert!(failure.to_string().contains("ratelimit_dir"), "{failure}");
    fs::write(folder.path().join("a.yaml"), "x").unwrap();
    let mut descriptors = Descriptors::open(folder.path(), metrics().1).unwrap();
    let config = descriptors.config();
    assert!(config.borrow().is_none());
    fs::write(folder.path().join("a.yaml"), file(1)).unwrap();
    descriptors.look_again();
    assert!(config.borrow().is_some());
}

#[test]
fn a_check_tells_files_and_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), file(1)).unwrap();
    let options = CheckDescriptors {
        files: vec![folder.path().to_owned()],
    };
    check(&options, Format::Json).unwrap();
    fs::write(folder.path().join("b.yaml"), "domain: d\n").unwrap();
    let failure = check(&options, Format::Json).unwrap_err();
    assert!(failure.to_string().contains("refused"), "{failure}");
}
