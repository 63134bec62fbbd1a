"""Run a check: what needs torch is loaded only where there is something for it to look at."""

from boresight.config.pipeline import Pipeline
from boresight.pipeline.check import Check, check_pipeline, needs_models
from boresight.pipeline.check_data import read_data


def check(pipeline: Pipeline) -> Check:
    data = read_data(pipeline)
    if not needs_models(pipeline):
        return check_pipeline(pipeline, data)
    from boresight.pipeline.check_models import look_at_models

    models = look_at_models(pipeline, data)
    return check_pipeline(pipeline, data, model_findings=models.findings, longest=models.longest)
