"""How many actors play each role, what each of them takes, and whether a cluster can hold them all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from boresight.config.pipeline import Pipeline
from boresight.config.sections import PPOStage, RLOOStage
from boresight.config.several_processes import for_one_process
from boresight.errors import ConfigError, PlanError

ROLES = ("trainer", "rollout", "scorer", "reference")
ROUNDING = 1e-9  # fractions of a processor are added up
Bundle = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Actors of a run: one for the reference, and as many of the others as are asked for."""

    trainers: int = 1
    rollouts: int = 1
    scorers: int = 1
    most_scorers: int | None = None
    """None: `scorers` actors, as long as the run. Otherwise `scorers` replicas or more, at most these, as they are
    needed."""
    cpus: float = 1.0
    """Processors of each actor, as Ray counts them."""
    gpus: float = 0.0

    @property
    def actors(self) -> list[str]:
        """The role of each actor that lives as long as the run, in the order of the bundles."""
        scorers = self.scorers if self.most_scorers is None else 0
        counts = {"trainer": self.trainers, "rollout": self.rollouts, "scorer": scorers, "reference": 1}
        return [role for role in ROLES for _ in range(counts[role])]

    @property
    def names(self) -> list[str]:
        """The role of each actor, with a number where there are several of it."""
        roles = self.actors
        return [
            f"{role} {roles[:place].count(role) + 1}" if roles.count(role) > 1 else role
            for place, role in enumerate(roles)
        ]

    @property
    def bundles(self) -> list[Bundle]:
        """What the placement group is to hold, an entry for each actor."""
        return [self._bundle for _ in self.actors]

    @property
    def replicas(self) -> list[Bundle]:
        """What is held beside for scorers that come and go, an entry for each that there can be."""
        return [self._bundle for _ in range(self.most_scorers or 0)]

    @property
    def _bundle(self) -> Bundle:
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def sharing(self, processors: int) -> "Layout":
        """The same on one machine of so many processors: each actor counts as an even share of them, at most one."""
        return replace(self, cpus=min(1.0, processors / len(self.bundles + self.replicas)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """When replicas come and go. Seconds but for the first."""

    questions: float = 2.0
    """Questions under way for each replica, on average over `look_back`, above which there are to be more."""
    look_back: float = 30.0
    up_after: float = 10.0
    down_after: float = 60.0
    measured_every: float | None = None
    """None: as often as Serve does by itself."""


AS_NEEDED = Scaling()


def scorers_of(text: str) -> tuple[int, int | None]:
    """Fewest and most scorers: "2" are two for as long as the run, "1:4" are one to four. Raises ConfigError."""
    fewest, colon, most = text.partition(":")
    counts = [part for part in (fewest, most) if part.isascii() and part.isdigit() and int(part) > 0]
    if len(counts) != 1 + bool(colon) or (colon and int(fewest) > int(most)):
        raise ConfigError(
            f"--scorers {text}: is neither a number of actors nor MIN:MAX, the fewest and the most. Expected for "
            "example 2, or 1:4 with at least 1 and MIN not above MAX."
        )
    return int(fewest), int(most) if colon else None


def layout_of(
    *, trainers: int, rollouts: int, scorers: str, cpus: float | None, gpus: float, processors: int | None
) -> Layout:
    """What is asked for on the command line; `processors` are those of the one machine that the actors share where it
    is not said how many each of them has, None on a cluster. Raises ConfigError as `scorers_of`."""
    fewest, most = scorers_of(scorers)
    layout = Layout(
        trainers=trainers, rollouts=rollouts, scorers=fewest, most_scorers=most, cpus=cpus or 1.0, gpus=gpus
    )
    return layout if cpus or processors is None else layout.sharing(processors)


def refuse_unless_it_fits(layout: Layout, nodes: Sequence[Mapping[str, float]]) -> None:
    """PlanError, with the shortfall, where `nodes` (what each of them has) cannot hold all actors at the same time."""
    bundles = layout.bundles + layout.replicas
    needed = {kind: sum(bundle.get(kind, 0.0) for bundle in bundles) for kind in ("CPU", "GPU")}
    there = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in needed}
    short = [
        f"{needed[kind]:g} {kind}s, and it has {there[kind]:g}: short by {needed[kind] - there[kind]:g}"
        for kind in needed
        if needed[kind] > there[kind] + ROUNDING
    ]
    placed = sum(_held(node, bundles[0]) for node in nodes)
    if not short and placed >= len(bundles):
        return
    if not short:
        one = " and ".join(f"{amount:g} {kind}" for kind, amount in bundles[0].items())
        short = [f"room for {len(bundles)} actors of {one}, each on one of {len(nodes)} nodes: {placed} fit"]
    scorers = f"{layout.scorers}" if layout.most_scorers is None else f"at most {layout.most_scorers}"
    raise PlanError(
        f"the cluster cannot hold the run: {len(bundles)} actors ({_trainers(layout)}, {layout.rollouts} for rollouts, "
        f"{scorers} for scores, 1 for the reference) need {'; '.join(short)}. Nothing was started. Take fewer actors "
        "(--trainers, --rollouts, --scorers), smaller ones (--cpus, --gpus), or a larger cluster."
    )


def _trainers(layout: Layout) -> str:
    return "1 trainer" if layout.trainers == 1 else f"{layout.trainers} trainers"


def _held(node: Mapping[str, float], bundle: Bundle) -> int:
    """Equal bundles that a node has room for."""
    return min(int(node.get(kind, 0.0) / amount + ROUNDING) for kind, amount in bundle.items() if amount)


def refuse_what_cannot_be_spread(pipeline: Pipeline, trainers: int = 1, only: str | None = None) -> None:
    """ConfigError, all faults at once, for a pipeline whose stages leave nothing to spread, cannot be taken apart, or
    have settings that `trainers` cannot share where they build the stage `only`, or all."""
    stages = {name: stage for name, stage in pipeline.stages.items() if isinstance(stage, PPOStage | RLOOStage)}
    if not stages:
        kinds = ", ".join(dict.fromkeys(stage.kind for stage in pipeline.stages.values()))
        raise ConfigError(
            f"{pipeline.path}: stages: none of kind ppo or rloo (found {kinds}), so that Ray has no role to spread. "
            "Take `boresight run`, or `boresight launch torchrun` (docs/scale.md)."
        )
    why = {
        "quantization": "weights in 4 bits do not travel",
        "offload": "roles that wait on the CPU of the trainer are no actors",
        "sampler": "its responses are written elsewhere already",
    }
    problems = for_one_process(pipeline, trainers, only)
    problems |= {
        f"stages.{name}.{field}": f"{pipeline.path}: stages.{name}.{field}: cannot be spread over Ray: {reason}. "
        "Expected: not set. Take it out, or take `boresight run`."
        for name, stage in stages.items()
        for field, reason in why.items()
        if getattr(stage, field)
    }
    problems |= {
        f"stages.{name}.roles": f"{pipeline.path}: stages.{name}.roles: {stage.layout}"
        f"{'' if stage.roles else ' (what lora takes by itself)'} cannot be spread over Ray: its roles are adapters in "
        "one base, which is in one process. Expected: separate."
        for name, stage in stages.items()
        if stage.layout == "shared" or (stage.lora and stage.layout != "separate")
    }
    if problems:
        raise ConfigError(list(problems.values()))
