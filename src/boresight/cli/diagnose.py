"""`boresight diagnose`: what ails a run, from its log."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def command(
    logs: Annotated[
        list[Path], typer.Argument(metavar="RUN_OR_LOG", help="Folder of a run or stage, or a log of any framework.")
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Train the stage again with the change that its finding prescribes.")
    ] = False,
    steps: Annotated[int | None, typer.Option(min=8, metavar="N", help="Steps of --verify.")] = None,
    finding: Annotated[str | None, typer.Option(metavar="ID", help="Finding of --verify; else the first.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find out what is wrong with a run, from its log.

    Tells the cause, the evidence and what to do. Reads runs of boresight and logs of TRL, LLaMA-Factory, OpenRLHF,
    verl, trlX, DeepSpeed-Chat, ms-swift, tinker, NeMo-RL and prime-rl: console text, JSON, JSON lines, trainer states,
    CSV, and exports of W&B and MLflow. The verdict is healthy, warning, failing (exit code 1), or unclear where the log
    does not hold enough evidence. --verify tries the cure of a ppo, rloo or dpo stage of ours and shows both curves;
    exit code 1 where it does not help.

    \b
    Example:
      boresight diagnose runs/kube-assistant
      boresight diagnose output/trainer_state.json
      boresight diagnose train.log --json
      boresight diagnose runs/kube-assistant/stages/ppo --verify --steps 20
    """
    if not verify and (steps is not None or finding is not None):
        raise typer.BadParameter("belongs to --verify; add that, or leave it out", param_hint="--steps, --finding")
    if verify:
        _verify(logs, finding, steps, as_json)
        return
    from boresight.api.diagnosing import diagnose

    done = diagnose(*logs)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
    if done.verdict == "failing":
        sys.stdout.flush()
        raise typer.Exit(1)


def _verify(logs: list[Path], finding: str | None, steps: int | None, as_json: bool) -> None:
    from boresight.errors import DataError
    from boresight.pipeline.verify import try_cure
    from boresight.pipeline.verify_report import as_object, as_text, save

    if len(logs) != 1:
        raise DataError(f"--verify: {len(logs)} places given; expected the folder of one stage, RUN/stages/NAME.")
    trial = try_cure(logs[0], finding=finding, steps=steps, say=lambda line: print(line, file=sys.stderr))
    save(trial)
    print(json.dumps(as_object(trial), ensure_ascii=False) if as_json else as_text(trial))
    if trial.outcome != "cured":
        sys.stdout.flush()
        raise typer.Exit(1)
