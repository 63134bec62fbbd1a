"""Mistakes planted in manifests that were right, each named by its rule."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from boresight.cli.main import app
from boresight.errors import PlanError
from boresight.launch.kubernetes.jobs import QUEUE_LABEL
from boresight.launch.kubernetes.lint import lint
from boresight.launch.kubernetes.manifests import LOADER

from .rendered import JOBSET, LABELS, RAYJOB, write

Edit = Callable[[Any], object]


def worker(job: Any) -> Any:
    return workers(job)["template"]["spec"]


def trainer(job: Any) -> Any:
    return worker(job)["containers"][0]


def workers(job: Any) -> Any:
    return job["spec"]["replicatedJobs"][0]["template"]["spec"]


def told_to(job: Any, right: str, wrong: str) -> None:
    words = trainer(job)["command"]
    words[words.index(right) + 1] = wrong


def by_plain_torchrun(job: Any) -> None:
    trainer(job)["command"][:3] = ["torchrun", "-m", "boresight", "run"]


def limits(job: Any) -> Any:
    return trainer(job)["resources"]["limits"]


def claim(job: Any) -> Any:
    return worker(job)["volumes"][0]["persistentVolumeClaim"]


def scorer(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]["containers"][0]


def ray(job: Any) -> Any:
    return job["spec"]["rayClusterSpec"]


def head(job: Any) -> Any:
    return ray(job)["headGroupSpec"]


def driver(job: Any) -> Any:
    return head(job)["template"]["spec"]["containers"][0]


def group(job: Any) -> Any:
    return ray(job)["workerGroupSpecs"][0]


def raylet(job: Any) -> Any:
    return group(job)["template"]["spec"]["containers"][0]


def told(job: Any) -> Any:
    return group(job)["rayStartParams"]


def app_pod(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]


def dump(job: Any) -> Any:
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def backend(ingress: Any) -> Any:
    return ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]


def without_key(deployment: Any) -> None:
    app_pod(deployment)["volumes"][0] = {"name": "session-key", "emptyDir": {}}


def rules(policy: Any) -> Any:
    return policy["spec"]["ingress"]


def asker(policy: Any) -> Any:
    return rules(policy)[0]["from"][0]["podSelector"]


def entrypoint(job: Any, right: str, wrong: str) -> None:
    assert right in job["spec"]["entrypoint"]
    job["spec"]["entrypoint"] = job["spec"]["entrypoint"].replace(right, wrong)


def variable(deployment: Any, name: str) -> Any:
    return next(one for one in scorer(deployment)["env"] if one["name"] == name)


FIVE_OF_FOUR = [{"groupName": "workers", "template": {}, "minReplicas": 1, "replicas": 5, "maxReplicas": 4}]
OPEN_SECRET = {"name": "HF_TOKEN", "value": "hf_x"}
ROOT_FOLDER = {"name": "x", "hostPath": {"path": "/"}}


JOB, REWARD, RAY = "jobset.yaml", "reward-deployment.yaml", "rayjob.yaml"
SCALER = "reward-autoscaler.yaml"
APP, DATABASE, BACKUP = "annotation-deployment.yaml", "database-statefulset.yaml", "database-backup.yaml"
GUARD, DOOR, OUTSIDE = "database-network.yaml", "annotation-network.yaml", "annotation-ingress.yaml"
INDEX = "kustomization.yaml"
ADDRESS = "postgresql://b:hunter2@db/labels"
LARGE = {"object-store-memory": str(2**40)}
OTHER = "https://other.example.org"
PLAIN = {"name": "PGPASSWORD", "value": "hunter2"}
MADE = [{"name": "boresight-database", "literals": ["password=hunter2"]}]
EVERYBODY = [{"ports": [{"port": 5432}]}]
PLANTED: list[tuple[str, str, str, Edit]] = [
    ("a moving image", JOB, "image-tag", lambda o: trainer(o).update(image="r.example/boresight:latest")),
    ("an image without a tag", JOB, "image-tag", lambda o: trainer(o).update(image="r:5000/boresight")),
    ("two images", JOB, "versions", lambda o: trainer(o).update(image="r.example/boresight:0.2.0")),
    ("root", JOB, "non-root", lambda o: worker(o)["securityContext"].update(runAsNonRoot=False)),
    ("user 0", REWARD, "non-root", lambda o: scorer(o)["securityContext"].update(runAsUser=0)),
    ("gained rights", REWARD, "non-root", lambda o: scorer(o)["securityContext"].pop("allowPrivilegeEscalation")),
    ("kept capabilities", RAY, "non-root", lambda o: driver(o)["securityContext"].pop("capabilities")),
    ("no seccomp profile", JOB, "non-root", lambda o: worker(o)["securityContext"].pop("seccompProfile")),
    ("a token of the API", JOB, "api-token", lambda o: worker(o).pop("automountServiceAccountToken")),
    ("the machine's network", JOB, "host", lambda o: worker(o).update(hostNetwork=True)),
    ("a folder of the machine", JOB, "host", lambda o: worker(o)["volumes"].append(ROOT_FOLDER)),
    ("a secret's value", REWARD, "secret-value", lambda o: scorer(o)["env"].append(OPEN_SECRET)),
    ("a password in an address", JOB, "secret-value", lambda o: trainer(o)["command"].append("postgresql://u:p@h/d")),
    ("no memory asked for", JOB, "resources", lambda o: trainer(o)["resources"]["requests"].pop("memory")),
    ("no limit of memory", REWARD, "resources", lambda o: scorer(o)["resources"]["limits"].pop("memory")),
    ("GPUs asked for and not limited", JOB, "gpu", lambda o: limits(o).update({"nvidia.com/gpu": 8})),
    ("memory of a GPU pod that may be taken", JOB, "gpu", lambda o: limits(o).update(memory="900Gi")),
    ("shared memory of 64 MiB", JOB, "shared-memory", lambda o: worker(o)["volumes"][3]["emptyDir"].pop("medium")),
    ("shared memory not mounted", RAY, "shared-memory", lambda o: driver(o)["volumeMounts"].pop()),
    ("no readiness", REWARD, "probes", lambda o: scorer(o).pop("readinessProbe")),
    ("a probe of no port", REWARD, "probes", lambda o: scorer(o)["livenessProbe"]["httpGet"].update(port="web")),
    ("machines that never come", JOB, "layout", lambda o: told_to(o, "--nodes", "3")),
    ("pods one after another", JOB, "layout", lambda o: workers(o).update(parallelism=1)),
    ("pods without a number", JOB, "layout", lambda o: workers(o).pop("completionMode")),
    ("processes without a GPU", JOB, "layout", lambda o: told_to(o, "--processes", "8")),
    ("bad input tried again", JOB, "exit-codes", lambda o: workers(o).pop("podFailurePolicy")),
    ("a policy that the JobSet passes over", JOB, "exit-codes", lambda o: o["spec"]["failurePolicy"].pop("rules")),
    ("exit codes that torchrun does not tell apart", JOB, "exit-codes", by_plain_torchrun),
    ("a job that starts for ever", JOB, "restart", lambda o: worker(o).update(restartPolicy="Always")),
    ("min above max", SCALER, "replicas", lambda o: o["spec"].update(minReplicas=9)),
    ("replicas above max", RAY, "replicas", lambda o: ray(o).update(workerGroupSpecs=FIVE_OF_FOUR)),
    ("a mode that does not exist", RAY, "enum", lambda o: o["spec"].update(submissionMode="Sidecar")),
    ("no authentication", RAY, "token", lambda o: ray(o).pop("authOptions")),
    ("a Ray without tokens", RAY, "token", lambda o: ray(o).update(rayVersion="2.48.0")),
    ("a Ray that the image has not", RAY, "ray-version", lambda o: ray(o).update(rayVersion="2.59.0")),
    ("tasks on the head", RAY, "ray-head", lambda o: head(o)["rayStartParams"].pop("num-cpus")),
    ("an old API", JOB, "api-version", lambda o: o.update(apiVersion="jobset.x-k8s.io/v1alpha1")),
    ("a job past the queue", JOB, "queue", lambda o: o["metadata"]["labels"].pop(QUEUE_LABEL)),
    ("a queued job that does not wait", JOB, "queue", lambda o: o["spec"].pop("suspend")),
    ("a cluster that stays", RAY, "queue", lambda o: o["spec"].pop("shutdownAfterJobFinishes")),
    ("a claim that is not there", JOB, "reference", lambda o: claim(o).update(claimName="x")),
    ("a service of no pod", "reward-service.yaml", "reference", lambda o: o["spec"]["selector"].update(app="x")),
    ("an autoscaler of nothing", SCALER, "reference", lambda o: o["spec"]["scaleTargetRef"].update(name="x")),
    ("a forgotten file", "kustomization.yaml", "kustomization", lambda o: o["resources"].remove("reward-network.yaml")),
    ("fewer workers than actors", RAY, "layout", lambda o: group(o).update(minReplicas=3, replicas=3)),
    ("more trainers than workers", RAY, "layout", lambda o: entrypoint(o, "--trainers 2", "--trainers 5")),
    ("more actors than workers", RAY, "layout", lambda o: entrypoint(o, "--rollouts 3", "--rollouts=9")),
    ("actors that no worker holds", RAY, "layout", lambda o: entrypoint(o, "--gpus 1", "--gpus 4")),
    ("a cluster beside the cluster", RAY, "layout", lambda o: entrypoint(o, "--address auto", "")),
    ("processors that the worker has not", RAY, "ray-resources", lambda o: told(o).update({"num-cpus": "64"})),
    ("a worker that nobody waits for", RAY, "probes", lambda o: raylet(o).pop("readinessProbe")),
    ("objects beyond shared memory", RAY, "ray-resources", lambda o: told(o).update(LARGE)),
    ("an app without a probe", APP, "probes", lambda o: scorer(o).pop("readinessProbe")),
    ("a password in plain text", APP, "secret-value", lambda o: scorer(o)["env"].append(PLAIN)),
    ("a password in the app's address", APP, "secret-value", lambda o: scorer(o)["command"].append(ADDRESS)),
    ("a password in a backup", BACKUP, "secret-value", lambda o: dump(o)["containers"][0]["env"].append(PLAIN)),
    ("a secret made of a file", INDEX, "secret-value", lambda o: o.update(secretGenerator=MADE)),
    ("sessions that end with the pod", APP, "session-key", without_key),
    ("a key where nobody looks", APP, "session-key", lambda o: variable(o, "XDG_STATE_HOME").update(value="/x")),
    ("a database without a volume", DATABASE, "volume", lambda o: o["spec"].pop("volumeClaimTemplates")),
    ("data beside the volume", DATABASE, "volume", lambda o: variable(o, "PGDATA").update(value="/tmp/pgdata")),
    ("a database that moves on", DATABASE, "image-tag", lambda o: scorer(o).update(image="postgres:17")),
    ("backups by another version", DATABASE, "versions", lambda o: scorer(o).update(image="postgres:18.1-bookworm")),
    ("a database as root", DATABASE, "non-root", lambda o: app_pod(o)["securityContext"].update(runAsUser=0)),
    ("a database open to all", GUARD, "network", lambda o: o["spec"].update(ingress=EVERYBODY)),
    ("a database open to every pod", GUARD, "network", lambda o: rules(o)[0]["from"].append({"podSelector": {}})),
    ("a policy that shuts the app out", GUARD, "network", lambda o: asker(o)["matchLabels"].update(app="x")),
    ("an app open to all", DOOR, "network", lambda o: rules(o)[0].pop("from")),
    ("an Ingress without TLS", OUTSIDE, "tls", lambda o: o["spec"].pop("tls")),
    ("a certificate of another name", OUTSIDE, "tls", lambda o: o["spec"]["tls"][0].update(hosts=["x.org"])),
    ("an Ingress to nowhere", OUTSIDE, "reference", lambda o: backend(o).update(name="x")),
    ("an Ingress to no port", OUTSIDE, "reference", lambda o: backend(o)["port"].update(name="x")),
    ("a site that nobody serves", APP, "site", lambda o: scorer(o)["command"].__setitem__(6, OTHER)),
    ("a server of no name", DATABASE, "reference", lambda o: o["spec"].update(serviceName="x")),
    ("a backup that starts for ever", BACKUP, "restart", lambda o: dump(o).update(restartPolicy="Always")),
    ("the same name twice", "kustomization.yaml", "double", lambda o: o["resources"].append("volume.yaml")),
]  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def right(work: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Folders without a mistake: with everything beside a JobSet, and (True) with a RayJob."""
    folder = tmp_path_factory.mktemp("right")
    return {
        False: write(folder / "jobset", work, **LABELS, **JOBSET),
        True: write(folder / "rayjob", work, **RAYJOB),
    }


