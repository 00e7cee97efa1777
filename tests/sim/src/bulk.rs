//! A client that fills the log: large peeks, so that segments end, snapshots are taken, and a node
//! that was away for a while needs one.

use std::time::Duration;

use quotum_api::counter::DecideRequest;
use quotum_api::counter::counter_client::CounterClient;
use quotum_limit::{Algorithm, Command, Item, Key, Window};
use tonic::transport::Endpoint;

use crate::wire::channel;
use crate::world::{Stage, World, client_address};

/// Items of one peek: with keys of 120 bytes, about 2.5 kB.
const ITEMS: u64 = 16;

/// Peeks of one message.
const PEEKS: u64 = 4;

/// Runs until the run settles.
pub(crate) async fn run(world: World) -> turmoil::Result {
    let mut rng = world.rng(0xb01c);
    let item = |number: u64| Item {
        key: Key::new(format!("{number:0120}").as_bytes()).expect("a key"),
        max: 1,
        revision: 1,
        window: Window::Day,
        algorithm: Algorithm::Fixed,
        units: 1,
        shadow: false,
    };
    let peek = |number: u64| Command::Peek {
        items: (0..ITEMS).map(|at| item(number * ITEMS + at)).collect(),
    };
    let commands: Vec<_> = (0..PEEKS)
        .map(|number| quotum_api::command_to_wire(peek(number)))
        .collect();
    let dial = |machine: u64| {
        let uri = format!("http://{}", client_address(machine));
        let endpoint = Endpoint::from_shared(uri).expect("an address");
        let endpoint = endpoint
            .connect_timeout(Duration::from_millis(300))
            .http2_keep_alive_interval(Duration::from_secs(1))
            .keep_alive_timeout(Duration::from_secs(1))
            .keep_alive_while_idle(true);
        channel(&endpoint)
    };
    let channels: Vec<_> = (1..=world.founders()).map(dial).collect();
    while world.stage() == Stage::Faults {
        // Until a snapshot was needed, as fast as it goes.
        let (least_ms, most_ms) = match world.recorder().seen().installs {
            0 => (8, 30),
            _ => (30, 120),
        };
        tokio::time::sleep(Duration::from_millis(rng.between(least_ms, most_ms))).await;
        let request = DecideRequest {
            tag: 1,
            shard: 0,
            epoch: 0,
            acked_seq: 0,
            commands: commands.clone().into(),
            forwarded: false,
            api: 0,
        };
        let Some(channel) = rng.pick(&channels) else {
            break;
        };
        let mut client = CounterClient::new(channel);
        let answer = client.decide_batch(request);
        // Whether it was decided is nobody's business.
        drop(tokio::time::timeout(Duration::from_millis(300), answer).await);
    }
    std::future::pending().await
}
