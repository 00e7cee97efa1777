#!/usr/bin/env python3
"""Writes quotum.json, the dashboard of a fleet, from the description below.

    .e2e/venv/bin/python deploy/grafana/generate.py           writes it
    .e2e/venv/bin/python deploy/grafana/generate.py --check   fails if the file differs

Every expression is run by the end-to-end tests against a real Prometheus that reads a real cluster.
"""

import json
import pathlib
import sys
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as dashboard_models

FILE = pathlib.Path(__file__).with_name("quotum.json")
SOURCE = dashboard_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
DECISIONS = 'quotum_decisions_total{server=~"$server"}'


@dataclass
class Panel:
    """One panel: what it asks, and what a person should think when they see it."""

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "lines"
    span: int = 8
    steps: list[tuple[float | None, str]] = field(default_factory=list)


def quantiles(metric: str, by: str, among: str = "") -> dict[str, str]:
    """The median and the 99th percentile of a histogram, for each value of `by`."""
    rate = f"sum by (le, {by}) (rate({metric}_bucket{among}[$__rate_interval]))"
    return {
        f"p{name} {{{{{by}}}}}": f"histogram_quantile({quantile}, {rate})"
        for name, quantile in (("50", 0.5), ("99", 0.99))
    }


ROWS: dict[str, list[Panel]] = {
    "Is the promise kept?": [
        Panel(
            "Admitted after a restore",
            "Items admitted in the last hour though their window contains a restore that accepted overruns.",
            {"": "sum(max by (shard) (increase(quotum_admitted_after_restore_total[1h])))"},
            kind="figure",
            span=4,
            steps=[(None, "green"), (1, "red")],
        ),
        Panel(
            "Counter nodes",
            "Counter nodes that Prometheus reads.",
            {"": 'sum(up{job="quotum-counter"})'},
            kind="figure",
            span=4,
        ),
        Panel(
            "Counter nodes to spare",
            "How many more may be lost before decisions stop: more than half of the voters must be there.",
            {"": 'sum(up{job="quotum-counter"}) - floor(max(quotum_raft_voters) / 2) - 1'},
            kind="figure",
            span=4,
            steps=[(None, "red"), (0, "orange"), (1, "green")],
        ),
        Panel(
            "Shards with a leader",
            "Shards that decide, the registry among them.",
            {"": "sum(max by (shard) (quotum_raft_is_leader)) / count(max by (shard) (quotum_raft_is_leader))"},
            unit="percentunit",
            kind="figure",
            span=4,
            steps=[(None, "red"), (1, "green")],
        ),
        Panel(
            "Registry copies, oldest",
            "How long ago the gateway that is furthest behind heard of the registry.",
            {"": "max(quotum_registry_age_seconds)"},
            unit="s",
            kind="figure",
            span=4,
            steps=[(None, "green"), (60, "orange"), (300, "red")],
        ),
        Panel(
            "Revisions in use",
            "More than one for longer than a moment: some gateway does not follow.",
            {"": "count(count by (value) (count_values(\"value\", quotum_registry_revision)))"},
            kind="figure",
            span=4,
            steps=[(None, "green"), (2, "orange")],
        ),
    ],
    "Decisions": [
        Panel(
            "Decisions by outcome",
            "What became of governed calls.",
            {"{{outcome}}": f"sum by (outcome) (rate({DECISIONS}[$__rate_interval]))"},
            unit="ops",
        ),
        Panel(
            "Denials by reason",
            "Which kind of rule denied.",
            {
                "{{reason}}": "sum by (reason) (rate(quotum_decisions_total"
                '{server=~"$server", outcome=~"denied|hidden|unavailable", reason!="none"}[$__rate_interval]))'
            },
            unit="ops",
        ),
        Panel(
            "Tools by denials",
            "The ten tools that are denied most: a limit that is too low, or an agent in a loop.",
            {
                "{{server}} {{tool}}": "topk(10, sum by (server, tool) (rate(quotum_decisions_total"
                '{server=~"$server", outcome="denied"}[$__rate_interval])))'
            },
            unit="ops",
        ),
        Panel(
            "Near a limit",
            "Calls that were allowed and left less than a tenth of the limit.",
            {
                "{{server}} {{tool}} {{counter}}": "topk(10, sum by (server, tool, counter) "
                '(rate(quotum_limit_near_total{server=~"$server"}[$__rate_interval])))'
            },
            unit="ops",
        ),
        Panel(
            "Refused before a decision",
            "Requests that never became a call: by the step that refused them.",
            {"{{stage}}": "sum by (stage) (rate(quotum_requests_refused_total[$__rate_interval]))"},
            unit="ops",
        ),
        Panel(
            "Decisions of the counter service",
            "Whoever asked: gateways, Envoy, Kuadrant.",
            {
                "{{api}} {{outcome}}": "sum by (api, outcome) "
                "(rate(quotum_counter_decisions_total[$__rate_interval]))"
            },
            unit="ops",
        ),
    ],
    "Latency": [
        Panel(
            "Decision, by path",
            "From the question to the answer: the replicated log, or what the gateway remembers.",
            quantiles("quotum_decision_duration_seconds", "path"),
            unit="s",
        ),
        Panel(
            "Gateway, by server",
            "The whole request, the upstream's time included.",
            quantiles("quotum_gateway_request_duration_seconds", "server", '{server=~"$server"}'),
            unit="s",
        ),
        Panel(
            "Upstream, by server",
            "The MCP server's own time.",
            quantiles("quotum_upstream_duration_seconds", "server", '{server=~"$server"}'),
            unit="s",
        ),
    ],
    "Raft": [
        Panel(
            "Leader",
            "Which node leads each shard.",
            {"{{instance}} {{shard}}": "quotum_raft_is_leader"},
        ),
        Panel(
            "Commit",
            "From a proposal to a majority.",
            quantiles("quotum_raft_commit_seconds", "shard"),
            unit="s",
        ),
        Panel(
            "Disk",
            "How long a sync of the log takes on each node.",
            quantiles("quotum_raft_sync_seconds", "instance"),
            unit="s",
        ),
        Panel(
            "Elections",
            "Elections started. In a quiet cluster there are none.",
            {"{{instance}}": "sum by (instance) (rate(quotum_raft_election_total[$__rate_interval]))"},
            unit="ops",
        ),
        Panel(
            "Log",
            "Bytes of log on each node: it falls when a snapshot was taken.",
            {"{{instance}}": "quotum_raft_log_bytes"},
            unit="bytes",
        ),
        Panel(
            "Log clock",
            "How far each node's clock is from the log clock.",
            {"{{instance}}": "max by (instance) (abs(quotum_log_clock_offset_seconds))"},
            unit="s",
        ),
    ],
}


