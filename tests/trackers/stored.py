"""What trackers have stored, read back from their own files: name -> [(step, value)], and the settings of the run."""

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

from boresight.trackers.log_records import log_records

Points = dict[str, list[tuple[int, float]]]

MAGIC = 7  # bytes at the head of W&B's files


def tensorboard(folder: Path) -> tuple[Points, dict[str, Any]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data

    points: Points = defaultdict(list)
    settings: dict[str, Any] = {}
    for run in {file.parent for file in folder.rglob("*.tfevents.*")}:
        events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
        for name in events.Tags()["scalars"]:
            points[name] += [(event.step, event.value) for event in events.Scalars(name)]
        for _, content in events.PluginTagToContent("hparams").items():
            for name, value in parse_session_start_info_plugin_data(content).hparams.items():
                settings[name] = getattr(value, value.WhichOneof("kind"))
    return points, settings


def mlflow(folder: Path) -> tuple[Points, dict[str, Any]]:
    points: Points = defaultdict(list)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        for name, step, value in database.execute("SELECT key, step, value FROM metrics ORDER BY step"):
            points[name].append((step, value))
        settings = dict(database.execute("SELECT key, value FROM params").fetchall())
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    database.close()
    return points, settings


def trackio(folder: Path) -> tuple[Points, dict[str, Any]]:
    points: Points = defaultdict(list)
    with closing(sqlite3.connect(folder / "boresight.db")) as database:
        for step, metrics in database.execute("SELECT step, metrics FROM metrics ORDER BY step"):
            for name, value in json.loads(metrics).items():
                points[name].append((step, value))
        ((config,),) = database.execute("SELECT config FROM configs").fetchall()
    database.close()
    return points, json.loads(config)


def wandb(folder: Path) -> tuple[Points, dict[str, Any]]:
    from wandb.proto.wandb_internal_pb2 import Record

    points: Points = defaultdict(list)
    settings: dict[str, Any] = {}
    ids = set()
    for file in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        for data in log_records(file.read_bytes(), MAGIC):
            record = Record.FromString(data)
            if record.HasField("run"):
                ids.add(record.run.run_id)
                settings |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
            for item in record.history.item if record.HasField("history") else ():
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    points[name].append((record.history.step.num, json.loads(item.value_json)))
    assert len(ids) == 1  # one run, whatever number of folders
    return points, settings


READERS = {"tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow, "trackio": trackio}
