use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quotum_api::Decided;
use quotum_api::counter::{DecideRequest, DecideResponse, NotDecided, decide_response};
use quotum_api::counter::{command, not_decided::Reason};
use quotum_limit::{Algorithm, Bound, Item, ItemState, Key, Outcome, Window};

use super::*;
use crate::clock::Clock;
use crate::decision::Invalid;
use crate::limits::{REFUND_TTL, SEQS_OPEN_MAX};
use crate::stats::Stats;

const DEADLINE: Duration = Duration::from_secs(2);

struct Desk {
    book: Book,
    now: Instant,
}

fn desk(messages_max: usize) -> Desk {
    desk_with_clock(messages_max).0
}

/// And the clock of admissions, in microseconds.
fn desk_with_clock(messages_max: usize) -> (Desk, Arc<AtomicU64>) {
    let now_us = Arc::new(AtomicU64::new(1_000_000));
    let shown = now_us.clone();
    let clock = Clock::new(move || shown.load(Ordering::Relaxed));
    let shared = Arc::new(Shared::new(clock, Arc::<Stats>::default()));
    let bounds = Bounds {
        asks_max: 100_000,
        commands_max: 256,
        messages_max,
    };
    let desk = Desk {
        book: Book::new(0, bounds, shared),
        now: Instant::now(),
    };
    (desk, now_us)
}

fn items() -> Items {
    let item = Item {
        key: Key::new(b"a").unwrap(),
        max: 10,
        revision: 1,
        window: Window::Hour,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    [item].into_iter().collect()
}

fn admitted() -> Outcome {
    admitted_for(60_000)
}

fn admitted_for(valid_for_ms: u64) -> Outcome {
    let state = ItemState {
        fits: true,
        remaining: 9,
        max: 10,
        reset_after_ms: valid_for_ms,
    };
    Outcome::Admitted {
        valid_for_ms,
        items: [state].into_iter().collect(),
    }
}

// === impl Desk ===

impl Desk {
    fn ask(&mut self) -> oneshot::Receiver<Reply> {
        let (reply, answer) = oneshot::channel();
        let deadline = self.now + DEADLINE;
        self.book.push(Request {
            want: Want::Acquire,
            items: items(),
            deadline,
            reply,
        });
        answer
    }

    fn message(&mut self) -> Option<DecideRequest> {
        self.book.tick(self.now);
        self.book.next_message(self.now)
    }

    fn decide(&mut self, tag: u64, outcomes: Vec<Outcome>) -> Heard {
        let position = quotum_api::counter::Position {
            shard: 0,
            term: 1,
            index: 1,
        };
        let outcomes = outcomes.into_iter().map(Into::into).collect();
        let decided = Decided::new(outcomes, position);
        let result = Some(decide_response::Result::Decided(decided));
        self.book.hear(
            DecideResponse {
                tag,
                result,
                leader: String::new(),
            },
            self.now,
        )
    }

    fn refuse(&mut self, tag: u64, reason: Reason) -> Heard {
        let refused = NotDecided {
            reason: reason.into(),
            message: String::new(),
        };
        let result = Some(decide_response::Result::NotDecided(refused));
        self.book.hear(
            DecideResponse {
                tag,
                result,
                leader: String::new(),
            },
            self.now,
        )
    }

    /// Answers the message that opens an epoch.
    fn open(&mut self, epoch: u64) {
        let message = self.message().unwrap();
        assert!(matches!(
            message.commands.to_messages()[0].kind,
            Some(command::Kind::Open(_))
        ));
        self.decide(
            message.tag,
            vec![Outcome::Opened {
                epoch: Epoch(epoch),
            }],
        );
    }

    /// The next message, which has one acquire or refund.
    fn single(&mut self) -> (u64, &'static str, u64, u64) {
        let message = self.message().unwrap();
        assert_eq!(message.commands.len(), 1);
        match message.commands.to_messages()[0].kind.as_ref().unwrap() {
            command::Kind::Acquire(acquire) => (message.tag, "acquire", message.epoch, acquire.seq),
            command::Kind::Refund(refund) => (message.tag, "refund", message.epoch, refund.seq),
            other => panic!("{other:?}"),
        }
    }
}

fn refused(answer: &mut oneshot::Receiver<Reply>) -> Decision {
    match answer.try_recv().unwrap() {
        Reply::Refused(decision) => decision,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_expired_id_that_was_sent_once_is_asked_under_a_new_epoch() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    desk.decide(tag, vec![Outcome::Expired]);
    desk.open(2);
    let (tag, what, epoch, seq) = desk.single();
    assert_eq!((what, epoch, seq), ("acquire", 2, 1));
    desk.decide(tag, vec![admitted()]);
    assert!(matches!(answer.try_recv(), Ok(Reply::Admitted { .. })));
}

#[test]
fn an_expired_id_that_may_have_been_decided_is_unavailable() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    desk.single();
    desk.book.lose_messages();
    let (tag, what, epoch, seq) = desk.single();
    assert_eq!((what, epoch, seq), ("acquire", 1, 1), "the same id");
    desk.decide(tag, vec![Outcome::Expired]);
    assert_eq!(refused(&mut answer), Decision::Unavailable);
    assert!(desk.message().is_none());
}

#[test]
fn an_id_that_was_refused_for_sure_may_expire_harmlessly() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    assert_eq!(desk.refuse(tag, Reason::Overloaded), Heard::Refused);
    let (tag, ..) = desk.single();
    assert_eq!(desk.refuse(tag, Reason::NotLeader), Heard::NoLeader);
    let (tag, ..) = desk.single();
    desk.decide(tag, vec![Outcome::Expired]);
    desk.open(2);
    let (tag, ..) = desk.single();
    desk.decide(tag, vec![admitted()]);
    assert!(matches!(answer.try_recv(), Ok(Reply::Admitted { .. })));
}

