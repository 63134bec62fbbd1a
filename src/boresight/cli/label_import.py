"""`boresight label import`: tasks into a store."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from boresight.cli.labelling import AsJson, need_packages, opened
from boresight.data.wording import counted

if TYPE_CHECKING:
    from boresight.web.annotation.projects import NewTask
    from boresight.web.annotation.settings import Settings
    from boresight.web.annotation.urgency import Scorer

ScoreFiles = Annotated[
    list[Path] | None,
    typer.Option("--scores", metavar="FILE", help="A reward model's id and scores of each task; may be repeated."),
]

RewardModels = Annotated[
    list[Path] | None,
    typer.Option("--reward-model", metavar="DIR", help="Scores the responses now; may be repeated."),
]

CriteriaFile = Annotated[
    str | None, typer.Option("--criteria", metavar="NAME|FILE", help="A rubric whose questions are asked too.")
]

Guidelines = Annotated[
    Path | None, typer.Option("--guidelines", metavar="FILE", help="What annotators read first (Markdown).")
]


def import_tasks(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Tasks, responses or pairs; see docs.")],
    store: Annotated[str, typer.Option("--store", metavar="STORE", help="labels.db, or postgresql://user@host/name.")],
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="Made where there is none.")] = "labels",
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="N|P%", help="Answers a task; 30%: a second one of so many tasks.")
    ] = "1",
    pairs: Annotated[bool, typer.Option("--pairs", help="Of sampled responses, couples and no rankings.")] = False,
    criteria: CriteriaFile = None,
    guidelines: Guidelines = None,
    gold_every: Annotated[
        int, typer.Option("--gold-every", min=0, help="A task with a known answer in about so many.")
    ] = 0,
    training_share: Annotated[
        float, typer.Option("--training-share", min=0.0, max=1.0, help="Of training tasks to get right first.")
    ] = 0.0,
    mode: Annotated[str, typer.Option("--mode", help="blind, or triage: people see what an AI suggests.")] = "blind",
    route: Annotated[
        str, typer.Option("--route", help="What goes first: order (of the files), uncertainty or dispute.")
    ] = "order",
    scores: ScoreFiles = None,
    reward_models: RewardModels = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of responses and of other draws.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put tasks into a store, which is made where there is none.

    Read are task rows (prompt, responses), the folder or file of a `sample` stage, preference pairs of any form that
    `data inspect` knows, tables with columns prompt, response_1, response_2 …, and exports of Label Studio and Argilla.
    Tasks that are there already, by their ids, are left as they are, so that the same command may be given twice. The
    settings hold for a new project; an old one keeps its own. With --scores or --reward-model, several of which are an
    ensemble, the tasks that these can tell least are the most urgent, and --route uncertainty gives them out first.

    \b
    Example:
      boresight label import tasks.jsonl --store labels.db --overlap 2
      boresight label import runs/helpful/stages/drafts --store drafts.db --overlap 30%
    """
    need_packages()
    from boresight.feedback.rubric import load_rubric
    from boresight.web.annotation.settings import Settings, criteria_of, parse_overlap

    count, more = parse_overlap(overlap)
    settings = Settings(
        seed=seed,
        overlap=count,
        more_share=more,
        criteria=criteria_of(load_rubric(criteria)) if criteria else (),
        guidelines=_text(guidelines) if guidelines else "",
        gold_every=gold_every,
        training_share=training_share,
        mode=mode,  # type: ignore[arg-type]  # checked there
        route=route,  # type: ignore[arg-type]
    )
    result = read_and_add(
        files, store, project, settings, pairs, Ensemble(tuple(scores or ()), tuple(reward_models or ()))
    )
    print(json.dumps(result, ensure_ascii=False) if as_json else _told(result))


class Ensemble(NamedTuple):
    """What says how sure reward models are of the tasks: files of their scores, and folders of models."""

    files: tuple[Path, ...] = ()
    models: tuple[Path, ...] = ()


NO_ENSEMBLE = Ensemble()


def read_and_add(
    files: list[Path], place: str, name: str, settings: "Settings", pairs: bool, ensemble: Ensemble = NO_ENSEMBLE
) -> dict[str, Any]:
    """Put tasks of files into a project, made where there is none. All files are read before anything is written."""
    from boresight.web.annotation.projects import add_tasks, make_project, other_content, project_named
    from boresight.web.annotation.task_files import read_tasks

    with_tasks = {file: read_tasks(file, pairs_only=pairs, seed=settings.seed) for file in files}
    if ensemble.files or ensemble.models:
        with_tasks = _made_urgent(with_tasks, ensemble)
    with opened(place, create=True) as store:
        found = project_named(store, name)
        target = found or make_project(store, name, settings)
        added = {str(file): add_tasks(store, target.id, tasks) for file, tasks in with_tasks.items()}
        other = sum(other_content(store, target.id, tasks) for tasks in with_tasks.values())
    read = sum(map(len, with_tasks.values()))
    told = {"store": place, "project": name, "new_project": found is None, "tasks": read, "added": added}
    return {**told, "other_content": other}


def _made_urgent(with_tasks: "dict[Path, list[NewTask]]", ensemble: Ensemble) -> "dict[Path, list[NewTask]]":
    from boresight.web.annotation.urgency import read_scores, scores_by, with_urgency

    tasks = [task for found in with_tasks.values() for task in found]
    members = [read_scores(file, tasks) for file in ensemble.files]
    for folder in ensemble.models:
        print(f"{folder}: scoring the responses of {counted(len(tasks), 'task')}", file=sys.stderr)
        members.append(scores_by(_scorer(folder), tasks))
    return {file: with_urgency(found, members) for file, found in with_tasks.items()}


def _scorer(folder: Path) -> "Scorer":
    from boresight.models.loading import default_device
    from boresight.models.roles import build_reward_model

    model = build_reward_model(folder, str(default_device()))
    return lambda prompts, responses: model.score(prompts, responses).tolist()


def _text(path: Path) -> str:
    from boresight.data.text_files import read_text

    return read_text(path)


def other_content_told(count: int) -> str:
    """What to do about tasks whose ids are there with other texts."""
    return (
        f"warning: {counted(count, 'id')} {'is' if count == 1 else 'are'} there with another prompt or other responses,"
        " which stand. Give these rows other ids; those without any are named by file and line."
    )


def _told(result: dict[str, Any]) -> str:
    lines = [f"{file}: {counted(count, 'task')} added" for file, count in result["added"].items()]
    known = result["tasks"] - sum(result["added"].values())
    if known:
        lines.append(f"{counted(known, 'task')} {'was' if known == 1 else 'were'} there already")
    if result["other_content"]:
        lines.append(other_content_told(result["other_content"]))
    return "\n".join([*lines, f"project {result['project']} in {result['store']}"])
