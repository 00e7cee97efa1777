"""Prints what benches/run measured, as Markdown: table.py READY RESULTS DEV_PID."""

import json
import os
import platform
import statistics
import sys

FIGURES = ["decisions_per_s", "p50_us", "p99_us", "p999_us"]


def option(line, name, default):
    words = line["arguments"].split()
    return words[words.index(name) + 1] if name in words else default


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def row(cells):
    print("| " + " | ".join(cells) + " |")


def head(title, cells):
    print(f"\n## {title}\n")
    row(cells)
    row(["---"] * len(cells))


def figures(result):
    return [number(result[name]) for name in FIGURES]


def failures(result):
    return [str(result["errors"]), str(result["unsent"])]


def median(values):
    """Of results of the same run: of each figure its median, and all the failures."""
    first = values[0]
    if isinstance(first, dict):
        return {
            name: sum(value[name] for value in values)
            if name in ("errors", "unsent")
            else median([value[name] for value in values])
            for name in first
        }
    if isinstance(first, str) or None in values:
        return first
    return statistics.median(values)


def rounds(lines):
    """One line for those that measured the same, in the order of the first round."""
    same = {}
    for line in lines:
        same.setdefault((line["what"], line["arguments"]), []).append(line["result"])
    return [
        {"what": what, "arguments": arguments, "result": median(results)}
        for (what, arguments), results in same.items()
    ]


def decisions(ready, lines):
    head(
        "Decisions",
        ["", "in flight", "batch", "rate", "decisions/s", "p50 us", "p99 us", "p99.9 us",
         "CPU us: leader, or server", "each follower", "generator", "errors", "unsent"],
    )
    pids = {node["grpc"]: str(node["pid"]) for node in ready["counters"]}
    for line in lines:
        result = line["result"]
        cpu = dict(result.get("cpu_us_per_decision", {}))
        leader = cpu.pop(pids.get(result.get("leader")), None)
        if line["what"] == "redis":
            leader, cpu = sum(cpu.values()), {}
        followers = ", ".join(number(share) for share in cpu.values())
        row(
            [line["what"], option(line, "--in-flight", ""), option(line, "--batch", "1"),
             option(line, "--rate", "-")]
            + figures(result)
            + [number(leader), followers or "-",
               number(result.get("generator_cpu_us_per_decision"))]
            + failures(result)
        )


def calls(ready, dev, lines):
    head(
        "Calls",
        ["", "in flight", "calls/s", "p50 us", "p99 us", "p99.9 us", "CPU us: gateway",
         "counter nodes", "upstream", "errors", "unsent"],
    )
    direct = {}
    added = []
    gateway = str(ready["gateways"][0]["pid"])
    for line in lines:
        result = line["result"]
        in_flight = option(line, "--in-flight", "")
        cpu = dict(result.get("cpu_us_per_decision", {}))
        shares = [cpu.pop(gateway, None), cpu.pop(dev, None)]
        nodes = [share for share in cpu.values() if share is not None]
        row(
            [line["what"], in_flight] + figures(result)
            + [number(shares[0]), number(sum(nodes) if nodes else None), number(shares[1])]
            + failures(result)
        )
        if line["what"] == "upstream":
            direct[in_flight] = result
        elif in_flight in direct:
            added.append((in_flight, direct[in_flight], result))
    head("What the gateway adds", ["in flight", "p50 us", "p99 us", "p99.9 us"])
    for in_flight, before, after in added:
        differences = []
        for name in FIGURES[1:]:
            known = before[name] is not None and after[name] is not None
            differences.append(f"{after[name] - before[name]:+,.0f}" if known else "-")
        row([in_flight] + differences)


def main():
    ready_file, results_file, dev = sys.argv[1:]
    with open(ready_file, encoding="utf-8") as file:
        ready = json.loads(file.readline())
    with open(results_file, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    broken = [line for line in lines if line["result"] is None]
    lines = rounds([line for line in lines if line["result"] is not None])
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load {load:.1f}")
    decisions(ready, [line for line in lines if line["what"] in ("unary", "envoy", "stream", "redis")])
    calls(ready, dev, [line for line in lines if line["what"] in ("upstream", "gateway")])
    for line in broken:
        print(f"\nnot measured: quotum-load {line['arguments']}")


main()
