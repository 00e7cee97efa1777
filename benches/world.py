"""What the measuring scripts have in common: the binaries, a cluster of `quotum dev`, its end.

QUOTUM_BIN and QUOTUM_LOAD_BIN name other binaries than those in target/release.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
QUOTUM = os.environ.get("QUOTUM_BIN", str(BINARIES / "quotum"))
LOAD = os.environ.get("QUOTUM_LOAD_BIN", str(BINARIES / "quotum-load"))

READY_MAX_S = 30
END_MAX_S = 15
LOOK_EVERY_S = 0.05


def start_dev(folder, log, *options):
    """Three counter nodes and a gateway on FOLDER/data; the process, and what it says when it is ready."""
    command = [QUOTUM, "dev", "--counters", "3", "--gateways", "1", "--output", "json"]
    command += ["--data", str(folder / "data"), *options]
    dev = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    line = dev.stdout.readline()
    if not line:
        sys.exit(f"the cluster did not start: {pathlib.Path(log.name).read_text()[-2000:]}")
    return dev, json.loads(line)


def start_node(config, log):
    return subprocess.Popen([QUOTUM, "counter", "--config", str(config)], stdout=subprocess.DEVNULL, stderr=log)


def get(url):
    """The text of a page; None if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


def until_ready(process, metrics_url, log):
    """Waits until a node that was started is ready."""
    url = metrics_url.replace("/metrics", "/readyz")
    deadline = time.monotonic() + READY_MAX_S
    while get(url) is None:
        if time.monotonic() > deadline or process.poll() is not None:
            sys.exit(f"{url} is not ready: {pathlib.Path(log.name).read_text()[-2000:]}")
        time.sleep(LOOK_EVERY_S)


def end(processes):
    """Asks processes to end, and waits for them; those that do not are killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(timeout=END_MAX_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
