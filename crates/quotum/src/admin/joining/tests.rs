use super::*;

#[test]
fn who_waits_is_told_where_the_node_has_no_vote() {
    let joining = |shard: &str, behind| Joining {
        shard: shard.to_owned(),
        behind,
    };
    let added = AddResponse {
        node: 4,
        joining: vec![joining("0", Some(12)), joining("registry", None)],
    };
    let expected = "node 4 has no vote yet: shard 0 is 12 entries behind, shard registry is silent";
    assert_eq!(line(&added), expected);
}