@pytest.mark.parametrize(("file", "rule", "edit"), [one[1:] for one in PLANTED], ids=[one[0] for one in PLANTED])
def test_a_planted_mistake_is_found(tmp_path: Path, right: dict[bool, Path], file: str, rule: str, edit: Edit) -> None:
    folder = Path(shutil.copytree(right[file == RAY], tmp_path / "out"))
    body = yaml.load((folder / file).read_text(), LOADER)
    edit(body)
    (folder / file).write_text(yaml.safe_dump(body))
    found = lint(folder)
    assert rule in {one.rule for one in found}, found
    where = {"versions": "all pods", "double": "PersistentVolumeClaim", "kustomization": "reward-network.yaml"}
    assert any(one.rule == rule and one.where.startswith(where.get(rule, file)) for one in found)


@pytest.mark.parametrize(
    ("policy", "open_to_all"),
    [
        ("training-network.yaml", "rayjob.yaml: RayJob tiny"),
        (GUARD, "database-service.yaml: Service boresight-postgres"),
        (DOOR, "annotation-service.yaml: Service boresight-label"),
        ("reward-network.yaml", "reward-service.yaml: Service boresight-reward"),
        ("training-network.yaml", "jobset.yaml: JobSet tiny"),
    ],
)
def test_what_listens_without_a_policy_is_found(
    tmp_path: Path, right: dict[bool, Path], policy: str, open_to_all: str
) -> None:
    folder = Path(shutil.copytree(right[open_to_all.startswith(RAY)], tmp_path / "out"))
    (folder / policy).unlink()
    (folder / INDEX).write_text((folder / INDEX).read_text().replace(f"- {policy}\n", ""))
    (found,) = lint(folder)
    assert found.rule == "network" and found.where == open_to_all


