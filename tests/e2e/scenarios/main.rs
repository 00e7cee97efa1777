//! The scenarios: what must hold, seen from outside, with real clients, real servers and killed
//! processes. A scenario whose tools are missing is reported as ignored; with `QUOTUM_REQUIRE_ALL=1`
//! it fails. With `QUOTUM_BARE=1` everything that is not Rust counts as missing.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use quotum_e2e::bench::Bench;
use quotum_e2e::failure::Result;
use quotum_e2e::settings::Settings;
use quotum_e2e::tools::{Tool, Tools};

mod backup;
mod balance;
mod burst;
mod changes;
mod edges;
mod envoy;
mod floods;
mod https;
mod kill;
mod kubernetes;
mod members;
mod monitoring;
mod names;
mod outage;
mod readme;
mod registry;
mod restart;
mod sdks;
mod talk;
mod tls;
mod whatsapp;

/// A scenario and the programs that it cannot run without.
struct Scenario {
    name: &'static str,
    needs: &'static [Tool],
    run: Run,
}

type Run = fn(&Bench) -> Result;

/// A scenario whose function is async.
macro_rules! scenario {
    ($path:path, $needs:expr) => {
        Scenario {
            name: stringify!($path),
            needs: $needs,
            run: |bench| runtime()?.block_on($path(bench)),
        }
    };
}

const CLUSTER: &[Tool] = &[Tool::Quotum];
const BALANCED: &[Tool] = &[Tool::Quotum, Tool::Haproxy];
const SDKS: &[Tool] = &[Tool::Quotum, Tool::Haproxy, Tool::Python, Tool::Node];
const SERVED: &[Tool] = &[Tool::Quotum, Tool::Python];
const ENVOY: &[Tool] = &[Tool::Quotum, Tool::Envoy];
const AGENTS: &[Tool] = &[Tool::Quotum, Tool::Python, Tool::Node];
const NAMED: &[Tool] = &[Tool::Quotum, Tool::Python, Tool::Mounts];
const SHELL: &[Tool] = &[Tool::Quotum, Tool::Curl];
const MONITORED: &[Tool] = &[Tool::Quotum, Tool::Haproxy, Tool::Prometheus];

fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(sdks::every_client_works_with_a_server_of_both_eras, SDKS),
        scenario!(sdks::every_client_works_with_a_server_of_sessions, SDKS),
        scenario!(
            sdks::every_client_works_with_a_server_that_sends_messages,
            SDKS
        ),
        scenario!(
            talk::what_a_server_says_and_asks_while_a_tool_runs_passes,
            SDKS
        ),
        scenario!(talk::a_session_that_was_ended_is_not_found, SERVED),
        scenario!(
            https::a_server_with_a_private_certificate_needs_its_authority,
            SERVED
        ),
        scenario!(readme::the_line_of_the_readme_does_what_it_says, SHELL),
        scenario!(burst::of_400_calls_in_a_minute_30_run, BALANCED),
        scenario!(whatsapp::of_90_messages_in_eight_sessions_30_are_sent, SDKS),
        scenario!(
            kill::a_dead_leader_costs_no_call_and_admits_none_twice,
            BALANCED
        ),
        scenario!(
            kill::a_dead_gateway_costs_at_most_its_calls_on_the_way,
            BALANCED
        ),
        scenario!(changes::a_rolling_restart_refuses_no_call, CLUSTER),
        scenario!(changes::three_nodes_become_five_and_three_again, CLUSTER),
        scenario!(balance::a_stopped_gateway_holds_no_call_for_long, BALANCED),
        scenario!(
            balance::a_gateway_that_is_asked_to_end_loses_no_call,
            BALANCED
        ),
        scenario!(
            registry::a_changed_policy_holds_for_the_next_request_everywhere,
            CLUSTER
        ),
        scenario!(
            registry::a_revoked_grant_is_refused_everywhere_at_once,
            CLUSTER
        ),
        scenario!(
            outage::stopped_counters_deny_in_time_and_free_tools_go_on,
            CLUSTER
        ),
        scenario!(
            outage::killed_counters_start_again_under_running_gateways,
            CLUSTER
        ),
        scenario!(
            restart::used_units_stay_used_when_everything_is_killed,
            CLUSTER
        ),
        scenario!(restart::everything_ends_when_it_is_asked_to, CLUSTER),
        scenario!(
            edges::malformed_requests_are_refused_and_run_nothing,
            CLUSTER
        ),
        scenario!(edges::noise_on_any_port_stops_nothing, CLUSTER),
        scenario!(floods::a_flood_on_the_client_port_is_hung_up_on, CLUSTER),
        scenario!(floods::whoever_dawdles_is_hung_up_on, CLUSTER),
        scenario!(
            tls::certificates_and_authorities_change_and_no_call_is_refused,
            CLUSTER
        ),
        scenario!(
            tls::whoever_has_not_the_right_certificate_gets_nothing,
            CLUSTER
        ),
        scenario!(envoy::it_admits_exactly_what_a_unit_has, ENVOY),
        scenario!(envoy::descriptor_files_change_while_it_runs, ENVOY),
        scenario!(envoy::a_dead_node_lets_nothing_through, ENVOY),
        scenario!(
            tls::agents_come_over_tls_to_gateways_that_ask_over_tls,
            AGENTS
        ),
        scenario!(
            members::a_cluster_made_by_commands_counts_through_every_change,
            SERVED
        ),
        scenario!(names::a_node_with_a_new_address_is_found_by_its_name, NAMED),
        scenario!(names::a_change_is_waited_for_while_a_node_is_dead, NAMED),
        scenario!(backup::a_new_cluster_counts_on_from_a_backup, SERVED),
        scenario!(kubernetes::the_shipped_manifests_make_a_cluster, SERVED),
        scenario!(
            monitoring::every_panel_and_rule_finds_its_figures,
            MONITORED
        ),
    ]
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each scenario loads the machine on its own, and measures time.
    arguments.test_threads.get_or_insert(1);
    let settings = Settings::from_environment();
    let tools = Tools::find(&settings);
    let trials = scenarios()
        .into_iter()
        .map(|scenario| trial(scenario, &settings, &tools));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial(scenario: Scenario, settings: &Settings, tools: &Tools) -> Trial {
    let Scenario { name, needs, run } = scenario;
    let missing = tools.missing(needs);
    let (settings, tools) = (settings.clone(), tools.clone());
    let requires_all = settings.requires_all;
    let is_ignored = !missing.is_empty() && !requires_all;
    let trial = move || match missing.is_empty() {
        true => play(run, settings, tools),
        false => Err(Failed::from(format!("missing: {}", missing.join("; ")))),
    };
    Trial::test(name, trial).with_ignored_flag(is_ignored)
}

fn play(run: Run, settings: Settings, tools: Tools) -> std::result::Result<(), Failed> {
    let bench = Bench::new(settings, tools).map_err(|failure| failure.to_string())?;
    run(&bench).map_err(|failure| Failed::from(bench.explain(&failure)))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}
