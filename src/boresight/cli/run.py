"""`boresight run`: build the stages of a pipeline, report on them, and hold them against the gate."""

from boresight.cli.run_options import AsJson, Check, From, Only, Out, Overrides, PipelineFile, Quick, tell


def command(
    pipeline: PipelineFile,
    only: Only = None,
    start: From = None,
    overrides: Overrides = None,
    out: Out = None,
    quick: Quick = False,
    check: Check = True,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline file, or go on with a run that was interrupted.

    Stages whose settings and inputs have not changed are not built again, and a killed run goes on from its last
    checkpoint: give the same command once more. Progress goes to stderr. At the end stands the report, also where a
    gate does not hold; then the exit code is 1.

    \b
    Example:
      boresight run pipeline.yaml
      boresight run pipeline.yaml --set stages.ppo.kl_coefficient=0.1 --out runs/more-kl
      boresight run pipeline.yaml --from scorer      # the reward model anew, and what rests on it
      boresight launch torchrun pipeline.yaml --processes 2
    """
    from boresight.api.pipelines import load_pipeline
    from boresight.api.running import default_folder
    from boresight.api.running import run as run_stages
    from boresight.launch.torchrun.group import joined
    from boresight.pipeline.run import follow_run

    loaded = load_pipeline(pipeline, overrides=overrides or (), quick=quick)
    folder = out or default_folder(loaded.name, quick)
    with joined() as processes:
        if not processes.first:
            follow_run(loaded, folder, processes)
            return
        done = run_stages(loaded, out=folder, only=only, start=start, check_first=check, processes=processes)
    tell(done, as_json)
