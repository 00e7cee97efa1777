"""What the files of deploy/ say of each other: facts that no schema knows. `deploy/check` runs it."""

import json
import pathlib
import re
import sys
import tomllib

import promql_parser
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

DEPLOY = pathlib.Path(__file__).parent
ROOT = DEPLOY.parent
CATALOG = ROOT / "crates" / "telemetry" / "src"
KUBERNETES = DEPLOY / "kubernetes"
WORKLOADS = {"quotum-counter": "StatefulSet", "quotum-gateway": "Deployment"}

problems: list[str] = []


def expect(holds: bool, fact: str) -> None:
    if not holds:
        problems.append(fact)


def manifests() -> dict[tuple[str, str], dict]:
    """Every object by kind and name; the kustomization names every file but the example."""
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    shipped = {name for name in files if ".example." not in name}
    expect(set(kustomization["resources"]) == shipped, f"the kustomization names all of {sorted(shipped)}")
    objects = {}
    for name in sorted(files):
        for document in yaml.safe_load_all((KUBERNETES / name).read_text()):
            key = (document["kind"], document["metadata"]["name"])
            expect(key not in objects, f"{key} is there once")
            objects[key] = document
    return objects


def check_workload(objects: dict, name: str) -> None:
    """Probes, ports, security and disruption of one workload."""
    workload = objects[WORKLOADS[name], name]
    pod = workload["spec"]["template"]["spec"]
    labels = workload["spec"]["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    for probe, path in (("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/readyz")):
        asked = container[f"{probe}Probe"]["httpGet"]
        expect(asked == {"path": path, "port": "admin"}, f"{name}: the {probe} probe asks {path} of admin")
    expect("livenessProbe" in container and container["livenessProbe"]["failureThreshold"] >= 3, f"{name}: patient")

    config = check_config(objects, name, container)
    for key, port in (("listen", "client" if name == "quotum-counter" else "mcp"), ("admin_listen", "admin")):
        expect(config[key] == f"0.0.0.0:{ports[port]}", f"{name}: {key} is the container's port {port}")
    annotations = workload["spec"]["template"]["metadata"]["annotations"]
    expect(annotations["prometheus.io/port"] == str(ports["admin"]), f"{name}: Prometheus reads the admin port")

    check_security(name, pod, container)
    budget = objects["PodDisruptionBudget", name]["spec"]
    expect(budget["selector"]["matchLabels"].items() <= labels.items(), f"{name}: the budget selects the pods")
    left = workload["spec"]["replicas"] - budget["maxUnavailable"]
    least = workload["spec"]["replicas"] // 2 + 1 if name == "quotum-counter" else 1
    expect(left >= least, f"{name}: {left} pods are left by a disruption, {least} are needed")
    for (kind, service), document in objects.items():
        if kind == "Service" and document["spec"]["selector"].items() <= labels.items():
            for port in document["spec"]["ports"]:
                expect(port["targetPort"] in ports, f"{service}: {port['targetPort']} is a port of {name}")
    check_network(objects, name, ports)


def check_config(objects: dict, name: str, container: dict) -> dict:
    """The configuration that a container is started with."""
    data = objects["ConfigMap", name]["data"]
    (file,) = data
    command, flag, path = container["args"]
    expect((command, flag) == (name.removeprefix("quotum-"), "--config"), f"{name}: started by its own command")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    expect(path == f"{mounts['config']}/{file}", f"{name}: {path} is mounted")
    config = tomllib.loads(data[file])
    pod = objects[WORKLOADS[name], name]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    mounted = {mounts[volume]: secret for volume, secret in volumes.items()}
    for key in (key for key in config if key.endswith("_file")):
        folder, _, file = config[key].rpartition("/")
        secret = objects.get(("Secret", mounted.get(folder, {}).get("secretName")), {"stringData": {}})
        expect(file in secret["stringData"], f"{name}: {key} names a mounted secret")
    for secret in volumes.values():
        expect(secret["defaultMode"] == 0o440, f"{name}: {secret['secretName']} is not for everybody")
    folders = {"data_dir": "data", "registry_cache": "cache"}
    for key in folders.keys() & config.keys():
        expect(config[key].startswith(mounts[folders[key]]), f"{name}: {key} is on a volume")
    return config


def check_security(name: str, pod: dict, container: dict) -> None:
    """The restricted profile of Pod Security, and a root that cannot be written to."""
    expect(pod["securityContext"]["runAsNonRoot"] is True, f"{name}: not root")
    expect(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: seccomp")
    own = container["securityContext"]
    expect(own["allowPrivilegeEscalation"] is False, f"{name}: no escalation")
    expect(own["readOnlyRootFilesystem"] is True, f"{name}: a root that cannot be written to")
    expect(own["capabilities"] == {"drop": ["ALL"]}, f"{name}: no capabilities")
    expect(pod["automountServiceAccountToken"] is False, f"{name}: no token of the cluster")
    resources = container["resources"]
    expect({"cpu", "memory"} <= resources["requests"].keys(), f"{name}: asks for what it needs")
    expect("memory" in resources["limits"], f"{name}: a bound on memory")
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    expect(pod["terminationGracePeriodSeconds"] >= pause + 20, f"{name}: time to end after the pause")


def check_network(objects: dict, name: str, ports: dict) -> None:
    """The network policy opens the container's ports and nothing else."""
    ingress = objects["NetworkPolicy", name]["spec"]["ingress"]
    opened = {port["port"] for rule in ingress for port in rule["ports"]}
    expect(opened == set(ports.values()), f"{name}: the network policy opens {sorted(ports.values())}")


def check_peers(objects: dict) -> None:
    """Names in the configuration are those that the headless service gives."""
    stateful = objects["StatefulSet", "quotum-counter"]
    service = objects["Service", stateful["spec"]["serviceName"]]
    expect(service["spec"]["clusterIP"] == "None", "the peers' service is headless")
    expect(service["spec"]["publishNotReadyAddresses"] is True, "nodes that start find each other")
    expect(stateful["spec"]["podManagementPolicy"] == "Parallel", "nodes start together")
    domain = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    names = [f"quotum-counter-{number}.{domain}" for number in range(stateful["spec"]["replicas"])]

    counter = tomllib.loads(objects["ConfigMap", "quotum-counter"]["data"]["counter.toml"])
    gateway = tomllib.loads(objects["ConfigMap", "quotum-gateway"]["data"]["gateway.toml"])
    expect(counter["peers"] == [f"{name}:{ports['peer']}" for name in names], "peers are the pods' names")
    expect(counter["bootstrap_expect"] == len(names), "as many nodes are expected as there are")
    expect(counter["peer_listen"] == f"0.0.0.0:{ports['peer']}", "the peers' port is the service's")
    expect(gateway["counters"] == [f"{name}:{ports['client']}" for name in names], "gateways know every node")
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    advertised = {variable["name"]: variable.get("value") for variable in container["env"]}["QUOTUM_ADVERTISE"]
    expect(advertised == f"$(POD_NAME).{domain}", "a node advertises its name in the service")
    scaler = objects["HorizontalPodAutoscaler", "quotum-gateway"]["spec"]
    replicas = objects["Deployment", "quotum-gateway"]["spec"]["replicas"]
    expect(scaler["minReplicas"] == replicas >= 2, "the autoscaler keeps what is deployed")


def check_certificates(objects: dict) -> None:
    """What cert-manager makes is what is mounted, for the names that are dialled."""
    text = (DEPLOY / "cert-manager" / "certificates.yaml").read_text()
    made = [document for document in yaml.safe_load_all(text) if document["kind"] == "Certificate"]
    made = {document["spec"]["secretName"]: document["spec"] for document in made}
    example = {name for kind, name in objects if kind == "Secret" and name.endswith("-tls")}
    expect(example <= made.keys(), f"cert-manager makes {sorted(example - made.keys())}")
    roles = {"quotum-counter-peer-tls": "peer", "quotum-gateway-tls": "gateway", "quotum-operator-tls": "operator"}
    for secret, role in roles.items():
        (uri,) = made[secret]["uris"]
        expect(re.fullmatch(rf"spiffe://[^/]+/quotum/{role}/[^/]+", uri) is not None, f"{secret} has the role {role}")
        expect("client auth" in made[secret]["usages"], f"{secret} can be shown by a client")
    service = objects["StatefulSet", "quotum-counter"]["spec"]["serviceName"]
    for secret in ("quotum-counter-peer-tls", "quotum-counter-tls"):
        expect(f"*.{service}.quotum.svc.cluster.local" in made[secret]["dnsNames"], f"{secret} is valid for every node")
        expect("server auth" in made[secret]["usages"], f"{secret} can be shown by a server")


def check_monitoring() -> None:
    """Every expression parses, asks for metrics that are named in one place, and survives Grafana."""
    text = (DEPLOY / "grafana" / "quotum.json").read_text()
    document = json.loads(text)
    again = json.dumps(Dashboard.from_json(document), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
    expect(again == text, "the dashboard is the same after it was read and written by Grafana's SDK")
    dashboard = [query["expr"] for panel in panels(document) for query in panel.get("targets", [])]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    tested = yaml.safe_load((DEPLOY / "prometheus" / "rules.test.yml").read_text())["tests"]
    named = {case["alertname"] for test in tested for case in test["alert_rule_test"]}
    expect(named == {rule["alert"] for group in rules["groups"] for rule in group["rules"]}, "every alert has a test")
    expect(len(dashboard) >= 15, "the dashboard asks for something")
    shown = set(re.findall(r'"(quotum_[a-z_]+)"', "".join(path.read_text() for path in CATALOG.rglob("*.rs"))))
    for expression in dashboard + alerts:
        asked = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"\bquotum_[a-z_]+", expression)}
        expect(asked <= shown, f"{sorted(asked - shown)} are names of the catalog in crates/telemetry")
        concrete = expression.replace("$__rate_interval", "1m").replace("$server", ".*")
        try:
            promql_parser.parse(concrete)
        except ValueError as error:
            problems.append(f"{expression}: {error}")
    check_scraping()


def panels(document: dict) -> list[dict]:
    """Every panel, those inside rows included."""
    found = []
    for panel in document["panels"]:
        found += [panel, *panel.get("panels", [])]
    return found


def check_scraping() -> None:
    """Both ways to find the processes read them equally often and go by the same rules."""
    static = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    found = yaml.safe_load((DEPLOY / "prometheus" / "kubernetes.yml").read_text())
    for key in ("global", "rule_files"):
        expect(static[key] == found[key], f"prometheus.yml and kubernetes.yml agree on {key}")
    for job in static["scrape_configs"]:
        for file in job["file_sd_configs"][0]["files"]:
            targets = json.loads((DEPLOY / "prometheus" / file).read_text())
            expect(all(group["targets"] for group in targets), f"{file} names targets")


def check_load_balancer(objects: dict) -> None:
    """The ports and the path that HAProxy asks are the gateway's."""
    text = (DEPLOY / "loadbalancer" / "haproxy.cfg").read_text()
    (container,) = objects["Deployment", "quotum-gateway"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    servers = re.findall(r'server gateway-(\d) "\$\{QUOTUM_GATEWAY_\1-gateway-\1:(\d+)\}" port "\$\{\w+-(\d+)\}"', text)
    wanted = [(str(number), str(ports["mcp"]), str(ports["admin"])) for number in (1, 2, 3)]
    expect(servers == wanted, f"HAProxy's servers are {wanted}, not {servers}")
    path = container["readinessProbe"]["httpGet"]["path"]
    expect(f"option httpchk GET {path}" in text, f"HAProxy asks {path}")
    directives = [line.split("#")[0].split() for line in text.splitlines()]
    affinity = [words for words in directives if words and words[0] in ("cookie", "stick", "stick-table")]
    expect(not affinity, "HAProxy binds nobody to a gateway")


def instructions(text: str) -> list[tuple[str, str]]:
    """The lines of a Dockerfile as words and what follows; lines that go on are joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = [line.strip() for line in joined.splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def check_image(objects: dict) -> None:
    """The image is built by the workspace's Rust, is what the pods run, and copies what the build reads."""
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    steps = instructions((DEPLOY / "docker" / "Dockerfile").read_text())
    said = {word: [text for other, text in steps if other == word] for word, _ in steps}

    build, base = said["FROM"]
    rust = workspace["package"]["rust-version"]
    expect(build == f"rust:{rust}-bookworm AS build", f"the image is built by Rust {rust}, not {build}")
    debian = re.search(r"debian(\d+):", base)
    expect(debian is not None and debian[1] == "12", f"{base} has the C library of the image that builds: Debian 12")

    (run,) = said["RUN"]
    asked = re.search(r"cargo build --release --locked --package (\S+)", run)
    packages = [tomllib.loads(path.read_text())["package"] for path in ROOT.glob("crates/*/Cargo.toml")]
    runs = {package["name"]: package["default-run"] for package in packages if "default-run" in package}
    binary = runs.get(asked[1]) if asked else None
    expect(binary is not None, f"the image is built as it is locked, of a package with a binary: {sorted(runs)}")
    expect(f"target/release/{binary} /out/{binary}" in run, f"{binary} is what is kept of the build")
    revision = [text.partition("=")[0] for text in said["ARG"]]
    expect(revision == ["QUOTUM_REVISION"], "the build is told its revision")
    copied = f"--from=build /out/{binary} /usr/local/bin/{binary}"
    expect(copied in said["COPY"], f"{binary} is copied into the image")
    expect(said["ENTRYPOINT"] == [f'["/usr/local/bin/{binary}"]'], f"the image runs {binary}")

    (user,) = said["USER"]
    (exposed,) = said["EXPOSE"]
    opened = set()
    for name, kind in WORKLOADS.items():
        pod = objects[kind, name]["spec"]["template"]["spec"]
        own = pod["securityContext"]
        expect(user == f"{own['runAsUser']}:{own['runAsGroup']}", f"{name}: the image's user is the pod's")
        (container,) = pod["containers"]
        expect("command" not in container, f"{name}: runs what the image runs")
        expect(container["image"].rpartition(":")[2] == workspace["package"]["version"], f"{name}: the image's version")
        opened |= {str(port["containerPort"]) for port in container["ports"]}
    expect(set(exposed.split()) == opened, f"the image exposes {sorted(opened)}")
    check_context(workspace)


def check_context(workspace: dict) -> None:
    """What is sent to the build has every package of the workspace, and nothing that it need not read."""
    lines = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().split()
    expect(lines[0] == "*", "nothing is sent to the build but what is named")
    sent = {line.removeprefix("!") for line in lines[1:]}
    expect(all(line.startswith("!") for line in lines[1:]), "the first line leaves out, the others take in")
    folders = {member.split("/")[0] for member in workspace["members"]}
    read = folders | {"Cargo.toml", "Cargo.lock", "proto"}
    expect(read <= sent, f"{sorted(read - sent)} are sent to the build")
    for name in sent:
        expect((ROOT / name).exists(), f"{name} of .dockerignore is there")


def main() -> None:
    objects = manifests()
    for name in WORKLOADS:
        check_workload(objects, name)
    check_peers(objects)
    check_certificates(objects)
    check_monitoring()
    check_load_balancer(objects)
    check_image(objects)
    if problems:
        sys.exit("\n".join(f"does not hold: {problem}" for problem in problems))
    print(f"{len(objects)} objects, the dashboard, the load balancer and the image agree")


main()
