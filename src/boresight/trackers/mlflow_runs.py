"""MLflow: MLFLOW_TRACKING_URI says where; by default a SQLite file in the run's folder."""

import os
import time
from collections.abc import Iterator, Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from boresight.trackers.tracker import PROJECT, RunCard, last_of

ID_TAG = "boresight.id"
MOST_PARAMS = 100  # in one request
LONGEST_PARAM = 6000  # characters


class MlflowRuns:
    prefix = ""

    def open(self, card: RunCard) -> None:
        # A server that does not answer is given up in seconds, not in the quarter of an hour that is the default.
        for name, value in (("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"), ("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")):
            os.environ.setdefault(name, value)
        card.folder.mkdir(parents=True, exist_ok=True)
        place = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{(card.folder / 'mlflow.db').resolve()}")
        self._client = MlflowClient(tracking_uri=place)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        found = self._client.search_runs([where], filter_string=f"tags.`{ID_TAG}` = '{card.id}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {ID_TAG: card.id, "boresight.run": card.run, "boresight.kind": card.kind}
        self._id = self._client.create_run(where, run_name=card.name, tags=tags).info.run_id
        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in card.settings.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[start : start + MOST_PARAMS])

    def last_steps(self) -> dict[str, int]:
        return last_of(self._stored())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def close(self, *, finished: bool) -> None:
        self._client.log_batch(self._id, tags=[RunTag("boresight.finished", str(finished).lower())])
        self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _stored(self) -> Iterator[tuple[str, int]]:
        for name in self._client.get_run(self._id).data.metrics:
            for point in self._client.get_metric_history(self._id, name):
                yield name, point.step
