use serde_json::{Value, json};

use super::*;

fn used(user_ms: u64, system_ms: u64) -> Usage {
    Usage {
        user: Duration::from_millis(user_ms),
        system: Duration::from_millis(system_ms),
    }
}

#[test]
fn a_report_has_every_member_that_is_promised() {
    let mut tally = Tally::new();
    tally.decided(900, 100);
    tally.took(Duration::from_micros(500));
    let used = Used {
        processes: Usages::from([(11, used(20, 10)), (12, used(0, 5))]),
        own: used(4, 1),
    };
    let report = Report::new(tally, Duration::from_secs(4), &used);
    let report: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(report["decisions_per_s"], 250.0);
    for percentile in ["p50_us", "p99_us", "p999_us"] {
        let us = report[percentile].as_f64().unwrap();
        assert!((499.0..501.0).contains(&us), "{report}");
    }
    assert_eq!(report["admitted"], 900);
    assert_eq!(report["denied"], 100);
    assert_eq!(report["errors"], 0);
    assert_eq!(
        report["cpu_us_per_decision"],
        json!({ "11": 30.0, "12": 5.0 })
    );
    assert_eq!(
        report["cpu_user_us_per_decision"],
        json!({ "11": 20.0, "12": 0.0 })
    );
    assert_eq!(
        report["cpu_sys_us_per_decision"],
        json!({ "11": 10.0, "12": 5.0 })
    );
    assert_eq!(report["generator_cpu_us_per_decision"], 5.0);
}

#[test]
fn a_failure_is_a_report_with_an_error_and_no_figures() {
    let report = Report::failed(&crate::failure::Failure::NoLeader { shard: 0 });
    assert_eq!(report.complaints, ["shard 0 has no leader"]);
    let report: Value = serde_json::to_value(&report).unwrap();
    assert_eq!(report["errors"], 1);
    assert_eq!(report["decisions_per_s"], 0.0);
    assert_eq!(report["p50_us"], Value::Null);
    assert!(report.get("cpu_us_per_decision").is_none());
}
