use proptest::prelude::*;

use super::*;

fn any_window() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Minute),
        Just(Window::Month),
        (1_000..200_000_u64).prop_map(|ms| Window::duration(ms).unwrap()),
    ]
}

proptest! {
    #[test]
    fn a_bucket_counts_for_a_window_and_a_bucket_and_at_most_two_more(
        window in any_window(), at in 0..1_u64 << 42, later in 0..200_u64,
    ) {
        let grid = Grid::of(window);
        let at = LogTime::from_ms(at);
        let bucket = grid.bucket(at);
        let free_at = grid.free_at(bucket);
        prop_assert!(window.sliding_ms() / 60 >= grid.bucket_ms());
        // A unit taken at `at` is used for less than a bucket's time: until then and for a window
        // after it counts.
        let must = at.plus_ms(window.sliding_ms() + grid.bucket_ms());
        prop_assert!(free_at >= must, "{free_at:?} {must:?}");
        prop_assert!(free_at.since(must) <= 2 * grid.bucket_ms());
        prop_assert_eq!(grid.bucket_until(free_at), bucket);
        let now = LogTime::from_ms(free_at.ms.saturating_sub(100) + later);
        prop_assert_eq!(grid.oldest(now) <= bucket, now < free_at);
    }

    #[test]
    fn a_ring_stays_within_its_bound(
        window in any_window(), steps in prop::collection::vec((0..4_000_u64, 1..9_u64), 0..300),
    ) {
        let grid = Grid::of(window);
        let mut ring = Ring::default();
        let mut now = LogTime::from_ms(1 << 40);
        for (wait, units) in steps {
            now = now.plus_ms(wait * grid.bucket_ms() / 1_000);
            ring.add(grid, now, units);
            prop_assert!(ring.counted(grid, now).len() <= SPOTS_MAX);
            prop_assert!(ring.bytes() <= SPOTS_MAX * size_of::<Spot>());
        }
    }
}

#[test]
fn units_come_back_bucket_by_bucket() {
    let grid = Grid::of(Window::Minute);
    let at = |s: u64| LogTime::from_ms(1_767_610_800_000 + s * 1_000);
    let mut ring = Ring::default();
    for (second, units) in [(0, 3), (5, 2), (9, 1)] {
        ring.add(grid, at(second), units);
    }
    let spots = ring.counted(grid, at(9));
    assert_eq!(sum(spots), 6);
    // A second bucket is free 62 s after it began.
    assert_eq!(at_most(spots, grid, 6), None);
    assert_eq!(at_most(spots, grid, 3), Some(at(62)));
    assert_eq!(at_most(spots, grid, 2), Some(at(67)));
    assert_eq!(at_most(spots, grid, 0), Some(at(71)));
    assert_eq!(sum(ring.counted(grid, at(62))), 3);
    assert_eq!(ring.take(grid.bucket(at(5)), 9), 2);
    assert_eq!(ring.take(grid.bucket(at(5)), 9), 0);
    assert_eq!(sum(ring.counted(grid, at(62))), 1);
}
