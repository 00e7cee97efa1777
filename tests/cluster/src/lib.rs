//! Real counter nodes and gateways, broken on purpose: what must hold of processes, kernels, disks
//! and networks that no simulator has.
//!
//! Each scenario starts a cluster of `quotum counter` processes, every one in a network namespace of
//! its own on one bridge, and real clients that never stop asking. Everything that is asked and
//! answered becomes a history, and so does what the nodes say of themselves. Something is broken,
//! then everything is healed, and `quotum-checker` judges the whole history: no limit was exceeded
//! in any window, no request was charged twice, every denial was due, nothing that was acknowledged
//! was lost, and all nodes ended with the same state.
//!
//! What holds of every scenario: the checker finds nothing; no answer takes longer than its deadline;
//! while nothing is broken every request is decided; after the last fault everything is served again
//! within [`limits::HEAL_MAX`], and all nodes agree, to the digest; every node ends when it is asked
//! to; the logs on all disks are the same. And besides:
//!
//! | scenario | what is broken | what must hold besides |
//! |---|---|---|
//! | [`kills`](scenarios) | a follower is killed | the leader stays, every request is decided |
//! | | the leader is killed, twice, before gateways | decisions go on within [`limits::FAILOVER_MAX`]; what gateways let through ran, once |
//! | | the same over TLS, with certificates both ways, all of which are replaced while it is dead | the same; all that run take their new files, and the dead one does when it comes back |
//! | | the leaders of two shards are killed in turn, under calls that take from both | such calls are decided, in both or in none |
//! | | three of five are killed | nothing is decided until they are back |
//! | | all are killed, twice | |
//! | | the leader sleeps for 10 s | its successor decides soon, and stays when it wakes |
//! | `partitions` | leader and one more of five are cut off | the majority decides soon; its leader stays when they heal, without a storm of terms |
//! | | the same over TLS, and all certificates are replaced meanwhile | the same |
//! | | the leader hears nobody; nobody hears the leader | decisions go on soon, without a storm of terms |
//! | | two of three do not see each other | between followers: every request is decided; beside the leader: it goes on |
//! | `wire` | a tenth of all packets is lost; packets are held 20 to 40 ms, and reordered | it goes on |
//! | `clocks` | one wall clock jumps by an hour, either way, or drifts by 5 %: the leader's, or a follower's that then leads | log time stays within 500 ms of real time |
//! | `disks` | a disk is full: a follower's, then the leader's | the node ends and says why, the others serve; it comes back when there is space |
//! | | a sync fails once | the node ends, though all later syncs would succeed |
//! | | syncs take 300 ms: a follower's, then the leader's | every request is decided |
//! | | all nodes lose their power, three times, with what was not synced | |
//! | | the same with `durability = "os"` | the checker **must find** that decisions were lost |
//! | `strangers` | votes and entries of another protocol, another cluster, for another node | they are refused, no request notices |
//! | `members` | rolling restart, before gateways | every request is decided, no call is refused for want of a counter |
//! | | the same over TLS, and the authorities are replaced meanwhile | the same; then the old authorities are not believed any more |
//! | | a build of the next feature level is rolled out, taken back half way, and rolled out again | every request is decided; what the old build does not know is refused until the last one is gone; a node that goes back after that ends, and says why |
//! | | the next build, with another level and peer protocol, is rolled out, taken back on one node, and rolled out again, before gateways; leaders of both builds are killed between | all speak the old protocol until the last old build is gone, and then the new one; the old build that comes back says why it takes no part |
//! | | 3 to 5 to 3 nodes, the leader leaves too | every request is decided; those that come are fed by snapshots |
//! | | the leader dies and comes back with an empty disk | it is told nothing under its old id, and let in when it is removed and added |
//!
//! The build before is this one, told to take part in lower feature levels only. The build after this
//! one is real, as far as `tests/cluster/next` makes it: another program, which speaks to its like in
//! a protocol that this one refuses. What is in those messages is the same: there is one protocol so
//! far.
//!
//! `just cluster` runs all of it in about five minutes, `just cluster disk` what has `disk` in its
//! name. A few scenarios run at a time, each in namespaces of its own; `--test-threads 1` runs one.
//! What a machine lacks is said, and the scenarios that need it are ignored; with
//! `QUOTUM_REQUIRE_ALL=1` they fail. A history that fails is kept in `target/cluster`.
//!
//! # Layout
//! * [`scenarios`]: what is broken, and what must hold. [`course`]: what all of them have in common.
//! * [`apart`], [`sandbox`], [`network`], [`needs`]: the surroundings. [`cluster`], [`node`], [`tls`],
//!   [`status`]: the nodes. [`front`], [`upstream`]: gateways before them, and what is behind those.
//! * [`delay`], [`wall`], [`disk`]: what is broken beside processes and firewalls.
//! * [`load`], [`watch`], [`recorder`], [`logged`], [`verdict`]: the history and what is thought of
//!   it.

pub mod apart;
pub mod cluster;
pub mod course;
pub mod delay;
pub mod disk;
pub mod front;
pub mod limits;
pub mod load;
pub mod logged;
pub mod needs;
pub mod network;
pub mod node;
pub mod recorder;
pub mod sandbox;
pub mod scenarios;
pub mod secrets;
pub mod shell;
pub mod status;
pub mod tls;
pub mod upstream;
pub mod verdict;
pub mod wall;
pub mod watch;

use std::io::Write;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use quotum_e2e::failure::Result;
use quotum_e2e::settings::Settings;
use quotum_e2e::tools::Tools;

use needs::Machine;
use scenarios::Scenario;

/// Runs the scenarios that the arguments name: the whole of the test program.
pub fn run(mut arguments: Vec<String>) -> ExitCode {
    let is_inside = match (arguments.get(1).map(String::as_str), arguments.get(2)) {
        (Some(sandbox::ALONE), Some(name)) => return apart::alone(name),
        (first, _) => first == Some(sandbox::INSIDE),
    };
    if is_inside {
        arguments.remove(1);
    }
    let mut parsed = Arguments::from_iter(&arguments);
    parsed.test_threads.get_or_insert_with(apart::slots);
    let sandbox = match is_inside {
        true => sandbox::furnish(),
        false if parsed.list => Ok(()),
        false => Err(sandbox::enter(&arguments)),
    };
    let settings = Settings::from_environment();
    let machine = Machine::look(sandbox, &Tools::find(&settings));
    let trials = scenarios::all()
        .into_iter()
        .map(|scenario| trial(&scenario, &settings, &machine));
    let conclusion = libtest_mimic::run(&parsed, trials.collect());
    if is_inside {
        let _unheard = writeln!(std::io::stderr(), "{}", verdict::TOTALS);
        sandbox::clear();
    }
    conclusion.exit_code()
}

fn trial(scenario: &Scenario, settings: &Settings, machine: &Machine) -> Trial {
    let name = scenario.name;
    let missing = machine.missing(scenario.needs);
    let is_ignored = !missing.is_empty() && !settings.requires_all;
    if is_ignored {
        let _unheard = writeln!(
            std::io::stderr(),
            "{name} is ignored: {}",
            missing.join("; ")
        );
    }
    let trial = move || match missing.is_empty() {
        true => apart::run(name),
        false => Err(Failed::from(format!("missing: {}", missing.join("; ")))),
    };
    Trial::test(name, trial).with_ignored_flag(is_ignored)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