#[test]
fn epochs_are_not_opened_for_ever() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    for epoch in 1..=3 {
        desk.open(epoch);
        let (tag, ..) = desk.single();
        desk.decide(tag, vec![Outcome::Exhausted(Bound::Requests)]);
    }
    assert_eq!(refused(&mut answer), Decision::Exhausted(Bound::Requests));
}

#[test]
fn without_room_for_an_epoch_requests_are_exhausted() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    let message = desk.message().unwrap();
    desk.decide(message.tag, vec![Outcome::Exhausted(Bound::Epochs)]);
    assert_eq!(refused(&mut answer), Decision::Exhausted(Bound::Epochs));
}

#[test]
fn an_abandoned_id_is_refunded_until_acknowledged_and_late_outcomes_are_ignored() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (late, ..) = desk.single();
    desk.now += DEADLINE;
    let (tag, what, _, seq) = desk.single();
    assert_eq!(refused(&mut answer), Decision::Unavailable);
    assert_eq!((what, seq), ("refund", 1));
    desk.decide(late, vec![admitted()]);
    desk.refuse(tag, Reason::Unknown);
    let (tag, what, ..) = desk.single();
    assert_eq!(what, "refund");
    assert!(!desk.book.is_settled());
    desk.decide(tag, vec![Outcome::Refunded { units: 1 }]);
    assert!(desk.book.is_settled());
    assert!(desk.message().is_none());
}

#[test]
fn a_request_that_was_never_sent_needs_no_refund() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.now += DEADLINE;
    assert!(desk.message().is_none());
    assert_eq!(refused(&mut answer), Decision::Unavailable);
    assert!(desk.book.is_settled());
}

#[test]
fn a_refund_is_given_up_when_the_id_is_forgotten() {
    let mut desk = desk(4);
    let _answer = desk.ask();
    desk.open(1);
    desk.single();
    desk.now += DEADLINE;
    desk.book.lose_messages();
    desk.book.tick(desk.now);
    desk.now += REFUND_TTL;
    assert!(desk.message().is_none());
    assert!(desk.book.is_settled());
    assert_eq!(desk.book.shared.stats.refunds_forfeited(), 1);
}

#[test]
fn a_full_window_queues_requests_and_goes_on_when_ids_are_settled() {
    let mut desk = desk(1_000);
    let answers: Vec<_> = (0..=SEQS_OPEN_MAX).map(|_| desk.ask()).collect();
    desk.open(1);
    let mut sent = 0;
    let mut tags = Vec::new();
    while let Some(message) = desk.message() {
        sent += message.commands.len();
        tags.push((message.tag, message.commands.len()));
    }
    assert_eq!(sent, SEQS_OPEN_MAX, "one waits");
    let (tag, count) = tags[0];
    desk.decide(tag, vec![Outcome::Exhausted(Bound::Counters); count]);
    let (_, what, _, seq) = desk.single();
    assert_eq!((what, seq), ("acquire", SEQS_OPEN_MAX as u64 + 1));
    drop(answers);
}

#[test]
fn messages_are_bounded_and_carry_what_is_acknowledged() {
    let mut desk = desk(2);
    let first = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    desk.decide(tag, vec![Outcome::Exhausted(Bound::Counters)]);
    let rest: Vec<_> = (0..600).map(|_| desk.ask()).collect();
    let message = desk.message().unwrap();
    assert_eq!((message.commands.len(), message.acked_seq), (256, 1));
    assert_eq!(desk.message().unwrap().commands.len(), 256);
    assert!(desk.message().is_none(), "two are on their way");
    drop((first, rest));
}