def build() -> str:
    """The dashboard, as the text of its file."""
    builder = (
        dashboard.Dashboard("Quotum")
        .uid("quotum-fleet")
        .description("Decisions, limits, latency and the health of the counter service.")
        .tags(["quotum", "mcp", "rate-limit"])
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("utc")
        .tooltip(dashboard_models.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("server")
            .label("MCP server")
            .datasource(SOURCE)
            .query("label_values(quotum_decisions_total, server)")
            .refresh(dashboard_models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    )
    for title, panels in ROWS.items():
        builder = builder.with_row(dashboard.Row(title))
        for panel in panels:
            builder = builder.with_panel(draw(panel))
    return json.dumps(builder.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def draw(panel: Panel):
    made = figure() if panel.kind == "figure" else lines()
    made = made.title(panel.title).description(panel.description).unit(panel.unit)
    made = made.datasource(SOURCE).span(panel.span).height(4 if panel.kind == "figure" else 8)
    if panel.steps:
        steps = [dashboard_models.Threshold(value=value, color=color) for value, color in panel.steps]
        mode = dashboard_models.ThresholdsMode.ABSOLUTE
        made = made.thresholds(dashboard.ThresholdsConfig().mode(mode).steps(steps))
    for number, (legend, expression) in enumerate(panel.queries.items()):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        made = made.with_target(query.datasource(SOURCE))
    return made


def lines():
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE)
    legend = legend.placement(common_models.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"])
    return timeseries.Panel().line_width(1).fill_opacity(10).min(0).legend(legend)


def figure():
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().reduce_options(last).graph_mode(common_models.BigValueGraphMode.AREA)


def main() -> None:
    text = build()
    if "--check" not in sys.argv[1:]:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        sys.exit(f"{FILE} is not what generate.py writes: run it and commit the file")


if __name__ == "__main__":
    main()
