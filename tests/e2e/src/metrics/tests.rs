use super::Figures;

const TEXT: &str = "# HELP decisions_total Decisions.\n# TYPE decisions_total counter\n\
    decisions_total{outcome=\"allowed\",tool=\"a\"} 3\n\
    decisions_total{outcome=\"denied\",tool=\"a\"} 4\n\
    decisions_total{outcome=\"denied\",tool=\"b\"} 5\nlive 2.5\n";

#[test]
fn samples_with_the_wanted_labels_are_summed() {
    let figures = Figures::parse(TEXT);
    assert_eq!(
        figures.sum("decisions_total", &[("outcome", "denied")]),
        Some(9.0)
    );
    assert_eq!(
        figures.sum("decisions_total", &[("outcome", "denied"), ("tool", "b")]),
        Some(5.0)
    );
    assert_eq!(figures.sum("live", &[]), Some(2.5));
}

#[test]
fn a_figure_that_is_not_there_is_not_zero() {
    let figures = Figures::parse(TEXT);
    assert_eq!(figures.sum("decisions", &[]), None);
    assert_eq!(
        figures.sum("decisions_total", &[("outcome", "hidden")]),
        None
    );
}
