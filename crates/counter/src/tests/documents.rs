//! Documents that reach a node by another way than our own command.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_stands_twice_is_refused_by_its_place() {
    let cluster = Cluster::start(1).await;
    let documents =
        r#"[{"kind":"Policy","name":"p","document":{"version":"1","tools":{"a":{},"a":{}}}}]"#;
    let request = cluster.signed(apply(documents));
    let refused = cluster.registry(0).apply(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(
        refused.message(),
        "documents_json at /0/document/tools/a: this member stands here twice"
    );
    cluster.stop().await;
}