#[test]
fn the_culprit_of_a_malformed_message_is_found() {
    let mut desk = desk(4);
    let (mut one, mut two) = (desk.ask(), desk.ask());
    desk.open(1);
    let message = desk.message().unwrap();
    assert_eq!(message.commands.len(), 2);
    desk.refuse(message.tag, Reason::Invalid);
    let (first, ..) = desk.single();
    let (second, ..) = desk.single();
    desk.decide(first, vec![admitted()]);
    desk.refuse(second, Reason::Invalid);
    assert!(matches!(one.try_recv(), Ok(Reply::Admitted { .. })));
    assert!(matches!(
        refused(&mut two),
        Decision::Invalid(Invalid::Malformed(_))
    ));
}

#[test]
fn an_answer_that_does_not_fit_decides_nothing() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    assert_eq!(
        desk.decide(tag, vec![admitted(), admitted()]),
        Heard::Refused
    );
    let (tag, ..) = desk.single();
    assert_eq!(
        desk.decide(tag, vec![Outcome::Refunded { units: 1 }]),
        Heard::Refused
    );
    assert_eq!(
        desk.decide(99, vec![admitted()]),
        Heard::Decided,
        "an unknown tag"
    );
    assert!(answer.try_recv().is_err());
    let (tag, _, _, seq) = desk.single();
    assert_eq!(seq, 1);
    desk.decide(tag, vec![admitted()]);
    assert!(matches!(answer.try_recv(), Ok(Reply::Admitted { .. })));
}

#[test]
fn an_uncertain_id_that_is_refused_for_want_of_room_is_barred() {
    let mut desk = desk(4);
    let mut answer = desk.ask();
    desk.open(1);
    desk.single();
    desk.book.lose_messages();
    let (tag, ..) = desk.single();
    desk.decide(tag, vec![Outcome::Exhausted(Bound::Counters)]);
    assert_eq!(refused(&mut answer), Decision::Exhausted(Bound::Counters));
    let (_, what, _, seq) = desk.single();
    assert_eq!(
        (what, seq),
        ("refund", 1),
        "the lost attempt may yet arrive"
    );
}

#[test]
fn an_outage_piles_nothing_up() {
    let mut desk = desk(4);
    let _answer = desk.ask();
    desk.open(1);
    for _ in 0..1_000 {
        let _answers: Vec<_> = (0..10).map(|_| desk.ask()).collect();
        let _lost = desk.message();
        desk.book.lose_messages();
        let _unsent: Vec<_> = (0..10).map(|_| desk.ask()).collect();
        desk.now += DEADLINE;
        desk.book.tick(desk.now);
        assert_eq!((desk.book.waiting.len(), desk.book.asks.len()), (0, 0));
        assert!(
            desk.book.refunds.queued() <= 200,
            "{}",
            desk.book.refunds.queued()
        );
    }
    desk.now += REFUND_TTL;
    assert!(desk.message().is_none());
    assert!(desk.book.is_settled());
    desk.book.seqs.advance(0);
    assert_eq!(
        desk.book.seqs.draw(),
        Some(desk.book.seqs.acked() + 1),
        "nothing is open"
    );
}

#[test]
fn an_admission_that_comes_too_late_is_asked_for_again_in_the_next_window() {
    let (mut desk, clock) = desk_with_clock(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    // The answer takes 100 ms, and its window has 40 ms to go.
    clock.store(1_100_000, Ordering::Relaxed);
    desk.decide(tag, vec![admitted_for(40)]);
    // Only the refund goes out: 40 ms later the window may not be over, if clocks differ.
    let (tag, what, ..) = desk.single();
    assert_eq!(what, "refund");
    desk.decide(tag, vec![Outcome::Refunded { units: 1 }]);
    desk.now += Duration::from_millis(40);
    assert!(desk.message().is_none(), "the window is not over");
    let due = desk.book.next_tick().unwrap();
    assert!(due < desk.now + Duration::from_millis(5));
    desk.now = due;
    let (tag, what, epoch, seq) = desk.single();
    assert_eq!((what, epoch, seq), ("acquire", 1, 2));
    desk.decide(tag, vec![admitted()]);
    assert!(matches!(answer.try_recv(), Ok(Reply::Admitted { .. })));
}

#[test]
fn a_request_that_waits_for_the_next_window_keeps_its_deadline() {
    let (mut desk, clock) = desk_with_clock(4);
    let mut answer = desk.ask();
    desk.open(1);
    let (tag, ..) = desk.single();
    clock.store(9_000_000, Ordering::Relaxed);
    desk.decide(tag, vec![admitted_for(5_000)]);
    assert_eq!(desk.single().1, "refund");
    desk.now += DEADLINE;
    assert!(desk.message().is_none());
    assert_eq!(refused(&mut answer), Decision::Unavailable);
    desk.now += DEADLINE * 3;
    assert!(desk.message().is_none(), "it is not asked any more");
}
