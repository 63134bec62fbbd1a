"""What a stage is given: its settings, a folder to work in, and where its inputs lie."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from boresight.config.pipeline import Pipeline
from boresight.config.sections import LoRASection, Stage
from boresight.data.refusals import RowsAside
from boresight.models.generate import Generation
from boresight.models.roles import FrozenPolicy, Policy, RewardModel
from boresight.pipeline.artifacts import Identity, Input, RunFolder, stage_config
from boresight.planning.workload import Workload
from boresight.storage import hash_text, hash_tree
from boresight.trackers.feed import NO_TRACKERS, Feed
from boresight.training.processes import ALONE, Processes
from boresight.training.run import Run

BASE_MODEL = "base_model"


class RemoteRoles(Protocol):
    """Where roles of a policy stage are when they are not in this process; `path` is the folder of a model."""

    def begin_rollouts(
        self, stage: str, path: str, template: str, lora: LoRASection | None, policy: Policy
    ) -> Callable[..., Callable[[], list[Generation]]]:
        """Who begins to write responses of `policy`, which starts as the model in the folder, with `lora` adapters."""
        ...

    def reference(self, stage: str, path: str, template: str) -> FrozenPolicy:
        """The frozen model in the folder, with the chat template named."""
        ...

    def reward_model(self, stage: str, path: str) -> RewardModel:
        """The reward model in the folder."""
        ...


@dataclass(frozen=True, slots=True)
class StageContext:
    """`aside` takes the rows of the stage's files that are left out."""

    name: str
    config: Stage
    pipeline: Pipeline
    runs: RunFolder
    identity: Identity
    folder: Path
    aside: RowsAside
    say: Callable[[str], None] = lambda line: None
    """What a person who watches the run should know."""
    processes: Processes = ALONE
    """Who builds the stage; only the first writes."""
    feed: Feed = NO_TRACKERS
    """Trackers that follow what the stage logs."""
    remote: RemoteRoles | None = None
    """Who has the roles beside the trained ones; None: this process."""
    workloads: list[Workload] = dataclasses.field(default_factory=list)
    """What the stage is about to train on, told by itself: lengths, for what the planner expects of them."""

    @property
    def seed(self) -> int:
        return self.identity.seed

    def model_path(self, reference: str) -> str:
        """Where the model of a stage lies, or of `base_model`."""
        if reference == BASE_MODEL:
            assert self.pipeline.model_path is not None  # the config refuses `base_model` without model.path
            return self.pipeline.model_path
        return str(self.runs.stage(reference) / "model")

    def chat_template(self, reference: str) -> str:
        """Only the base model may need a built-in template; what a stage saved has its own."""
        return self.pipeline.sections.model.chat_template if reference == BASE_MODEL else "tokenizer"

    def stage_file(self, reference: str, name: str) -> Path:
        """A file in the folder of a stage that this one refers to."""
        return self.runs.stage(reference) / name

    def run(self) -> Run:
        """The surroundings of a training loop in this stage's folder."""
        return Run(
            self.folder,
            title=self.name,
            key=self.identity.key,
            seed=self.seed,
            checkpoint_every=getattr(self.config, "checkpoint_every", 1),
            processes=self.processes,
            feed=self.feed,
        )


def identify(name: str, pipeline: Pipeline, runs: RunFolder) -> Identity:
    """Kind, settings, seed and the content of every input; all stages it needs are built."""
    section = pipeline.stages[name]
    inputs: dict[str, list[Input]] = {}
    for field, stages in pipeline.references(name).items():
        inputs[field] = [Input(stage, runs.stage(stage), runs.output_hash(stage), True) for stage in stages]
    late = {field: [p for p in paths if p.exists()] for field, paths in pipeline.late_files(name).items()}
    for field, paths in (pipeline.file_inputs(name) | late).items():
        inputs.setdefault(field, []).extend(
            Input(path.relative_to(pipeline.data_root).as_posix(), path, hash_tree(path), False)
            if path.is_relative_to(pipeline.data_root)
            else Input(path.name, path, hash_tree(path), False)
            for path in paths
        )
    if BASE_MODEL in _values(section.model_dump()):
        path = pipeline.model_path or ""
        content = hash_tree(Path(path)) if Path(path).is_dir() else hash_text(path)
        inputs["model"] = [Input(Path(path).name or path, path, content, False)]
    return Identity(
        stage=name,
        kind=section.kind,
        config=stage_config(section) | ({"regulated": True} if _is_regulated(pipeline, section) else {}),
        model=pipeline.sections.model.model_dump(exclude={"path"}),
        seed=pipeline.stage_seed(name),
        inputs=inputs,
    )


def _is_regulated(pipeline: Pipeline, section: Stage) -> bool:
    """A gate is another one where the run is regulated; no other stage asks."""
    return section.kind == "gate" and pipeline.sections.run.regulated


def _values(config: Mapping[str, Any]) -> list[Any]:
    return [v for value in config.values() for v in (value if isinstance(value, list) else [value])]
