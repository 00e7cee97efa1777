use clap::{CommandFactory, Parser};

use super::{Arguments, Command, Grant};
use crate::output::Format;

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn options_of_the_cluster_and_the_output_may_stand_last() {
    let line = "quotum grant revoke g --server s --wait --output json --admin http://a:1,b:2";
    let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
    assert_eq!(arguments.output, Format::Json);
    let Command::Grant(Grant::Revoke(revoke)) = arguments.command else {
        panic!("another command")
    };
    assert_eq!(revoke.reach.address, ["http://a:1", "b:2"]);
    assert_eq!(revoke.server.as_deref(), Some("s"));
}

#[test]
fn dev_has_bounds() {
    for line in ["dev --counters 0", "dev --counters 8", "dev --gateways 17"] {
        let arguments = ["quotum"].into_iter().chain(line.split(' '));
        assert!(Arguments::try_parse_from(arguments).is_err(), "{line}");
    }
}

#[test]
fn every_command_is_in_the_guide() {
    const GUIDE: &str = include_str!("../../../../docs/commands.md");
    fn look(path: &str, command: &clap::Command) {
        let path = format!("{path} {}", command.get_name());
        let path = path.trim();
        let mut children = command.get_subcommands().peekable();
        if children.peek().is_none() {
            assert!(GUIDE.contains(&format!("## {path}")), "{path}");
            let options = command
                .get_arguments()
                .filter(|option| !option.is_hide_set());
            for long in options.filter_map(clap::Arg::get_long) {
                assert!(GUIDE.contains(&format!("--{long}")), "{path} --{long}");
            }
        }
        children.for_each(|child| look(path, child));
    }
    look("", &Arguments::command());
}
