"""Manifests as they are written: what they hold, that they pass every check, and what is refused before."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from boresight.cli.launch_kubernetes import kubernetes
from boresight.config.load import load_pipeline
from boresight.errors import ConfigError, PlanError
from boresight.launch.kubernetes.cluster import Annotation
from boresight.launch.kubernetes.lint import lint
from boresight.launch.kubernetes.render import render, write_manifests
from boresight.launch.kubernetes.sizes import sizes
from tests.pipeline import tiny_pipeline as tiny

from .rendered import JOBSET, LABELS, RAYJOB, cluster, pipeline, write

CRDS = Path(__file__).parents[3] / "shared" / "data" / "kuberay"
BOTH = pytest.mark.parametrize(
    "choices",
    [
        JOBSET,
        RAYJOB,
        {},
        {"reward_scale_on": "held", "reward_model": "m"},
        LABELS,
        {"annotation": Annotation()},
        {"annotation": Annotation(database_secret="ours")},
    ],
)


def read(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text(encoding="utf-8"))


def containers(template: Any) -> Any:
    return template["spec"]["containers"]


@BOTH
def test_what_is_written_passes_our_own_rules(tmp_path: Path, choices: dict[str, Any]) -> None:
    assert lint(write(tmp_path / "out", tmp_path / "work", **choices)) == []


@BOTH
def test_what_is_written_passes_the_schemas(tmp_path: Path, choices: dict[str, Any]) -> None:
    pytest.importorskip("kubernetes_validate", reason="needs the extra k8s")
    from boresight.launch.kubernetes.schemas import check_schemas

    folder = write(tmp_path / "out", tmp_path / "work", **choices)
    assert check_schemas(folder, CRDS if CRDS.exists() else None) == []


def test_schemas_see_a_key_that_does_not_exist_in_every_kind(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes_validate", reason="needs the extra k8s")
    from boresight.launch.kubernetes.schemas import check_schemas

    if not CRDS.exists():
        pytest.skip("needs KubeRay's CRDs in ../shared/data/kuberay")
    first = write(tmp_path / "first", tmp_path / "work", **JOBSET)
    second = write(tmp_path / "second", tmp_path / "work", **RAYJOB)
    misspelt = {
        first / "reward-deployment.yaml": ("strategy:", "strategie:"),
        first / "reward-autoscaler.yaml": ("stabilizationWindowSeconds:", "stabilisationWindowSeconds:"),
        first / "jobset.yaml": ("completionMode:", "completionsMode:"),
        second / "rayjob.yaml": ("rayStartParams:", "rayStartParameters:"),
    }
    for path, (right, wrong) in misspelt.items():
        text = path.read_text()
        assert right in text
        path.write_text(text.replace(right, wrong))
    found = [*check_schemas(first, CRDS), *check_schemas(second, CRDS)]
    for path, (_, wrong) in misspelt.items():
        assert any(f.where.startswith(path.name) and wrong.rstrip(":") in f.message for f in found), (wrong, found)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kustomize_builds_the_folder_with_the_pipeline_in_a_config_map(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", tmp_path / "work", **JOBSET)
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    assert {"boresight"} == {one["metadata"].get("namespace", "boresight") for one in built.values()}
    kept = built["ConfigMap", "boresight-pipeline"]["data"]["pipeline.yaml"]
    assert kept == (tmp_path / "work" / "pipeline.yaml").read_text()


def test_jobset_starts_the_same_command_on_every_machine_and_they_meet_at_the_first(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", tmp_path / "work", **JOBSET)
    job = read(folder, "jobset.yaml")
    spec = job["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert (spec["parallelism"], spec["completions"], spec["completionMode"]) == (2, 2, "Indexed")
    (training,) = containers(spec["template"])
    assert training["command"] == [
        "boresight", "launch", "torchrun", "/etc/boresight/pipeline.yaml", "--set", "data.root=/artifacts/project",
        "--out", "/artifacts/runs/tiny", "--processes", "4", "--max-restarts", "3", "--nodes", "2",
        "--rendezvous", "tiny-workers-0-0.tiny:29500", "--join-within", "1800",
    ]  # fmt: skip
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in training["env"], "four processes share four processors"
    assert training["resources"]["limits"] == training["resources"]["requests"]
    assert training["resources"]["limits"]["nvidia.com/gpu"] == 4
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus" and job["spec"]["suspend"] is True


def test_several_gpus_of_one_machine_need_no_name_to_meet(tmp_path: Path) -> None:
    job = read(write(tmp_path / "out", tmp_path / "work", gpus=4), "jobset.yaml")
    (training,) = containers(job["spec"]["replicatedJobs"][0]["template"]["spec"]["template"])
    assert training["command"][:3] == ["boresight", "launch", "torchrun"]
    assert training["command"][-4:] == ["--processes", "4", "--max-restarts", "3"]


def test_one_process_runs_the_command_itself(tmp_path: Path) -> None:
    job = read(write(tmp_path / "out", tmp_path / "work"), "jobset.yaml")
    spec = job["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert containers(spec["template"])[0]["command"][:2] == ["boresight", "run"]
    assert "suspend" not in job["spec"] and "queue" not in str(job["metadata"])


@pytest.mark.parametrize("choices", [{}, {"gpus": 4}, {"pods": 2}, JOBSET])
def test_bad_input_and_a_gate_are_not_tried_again_however_many_processes_there_are(
    tmp_path: Path, choices: dict[str, Any]
) -> None:
    job = read(write(tmp_path / "out", tmp_path / "work", **choices), "jobset.yaml")["spec"]
    (rule,) = job["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
    codes = {"operator": "In", "values": [1, 2], "containerName": "boresight"}
    assert rule == {"action": "FailJob", "onExitCodes": codes}
    ended = {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    assert job["failurePolicy"] == {"maxRestarts": 3, "rules": [ended]}


def test_secrets_are_named_and_never_held(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", tmp_path / "work", **JOBSET)
    reference = {"secretKeyRef": {"name": "boresight-reward-token", "key": "token"}}
    token = {"name": "BORESIGHT_REWARD_TOKEN", "valueFrom": reference}
    job = read(folder, "jobset.yaml")["spec"]["replicatedJobs"][0]["template"]["spec"]
    assert token in containers(job["template"])[0]["env"]
    assert token in containers(read(folder, "reward-deployment.yaml")["spec"]["template"])[0]["env"]
    assert not any(read(folder, path.name).get("kind") == "Secret" for path in folder.glob("*.yaml"))


def test_memory_is_what_the_planner_says_of_the_largest_stage(tmp_path: Path) -> None:
    """1.5 GiB of weights by hand: 402,653,184 numbers of 4 bytes, and 16 bytes each while all of them are trained."""
    work = tmp_path / "work"
    pipeline(work)
    text = (work / "pipeline.yaml").read_text()
    wide = text.replace("vocabulary_size: 300", "vocabulary_size: 262144").replace(
        "hidden_size: 16", "hidden_size: 1536"
    )
    (work / "pipeline.yaml").write_text(wide)
    found = sizes(load_pipeline(work / "pipeline.yaml"), cluster())
    numbers = 262144 * 1536 + 4 * 1536**2 + 3 * 1536 * 32 + 3 * 1536
    assert found.reward == -(-numbers * 4 // 2**30) + 3 + 2
    assert found.pod >= -(-numbers * 16 // 2**30) + 3 + 2


def test_a_stage_that_fits_no_gpu_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    work = tmp_path / "work"
    pipeline(work)
    text = (work / "pipeline.yaml").read_text()
    (work / "pipeline.yaml").write_text(text.replace("hidden_size: 16", "hidden_size: 40960"))
    with pytest.raises(
        PlanError, match=r"stage base: .* need [\d.]+ GiB on one GPU, which has 80: [\d.]+ GiB are missing"
    ):
        sizes(load_pipeline(work / "pipeline.yaml"), cluster(gpus=8))


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"image": "boresight"}, r"--image boresight: expected one tag"),
        ({"image": "r.example:5000/boresight"}, r"--image .* expected one tag"),
        ({"image": "r.example/boresight:latest"}, r"not `latest`"),
        ({"namespace": "My_Space"}, r"--namespace My_Space"),
        ({"engine": "ray", "pods": 2}, r"--pods 2: how many machines there are follows from the actors"),
        ({"rollouts": 2}, r"--rollouts 2: are actors of Ray"),
        ({"trainers": 2}, r"--trainers 2: are actors of Ray.* without Ray: --pods"),
        ({"engine": "ray", "memory_gib": 4}, r"--memory 4: 4 GiB of it are shared memory"),
        ({"annotation": Annotation(host="https://x.org")}, r"--annotation-host https://x.org: expected a name"),
        ({"annotation": Annotation(storage="much")}, r"--annotation-storage much"),
        ({"annotation": Annotation(postgres_image="postgres:17")}, r"--postgres-image postgres:17: .*minor version"),
        ({"annotation": Annotation(database_secret="My_Db")}, r"--database-secret My_Db"),
        ({"reward_replicas": (3, 2)}, r"--reward-replicas 3:2: expected 1 <= MIN <= MAX"),
        ({"reward_model": "/etc"}, r"--reward-model /etc"),
        ({"storage": "much"}, r"--storage much"),
        ({"ray_version": "2"}, r"--ray-version 2"),
    ],
)
def test_choices_that_cannot_be_are_refused(tmp_path: Path, choices: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        render(pipeline(tmp_path), cluster(**choices))


def test_data_outside_of_the_folder_that_is_copied_is_refused(tmp_path: Path) -> None:
    work = tmp_path / "work"
    pipeline(work)
    (work / "docs.txt").rename(tmp_path / "docs.txt")
    text = (work / "pipeline.yaml").read_text().replace("data: docs.txt", "data: ../docs.txt")
    (work / "pipeline.yaml").write_text(text)
    with pytest.raises(PlanError, match=r"outside of .*work, which is copied.*stage base: data: .*docs\.txt"):
        render(load_pipeline(work / "pipeline.yaml"), cluster())


@pytest.mark.parametrize("choices", [{"pods": 2}, {"gpus": 4}, {"engine": "ray", "trainers": 2}])
def test_settings_that_several_processes_cannot_share_are_refused_when_it_is_written(
    tmp_path: Path, choices: dict[str, Any]
) -> None:
    patient = tiny.load(tmp_path, "stages.scorer.early_stopping_patience=2")
    with pytest.raises(ConfigError, match=r"stages\.scorer\.early_stopping_patience: 2 is for one process"):
        render(patient, cluster(**choices))
    render(patient, cluster())


def test_a_folder_of_somebody_else_is_left_alone_and_one_of_ours_is_made_anew(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", tmp_path / "work", **JOBSET)
    write(folder, tmp_path / "work")
    assert not (folder / "reward-service.yaml").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(PlanError, match="did not make"):
        write_manifests({}, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_the_command_takes_a_pipeline_or_a_folder_to_check() -> None:
    with pytest.raises(PlanError, match=r"give a PIPELINE .*with --out DIR, or --check DIR"):
        kubernetes()
    with pytest.raises(PlanError, match=r"--annotation-host, --database-secret: of the annotation app.*--annotation"):
        kubernetes(check=Path("x"), annotation_host="x.org", database_secret="s")
    with pytest.raises(PlanError, match="without a PIPELINE there is the annotation app alone"):
        render(None, cluster())


def test_keys_of_judges_come_from_a_secret_by_the_name_of_their_variable(tmp_path: Path) -> None:
    judge = "{kind: openai, base_url: 'http://127.0.0.1:1/v1', model: m, rubric: helpful, key_variable: MY_KEY}"
    text = tiny.TEXT.replace("{kind: rules, noise: 0.1}", judge)
    assert text != tiny.TEXT
    write_manifests(render(tiny.load(tmp_path / "work", text=text), cluster()), tmp_path / "out")
    spec = read(tmp_path / "out", "jobset.yaml")["spec"]["replicatedJobs"][0]["template"]["spec"]
    reference = {"secretKeyRef": {"name": "boresight-judge-keys", "key": "MY_KEY"}}
    assert {"name": "MY_KEY", "valueFrom": reference} in containers(spec["template"])[0]["env"]
