use std::cell::Cell;

use super::*;

fn value(number: u32) -> Value {
    Value(Value::FIRST_NAMED + number)
}

#[test]
fn a_name_keeps_its_value_and_late_names_are_other() {
    let values = Values::default();
    for number in 0..LABEL_VALUES_MAX {
        assert_eq!(
            values.of(&format!("n{number}")),
            (value(number as u32), Fit::Fits)
        );
    }
    assert_eq!(values.of("late"), (Value::OTHER, Fit::Overflows));
    assert_eq!(values.of("n7"), (value(7), Fit::Fits));
    assert_eq!(
        values.of(&"x".repeat(LABEL_BYTES_MAX + 1)),
        (Value::OTHER, Fit::Overflows)
    );
}

#[test]
fn a_value_never_needs_escaping() {
    assert_eq!(value(0).text("a\"b\\c\nd\u{202e}é"), "a_b_c_d_é");
    assert_eq!(Value::OTHER.text("x"), "other");
    assert_eq!(Value::UNKNOWN.text("x"), "unknown");
}

#[test]
fn a_full_metric_puts_new_label_sets_under_other() {
    let series: Series<1, Cell<u32>> = Series::new(3);
    let count = |number, closed| {
        let set = Set {
            open: [value(number)],
            closed,
        };
        series.with(set, |_| Cell::new(0), |cell| cell.set(cell.get() + 1))
    };
    for number in 0..3 {
        assert_eq!(count(number, 0), Fit::Fits);
    }
    for number in 3..1_000 {
        assert_eq!(count(number, number % 2), Fit::Overflows);
    }
    assert_eq!(count(1, 0), Fit::Fits);
    let handles = series.handles.read().unwrap();
    assert_eq!(handles.len(), 5);
    let under = |closed| {
        handles[&Set {
            open: [Value::OTHER],
            closed,
        }]
            .get()
    };
    assert_eq!((under(0), under(1)), (498, 499));
}
