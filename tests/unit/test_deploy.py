"""The deployment files pass their own linters, and say what the product says: settings, commands, ports, times."""

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from fiel.infra.cli.app import COMMANDS, fiel
from fiel.infra.cli.service import DRAIN, PORT
from fiel.infra.ledger.keys import KEY_FILE
from fiel.infra.ledger.keys import load as load_key
from fiel.infra.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "infra/deploy"
BIN = Path(sys.executable).parent
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
OWN = ("migrate", "api", "worker")
"""Services of compose.yaml that run fiel."""
TEMPLATE = DEPLOY / "kubernetes/secret.template.yaml.txt"
MANIFESTS = [*sorted((DEPLOY / "kubernetes").glob("*.yaml")), TEMPLATE]
VERSIONS = ("1.30", "1.34", "1.37")
"""Of Kubernetes: the first that knows all of what is written, one in use, the newest that the validator knows."""

Change = Callable[[str], str]


def instead(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text, f"{old!r} is not in the file any more"
        return text.replace(old, new, 1)

    return change


def same(text: str) -> str:
    return text


def objects() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def named(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in objects() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """Specification of each pod by the name of what makes it."""
    made = [one for one in objects() if one["kind"] in ("Deployment", "Job")]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in made}


# Linters --------------------------------------------------------------------------------------------------------------


def lint(command: list[str | Path], text: str, place: Path) -> subprocess.CompletedProcess[str]:
    place.write_text(text, encoding="utf-8")
    return subprocess.run([BIN / command[0], *command[1:], place], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        (same, True),
        (instead("RUN groupadd", "RUN cd /tmp && groupadd"), False),
        (instead("USER 10001:10001", "USER root"), False),
        (instead('CMD ["serve", "--host", "0.0.0.0"]', "CMD serve"), False),
        (instead("FROM python:${PYTHON} AS build", "FROM python AS build"), False),
    ],
    ids=["as it is", "cd", "root", "shell form", "no version"],
)
def test_the_dockerfile_passes_hadolint(tmp_path: Path, change: Change, passes: bool) -> None:
    told = lint(["hadolint", "--no-color"], change(DOCKERFILE), tmp_path / "Dockerfile")
    assert (told.returncode == 0) is passes, told.stdout + told.stderr


COMPOSED: dict[str, tuple[Change, bool]] = {
    "as-it-is": (same, True),
    "unknown-condition": (instead("condition: service_healthy", "condition: healthy"), False),
    "unknown-key": (instead("    restart: unless-stopped", "    restrat: unless-stopped"), False),
    "wrong-type": (instead("stop_grace_period: 40s", "stop_grace_period: [40]"), False),
}


def test_the_compose_file_passes_the_schema_of_compose(tmp_path: Path) -> None:
    """All variants in one call: the linter takes seconds to start."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    places = {name: tmp_path / f"{name}.yaml" for name in COMPOSED}
    for name, (change, _) in COMPOSED.items():
        places[name].write_text(change(text), encoding="utf-8")
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "-o", "json", *places.values()]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    failed = {Path(error["filename"]).stem for error in json.loads(told.stdout)["errors"]}
    assert failed == {name for name, (_, passes) in COMPOSED.items() if not passes}, told.stdout


@pytest.fixture(scope="module")
def kubernetes() -> Any:
    """The validator, which takes a second to import."""
    return import_module("kubernetes_validate")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_manifests_pass_the_schemas_of_kubernetes(kubernetes: Any, path: Path, version: str) -> None:
    for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes.validate(one, version, strict=True)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("api.yaml", instead("readinessProbe:", "readynessProbe:")),
        ("api.yaml", instead("replicas: 2", "replicas: two")),
        ("network.yaml", instead("policyTypes: [Ingress, Egress]", "policyTypes: Ingress")),
        ("migrate.yaml", instead("kind: Job", "kind: Jobb")),
    ],
    ids=["unknown key", "wrong type", "no list", "unknown kind"],
)
def test_a_manifest_that_is_wrong_does_not_pass(kubernetes: Any, file: str, change: Change) -> None:
    text = change((DEPLOY / "kubernetes" / file).read_text(encoding="utf-8"))
    errors = (kubernetes.ValidationError, kubernetes.SchemaNotFoundError)
    with pytest.raises(errors):
        for one in yaml.safe_load_all(text):
            kubernetes.validate(one, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["secrets.sh", "postgres-init.sh"])
def test_the_scripts_pass_shellcheck(tmp_path: Path, name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    told = lint(["shellcheck", "--shell=sh", "--enable=all", "--exclude=SC2250,SC2310,SC2312"], text, tmp_path / name)
    assert told.returncode == 0, told.stdout
    assert lint(["shellcheck"], text + "\necho $undefined[0]\n", tmp_path / name).returncode == 1


# What the product says ------------------------------------------------------------------------------------------------


def commands() -> dict[str, list[str]]:
    """Every command line of fiel in the files, by where it stands."""
    [default] = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.M)
    found = {"Dockerfile": json.loads(default)}
    found |= {f"compose.yaml {name}": COMPOSE["services"][name]["command"] for name in OWN}
    for name, pod in pods().items():
        found |= {f"{name} {container['name']}": container["args"] for container in pod["containers"]}
    return found


def understood(arguments: list[str]) -> bool:
    """Whether the command line knows a command with all of its arguments. Raises what click says where it does not."""
    group, rest = fiel.make_context("fiel", list(arguments), resilient_parsing=False), list(arguments)
    command, rest = fiel.get_command(group, rest[0]), rest[1:]
    assert command is not None, arguments
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(command.name, rest)
    return True


@pytest.mark.parametrize("where", commands())
def test_every_command_is_one_of_the_product(where: str) -> None:
    arguments = [str(part) for part in commands()[where]]
    assert arguments[0] in COMMANDS
    assert understood(arguments)


def test_every_command_in_a_comment_is_one_of_the_product() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n#\s+", "", "\n".join(line for line in text.splitlines() if line.startswith("#")))
    runs = [shlex.split(line) for line in joined.splitlines() if " run --rm " in line]
    assert len(runs) == 2
    for run in runs:
        assert understood(run[run.index("api") + 1 :])


def test_an_argument_that_the_product_does_not_know_is_noticed() -> None:
    import click

    with pytest.raises(click.UsageError):
        understood(["serve", "--hots", "0.0.0.0"])  # noqa: S104


def test_every_setting_in_the_files_is_one_of_the_product() -> None:
    known = {PREFIX + name.upper() for name in Settings.__slots__}
    known |= {"FIEL_PORT"}  # what Kubernetes would set, in a comment that says why it must not
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            assert set(re.findall(r"\bFIEL_[A-Z_]+", path.read_text(encoding="utf-8"))) <= known, path.name


def image_environment() -> dict[str, str]:
    """What the image's last stage sets."""
    [line] = re.findall(r"^ENV (PATH=.*)$", DOCKERFILE, re.M)
    return dict(part.split("=", 1) for part in shlex.split(line))


