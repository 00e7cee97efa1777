//! An operator who adds a node under load, and takes nodes away and puts them back: what was a
//! member at the beginning is one at the end, and the node that was added is as well.

use std::time::Duration;

use quotum_api::cluster::cluster_client::ClusterClient;
use quotum_api::cluster::{AddRequest, RemoveRequest};
use quotum_checker::What;
use quotum_checker::history::Edge;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::node::admin;
use crate::rng::Rng;
use crate::wire::channel;
use crate::world::{Stage, World, client_address, peer_address};

/// How long one try may take.
const TRY: Duration = Duration::from_millis(2_500);

struct Operator {
    world: World,
    channels: Vec<Channel>,
    rng: Rng,
}

/// Runs until the run settles.
pub(crate) async fn run(world: World) -> turmoil::Result {
    let mut rng = world.rng(0x0be7);
    let dial = |machine: u64| {
        let uri = format!("http://{}", client_address(machine));
        let endpoint = Endpoint::from_shared(uri).expect("an address");
        channel(&endpoint.connect_timeout(Duration::from_millis(300)))
    };
    let first_ms = rng.between(1_500, 5_000);
    let mut operator = Operator {
        channels: (1..=world.founders()).map(dial).collect(),
        world: world.clone(),
        rng,
    };
    tokio::time::sleep(Duration::from_millis(first_ms)).await;
    for machine in world.founders() + 1..=world.machines() {
        operator.add(machine).await;
    }
    while world.stage() == Stage::Faults {
        let pause_ms = operator.rng.between(500, 3_000);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        operator.take_away_and_put_back().await;
    }
    std::future::pending().await
}

// === impl Operator ===

impl Operator {
    async fn take_away_and_put_back(&mut self) {
        let live: Vec<(u64, u64)> = self
            .world
            .live()
            .into_iter()
            .map(|(machine, node)| (machine, node.id()))
            .collect();
        let Some((machine, node)) = self.rng.pick(&live) else {
            return;
        };
        if self.world.stage() != Stage::Faults {
            return;
        }
        self.note(machine, Edge::Begin);
        self.until_done(|mut client| async move {
            let removed = client.remove(signed(RemoveRequest { node })).await;
            match removed {
                // Another try has removed it.
                Err(status) if status.code() == Code::NotFound => Ok(()),
                removed => removed.map(drop),
            }
        })
        .await;
        let pause_ms = self.rng.between(0, 1_000);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        self.add(machine).await;
        self.note(machine, Edge::End);
    }

    async fn add(&mut self, machine: u64) {
        let address = peer_address(machine);
        self.until_done(|mut client| {
            let peer_address = address.clone();
            async move {
                let added = client.add(signed(AddRequest { peer_address })).await?;
                match added.into_inner().joining.first() {
                    None => Ok(()),
                    Some(joining) => {
                        let text = format!("no vote yet in shard {}", joining.shard);
                        Err(Status::unavailable(text))
                    }
                }
            }
        })
        .await;
        let recorder = self.world.recorder();
        recorder.trace(|| format!("n{machine} is a member"));
    }

    fn note(&self, machine: u64, edge: Edge) {
        self.world.recorder().note(What::Fault {
            fault: "member removed".to_owned(),
            nodes: vec![machine],
            edge,
        });
    }

    /// Asks one node after another. There is an end to that when all faults have one.
    async fn until_done<F>(&mut self, ask: impl Fn(ClusterClient<Channel>) -> F)
    where
        F: Future<Output = Result<(), Status>>,
    {
        loop {
            let Some(channel) = self.rng.pick(&self.channels) else {
                return;
            };
            let asked = ask(ClusterClient::new(channel));
            let why = match tokio::time::timeout(TRY, asked).await {
                Ok(Ok(())) => return,
                Ok(Err(status)) => status.message().to_owned(),
                Err(_) => "no answer".to_owned(),
            };
            if self.world.stage() >= Stage::Settled {
                let what = format!("the members cannot be changed: {why}");
                return self.world.recorder().trouble(what);
            }
            self.world.recorder().trace(|| format!("operator: {why}"));
            let pause_ms = self.rng.between(20, 200);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
}

fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", admin().as_str());
    let value = token.parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}
