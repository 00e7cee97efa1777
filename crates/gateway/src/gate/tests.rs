use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use http_body_util::BodyExt;

use super::*;

#[derive(Clone, Default)]
struct Spy {
    invalid: Arc<AtomicBool>,
    refunds: Arc<AtomicUsize>,
}

impl Ticket for Spy {
    fn is_valid(&self) -> bool {
        !self.invalid.load(SeqCst)
    }

    fn refund(self) {
        self.refunds.fetch_add(1, SeqCst);
    }
}

fn gate(spy: &Spy) -> Arc<Gate> {
    Gate::new(Some(Arc::new(Held::new(spy.clone(), UseBy::Ticket))))
}

fn body(gate: &Arc<Gate>) -> GatedBody {
    GatedBody::new(Bytes::from_static(b"call"), Arc::clone(gate))
}

#[tokio::test]
async fn a_body_leaves_while_its_admission_holds() {
    let gate = gate(&Spy::default());
    assert_eq!(body(&gate).size_hint().exact(), Some(4));
    let sent = body(&gate).collect().await.expect("open").to_bytes();
    assert_eq!(sent, "call");
    assert_eq!(gate.close(), Passage::Left);
}

#[tokio::test]
async fn a_late_body_does_not_leave() {
    let spy = Spy::default();
    let gate = gate(&spy);
    spy.invalid.store(true, SeqCst);
    assert_eq!(body(&gate).collect().await.expect_err("shut"), Shut);
    assert_eq!(gate.close(), Passage::Late);
}

#[tokio::test]
async fn a_closed_gate_proves_that_nothing_left() {
    let gate = gate(&Spy::default());
    assert_eq!(gate.close(), Passage::None);
    assert_eq!(body(&gate).collect().await.expect_err("shut"), Shut);
    assert_eq!(gate.close(), Passage::None);
}

#[tokio::test]
async fn one_gate_lets_one_body_pass() {
    let gate = Gate::new(None);
    assert!(body(&gate).collect().await.is_ok());
    assert!(body(&gate).collect().await.is_err());
}

#[test]
fn units_are_given_back_once() {
    let spy = Spy::default();
    let held = Held::new(spy.clone(), UseBy::Ticket);
    held.give_back();
    held.give_back();
    assert_eq!(spy.refunds.load(SeqCst), 1);
    assert!(!held.hold());
}

#[test]
fn units_that_bind_nobody_are_never_late() {
    let spy = Spy::default();
    spy.invalid.store(true, SeqCst);
    assert!(Held::new(spy.clone(), UseBy::Whenever).hold());
    assert!(!Held::new(spy, UseBy::Ticket).hold());
}