@pytest.mark.parametrize("name", OWN)
def test_the_settings_of_the_compose_file_load(tmp_path: Path, name: str) -> None:
    secrets = tmp_path / "secrets"
    subprocess.run(["sh", DEPLOY / "secrets.sh", secrets], check=True, capture_output=True)
    service = COMPOSE["services"][name]
    mounted = {one["target"]: one["source"] for one in service["secrets"]}
    [workdir] = re.findall(r"^WORKDIR (/etc/.*)$", DOCKERFILE, re.M)
    file = secrets / Path(COMPOSE["secrets"][mounted[f"{workdir}/fiel.toml"]]["file"]).name
    settings = load({**image_environment(), **service["environment"]}, file)
    assert settings.database_url.endswith("@postgres:5432/fiel")
    assert bool(settings.database_owner_url) is (name == "migrate"), "the owner's password is for migrations alone"
    if name != "migrate":
        target = f"{settings.home}/{KEY_FILE}"
        assert load_key(secrets / Path(COMPOSE["secrets"][mounted[target]]["file"]).name).secret


@pytest.mark.parametrize("name", ["fiel-api", "fiel-worker", "fiel-migrate"])
def test_the_settings_of_the_manifests_load(tmp_path: Path, name: str) -> None:
    pod = pods()[name]
    [container] = pod["containers"]
    volumes = {one["name"]: one for one in pod["volumes"]}
    mounts = {one["mountPath"]: volumes[one["name"]] for one in container["volumeMounts"]}
    file = tmp_path / "fiel.toml"
    file.write_text(named("Secret", mounts["/etc/fiel"]["secret"]["secretName"])["stringData"]["fiel.toml"])
    environ = image_environment()
    for source in container.get("envFrom", []):
        environ |= named("ConfigMap", source["configMapRef"]["name"])["data"]
    settings = load(environ, file)
    assert settings.database_url.startswith("postgresql://fiel_service:")
    assert bool(settings.database_owner_url) is (name == "fiel-migrate")
    if name != "fiel-migrate":
        key = Path(settings.home) / KEY_FILE
        secret = mounts[str(key.parent)]["secret"]
        assert named("Secret", secret["secretName"])["stringData"][key.name]
        assert secret["items"] == [{"key": key.name, "path": key.name}], "no other secret beside the key"


def health_check() -> list[str]:
    """The command by which the image tells its health."""
    [found] = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.M)
    command: list[str] = json.loads(found)
    return command


