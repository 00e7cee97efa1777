# Every command that a person runs. `just` alone lists them.

e2e := "cargo test --workspace --test e2e --"

_list:
    @just --list --unsorted

# What a change must pass before it is committed
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny --offline check licenses bans sources

# Formats, and applies what clippy can mend by itself
fix:
    cargo fmt
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# All tests; those whose tools are missing are reported as ignored
test *ARGS:
    cargo test --workspace {{ARGS}}

# Writes the expected output of the transcripts in testdata/ anew; look at the difference before committing
bless:
    QUOTUM_BLESS=1 cargo test --workspace
    git diff --stat -- '*/testdata/*'

# A cluster on this machine, with a demo MCP server
dev *ARGS:
    cargo run --release -- dev {{ARGS}}

# Installs what the end-to-end tests and deploy-check need, into .e2e/ and from Debian
setup-e2e:
    tests/e2e/setup

# The end-to-end scenarios with the release binary: `just e2e burst` for some of them
e2e *ARGS: setup-e2e
    cargo build --release --bin quotum
    QUOTUM_BIN={{justfile_directory()}}/target/release/quotum QUOTUM_REQUIRE_ALL=1 {{e2e}} {{ARGS}}

# Real processes, broken on purpose, with the release binary: `just cluster kills` for some of them
cluster *ARGS:
    tests/cluster/setup
    tests/cluster/next
    cargo build --release --bin quotum
    QUOTUM_BIN={{justfile_directory()}}/target/release/quotum QUOTUM_REQUIRE_ALL=1 cargo test --workspace --test cluster -- {{ARGS}}

# Simulates clusters: `just sim 7` for one seed, `just sim --seeds 500` for many, `just sim --help`
sim *ARGS:
    cargo run --release --quiet -p quotum-sim -- {{ARGS}}

# What continuous integration asks of the simulation, with so many seeds
sim-check SEEDS="50":
    tests/sim/check {{SEEDS}}

# Each fuzz target for so many seconds
fuzz SECONDS="60":
    .ci/fuzz {{SECONDS}}

# Manifests, dashboards, rules, load balancer, against the real checkers
deploy-check:
    deploy/check

# The dashboards, from their description
dashboards: setup-e2e
    .e2e/venv/bin/python deploy/grafana/generate.py

# All that continuous integration does
ci:
    .ci/run