def test_a_secret_in_a_file_is_found(tmp_path: Path, work: Path) -> None:
    folder = write(tmp_path / "out", work)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"token": "x"}}
    (folder / "secret.yaml").write_text(yaml.safe_dump(secret))
    assert [one.rule for one in lint(folder)] == ["kustomization"]
    text = (folder / "kustomization.yaml").read_text().replace("- volume.yaml", "- volume.yaml\n- secret.yaml")
    (folder / "kustomization.yaml").write_text(text)
    assert [one.rule for one in lint(folder)] == ["secret-value"]


def test_a_folder_that_is_none_of_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"kustomization\.yaml: cannot be read"):
        lint(tmp_path)
    (tmp_path / "kustomization.yaml").write_text("a: [")
    with pytest.raises(PlanError, match="is no YAML"):
        lint(tmp_path)


def test_the_command_exits_with_1_where_something_is_found(tmp_path: Path, work: Path) -> None:
    folder = write(tmp_path / "out", work)
    assert CliRunner().invoke(app, ["launch", "kubernetes", "--check", str(folder)]).exit_code == 0
    text = (folder / "jobset.yaml").read_text()
    (folder / "jobset.yaml").write_text(text.replace("runAsNonRoot: true", "runAsNonRoot: false"))
    ended = CliRunner().invoke(app, ["launch", "kubernetes", "--check", str(folder)])
    assert ended.exit_code == 1 and "may run as root" in ended.stdout and "1 finding" in ended.stdout