def test_ports_and_paths_agree() -> None:
    assert f"127.0.0.1:{PORT}/ready" in health_check()[-1]
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.M) == [str(PORT)]
    assert COMPOSE["services"]["api"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    [api] = pods()["fiel-api"]["containers"]
    assert [port["containerPort"] for port in api["ports"]] == [PORT]
    assert [port["port"] for port in named("Service", "fiel")["spec"]["ports"]] == [PORT]
    assert named("NetworkPolicy", "callers")["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": PORT}]
    paths = {name: api[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/ok", "livenessProbe": "/ok", "readinessProbe": "/ready"}
    routes = import_module("fiel.infra.api.routes.system").router.routes
    assert set(paths.values()) <= {getattr(route, "path", "") for route in routes}


def test_what_is_open_is_given_the_time_that_the_product_wants() -> None:
    for name in ("api", "worker"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > DRAIN
        assert pods()[f"fiel-{name}"]["terminationGracePeriodSeconds"] > DRAIN + 5


# What must hold -------------------------------------------------------------------------------------------------------


def test_the_image_is_built_from_what_is_pinned_and_nothing_else() -> None:
    installs = re.findall(r"(?:pip|uv pip) (?:install|wheel) .*?(?=&&|\nCOPY|\nFROM)", DOCKERFILE, re.S)
    assert len(installs) == 4
    for line in installs:
        assert "--constraint constraints.txt" in line or "--no-deps" in line, line
    assert not re.search(r"https?://(?!127\.0\.0\.1)|--(extra-)?index|\bARG \w*(KEY|TOKEN|PASSWORD|SECRET)", DOCKERFILE)
    copied = {one for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M) for one in line.split()[:-1]}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert "infra/deploy" in ignored, "the secrets lie there"
    assert allowed == copied
    folders = set(re.findall(r'^"fiel\.\w+" = "(\w+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M))
    assert folders < copied


@pytest.mark.parametrize("name", OWN)
def test_a_container_of_the_compose_file_can_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_the_compose_file_opens_ports_on_this_machine_only_and_hides_the_database() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert COMPOSE["services"]["postgres"]["networks"] == ["data"]
    assert "ports" not in COMPOSE["services"]["postgres"]
    assert COMPOSE["networks"]["data"] == {"internal": True}
    waits = COMPOSE["services"]["api"]["depends_on"]
    assert waits == {"migrate": {"condition": "service_completed_successfully"}}


def test_every_long_lived_service_tells_its_health_or_cannot() -> None:
    tests = {name: service.get("healthcheck") for name, service in COMPOSE["services"].items()}
    assert tests["api"] is None, "it has that of the image"
    assert [name for name, check in tests.items() if check == {"disable": True}] == ["migrate", "worker"]
    assert tests["postgres"]["test"][1] == "pg_isready"
    ast.parse(tests["mlflow"]["test"][-1])


def test_secrets_lie_in_files_that_git_and_builds_leave_out() -> None:
    folder = {Path(secret["file"]).parts[0] for secret in COMPOSE["secrets"].values()}
    assert folder == {"secrets"}
    assert "secrets/" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()
    for path in DEPLOY.rglob("*"):
        if path.is_file() and "secrets" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert set(re.findall(r"postgresql://\w+:([^@\s]+)@", text)) <= {"%s", "PASSWORD"}, path.name


@pytest.mark.parametrize("name", ["fiel-api", "fiel-worker", "fiel-migrate"])
def test_pods_are_of_the_restricted_kind(name: str) -> None:
    """The standard `restricted` of Kubernetes, which the namespace enforces, and a little more."""
    pod = pods()[name]
    uid = int(re.findall(r"^USER (\d+):", DOCKERFILE, re.M)[0])
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, uid)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert all({"secret", "emptyDir"} & set(volume) for volume in pod["volumes"])
    for container in pod["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    labels = named("Namespace", "fiel")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_find_the_pods_that_they_are_meant_for() -> None:
    labels = {
        one["metadata"]["name"]: one["spec"]["template"]["metadata"]["labels"]
        for one in objects()
        if one["kind"] in ("Deployment", "Job")
    }
    selectors = {("Service", "fiel"): named("Service", "fiel")["spec"]["selector"]}
    for name in ("api", "worker"):
        selectors["Deployment", f"fiel-{name}"] = named("Deployment", f"fiel-{name}")["spec"]["selector"]["matchLabels"]
        budget = named("PodDisruptionBudget", f"fiel-{name}")["spec"]
        selectors["PodDisruptionBudget", f"fiel-{name}"] = budget["selector"]["matchLabels"]
        assert budget["maxUnavailable"] < named("Deployment", f"fiel-{name}")["spec"]["replicas"]
    for (kind, name), selector in selectors.items():
        found = [pod for pod, has in labels.items() if selector.items() <= has.items()]
        assert found == ["fiel-api" if name == "fiel" else name], kind
    assert {one["metadata"].get("namespace") for one in objects()} == {"fiel", None}


def test_whoever_is_not_named_reaches_no_pod() -> None:
    closed = named("NetworkPolicy", "nothing")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    wide = [
        block["ipBlock"]
        for one in objects()
        if one["kind"] == "NetworkPolicy"
        for rule in one["spec"].get("egress", [])
        for block in rule["to"]
        if block.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    assert wide == [{"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}]


def test_one_version_everywhere() -> None:
    from importlib.metadata import version

    text = "\n".join(path.read_text(encoding="utf-8") for path in (DEPLOY / "Dockerfile", DEPLOY / "compose.yaml"))
    text += "\n".join(path.read_text(encoding="utf-8") for path in MANIFESTS)
    assert set(re.findall(r"\bfiel:(\d[\w.]*)", text)) == {version("fiel")}
