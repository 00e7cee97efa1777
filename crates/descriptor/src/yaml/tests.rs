use super::*;

fn shape(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        Value::List(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(shape).collect();
            format!("[{}]", nodes.join(","))
        }
        Value::Map(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("{}:{}", shape(name), shape(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    }
}

fn tree(text: &str) -> String {
    shape(&read(text).unwrap().unwrap())
}

fn refused(text: &str) -> (usize, String) {
    let fault = read(text).unwrap_err();
    (fault.place.line, fault.message)
}

#[test]
fn values_know_their_places() {
    let root = read("a: 1\nb:\n  - x\n  - {c: 'y'}\n").unwrap().unwrap();
    assert_eq!(shape(&root), "{a:1,b:[x,{c:y}]}");
    let Value::Map(members) = &root.value else {
        panic!("{root:?}")
    };
    let (name, list) = &members[1];
    assert_eq!(name.place, Place { line: 2, column: 1 });
    let Value::List(nodes) = &list.value else {
        panic!("{list:?}")
    };
    assert_eq!(nodes[1].place, Place { line: 4, column: 5 });
    assert_eq!(read("# nothing\n").unwrap(), None);
}

#[test]
fn aliases_and_merges_are_resolved() {
    assert_eq!(
        tree("a: &x {b: 1}\nc: *x\nd: {<<: *x, e: 2}\n"),
        "{a:{b:1},c:{b:1},d:{e:2,b:1}}"
    );
    assert_eq!(
        tree("p: &p {a: 1}\nq: &q {a: 2, b: 2}\nr: {<<: [*p, *q], c: 3}\n"),
        "{p:{a:1},q:{a:2,b:2},r:{c:3,a:1,b:2}}"
    );
    assert_eq!(
        tree("a: &x {b: 1}\nd: {<<: *x, b: 2}\n"),
        "{a:{b:1},d:{b:2}}"
    );
    assert_eq!(refused("a: &x 1\nb: {<<: *x}").1, "`<<` takes a mapping");
}

#[test]
fn what_is_no_tree_of_one_document_is_refused_by_its_line() {
    assert_eq!(
        refused("a: 1\nb: 2\na: 3\n"),
        (3, "`a` stands twice: first on line 1".to_owned())
    );
    assert_eq!(refused("a: 1\n---\nb: 2\n").0, 2);
    assert!(refused("a: [1\nb: 2\n").1.starts_with("this is no YAML"));
    assert!(refused("a: &x [*x]\n").1.contains("alias"));
}

#[test]
fn depth_and_size_are_bounded_what_aliases_repeat_included() {
    let deep = "[".repeat(DEPTH_MAX + 1) + &"]".repeat(DEPTH_MAX + 1);
    assert!(refused(&deep).1.contains("nested deeper"));
    let fits = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
    assert!(read(&fits).is_ok());
    let mut bomb = "l0: &l0 [x]\n".to_owned();
    for level in 1..20 {
        let before = format!("*l{}", level - 1);
        bomb += &format!(
            "l{level}: &l{level} [{}]\n",
            [before.as_str(); 9].join(", ")
        );
    }
    assert!(refused(&bomb).1.contains("values"), "{:?}", refused(&bomb));
    let mut tower = "l0: &l0 [x]\n".to_owned();
    for level in 1..=DEPTH_MAX {
        tower += &format!("l{level}: &l{level} [*l{}]\n", level - 1);
    }
    assert!(refused(&tower).1.contains("nested deeper"));
}
