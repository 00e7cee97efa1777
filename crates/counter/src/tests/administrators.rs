//! Which token opens which call.

use quotum_api::cluster::cluster_client::ClusterClient;
use quotum_api::{cluster, registry};
use quotum_registry::secret::token::{Token, TokenKind};
use tonic::Code;

use super::{Cluster, PATIENCE, with_token};

/// Makes an administrator, and gives its token.
async fn administrator(cluster: &Cluster, name: &str, role: &str) -> String {
    let request = registry::CreateAdministratorRequest {
        name: name.to_owned(),
        role: role.to_owned(),
    };
    let request = cluster.signed(request);
    let created = cluster.registry(1).create_administrator(request).await;
    created.unwrap().into_inner().token
}

/// What each call answers to a token: whether it got past the door.
async fn passes(cluster: &Cluster, token: &str) -> Vec<(&'static str, Result<bool, Code>)> {
    let mut registry = cluster.registry(2);
    let mut members = ClusterClient::new(cluster.channel(2));
    let door = |status: tonic::Status| match status.code() {
        code @ (Code::Unauthenticated | Code::PermissionDenied) => Err(code),
        _ => Ok(false),
    };
    macro_rules! ask {
        ($client:ident, $method:ident, $message:expr) => {
            (
                stringify!($method),
                $client
                    .$method(with_token($message, token))
                    .await
                    .map_or_else(door, |_| Ok(true)),
            )
        };
    }
    let none = || registry::ApplyRequest {
        documents_json: b"[]".to_vec().into(),
        ..Default::default()
    };
    let nobody = || "nobody".to_owned();
    vec![
        ask!(registry, get, registry::GetRequest::default()),
        ask!(registry, plan, none()),
        ask!(registry, gateways, registry::GatewaysRequest {}),
        ask!(members, status, cluster::StatusRequest::default()),
        ask!(registry, apply, none()),
        ask!(
            registry,
            create_grant,
            registry::CreateGrantRequest::default()
        ),
        ask!(
            registry,
            rotate_grant,
            registry::RotateGrantRequest::default()
        ),
        ask!(
            registry,
            revoke_grant,
            registry::RevokeGrantRequest::default()
        ),
        ask!(members, init, cluster::InitRequest {}),
        ask!(
            members,
            add,
            cluster::AddRequest {
                peer_address: "?".into()
            }
        ),
        ask!(members, remove, cluster::RemoveRequest { node: 99 }),
        ask!(
            registry,
            create_administrator,
            registry::CreateAdministratorRequest::default()
        ),
        ask!(
            registry,
            list_administrators,
            registry::ListAdministratorsRequest {}
        ),
        ask!(
            registry,
            delete_administrator,
            registry::DeleteAdministratorRequest { name: nobody() }
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_opens_its_calls_and_no_others() {
    let cluster = Cluster::start(3).await;
    for (role, opened) in [("viewer", 4), ("policy_manager", 8), ("admin", 14)] {
        let token = administrator(&cluster, &role.replace('_', "-"), role).await;
        // The node that is asked may hear of it a moment later than the leader.
        let known = async {
            while passes(&cluster, &token).await[0].1.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, known)
            .await
            .expect("it is known");
        for (at, (call, answer)) in passes(&cluster, &token).await.into_iter().enumerate() {
            match at < opened {
                true => assert!(answer.is_ok(), "{role}: {call}: {answer:?}"),
                false => assert_eq!(answer, Err(Code::PermissionDenied), "{role}: {call}"),
            }
        }
    }
    let grant = Token::from_random(TokenKind::Grant, &[9; 32]);
    for token in [grant.as_str(), "qta_", ""] {
        for (call, answer) in passes(&cluster, token).await {
            assert_eq!(answer, Err(Code::Unauthenticated), "{call}");
        }
    }
    let listed = cluster.signed(registry::ListAdministratorsRequest {});
    let listed = cluster.registry(0).list_administrators(listed).await;
    let listed = listed.unwrap().into_inner().administrators;
    let names: Vec<&str> = listed.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["admin", "policy-manager", "viewer"]);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_administrator_is_nobody() {
    let cluster = Cluster::start(1).await;
    let token = administrator_of_one(&cluster).await;
    let get = || with_token(registry::GetRequest::default(), &token);
    cluster.registry(0).get(get()).await.unwrap();
    let delete = registry::DeleteAdministratorRequest {
        name: "one".to_owned(),
    };
    let delete = cluster.signed(delete);
    cluster
        .registry(0)
        .delete_administrator(delete)
        .await
        .unwrap();
    let status = cluster.registry(0).get(get()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    cluster.stop().await;
}

/// An administrator of a cluster with one node.
async fn administrator_of_one(cluster: &Cluster) -> String {
    let request = registry::CreateAdministratorRequest {
        name: "one".to_owned(),
        role: "viewer".to_owned(),
    };
    let created = cluster
        .registry(0)
        .create_administrator(cluster.signed(request))
        .await;
    created.unwrap().into_inner().token
}
