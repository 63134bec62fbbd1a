"""Boresight: from raw examples and preferences to an aligned language model, with the evidence that it is aligned.

    import boresight as bs

    run = bs.run("pipeline.yaml")            # in a notebook: tables and curves
    bs.diagnose("runs/kube-assistant")
    bs.plan("Llama-3.1-8B", gpus="2xA100-80GB")

docs/python_api.md lists what there is. Importing this loads nothing: each name brings its module when it is used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boresight.api import evaluate as evaluate
    from boresight.api.checking import CheckResult as CheckResult
    from boresight.api.checking import check as check
    from boresight.api.datasets import Data as Data
    from boresight.api.datasets import load_data as load_data
    from boresight.api.diagnosing import Diagnosed as Diagnosed
    from boresight.api.diagnosing import diagnose as diagnose
    from boresight.api.environment import EnvironmentResult as EnvironmentResult
    from boresight.api.environment import doctor_env as doctor_env
    from boresight.api.evaluate import Agreement as Agreement
    from boresight.api.evaluate import Certificate as Certificate
    from boresight.api.evaluate import WinRates as WinRates
    from boresight.api.linting import LintResult as LintResult
    from boresight.api.linting import lint as lint
    from boresight.api.loading import load as load
    from boresight.api.models import Model as Model
    from boresight.api.models import RewardModel as RewardModel
    from boresight.api.models import load_model as load_model
    from boresight.api.pipelines import load_pipeline as load_pipeline
    from boresight.api.planning import Plan as Plan
    from boresight.api.planning import plan as plan
    from boresight.api.reporting import Report as Report
    from boresight.api.reporting import report as report
    from boresight.api.running import run as run
    from boresight.api.running import train as train
    from boresight.api.runs import Run as Run
    from boresight.api.runs import load_run as load_run
    from boresight.config.pipeline import Pipeline as Pipeline
    from boresight.errors import BoresightError as BoresightError

    __version__: str

# On Linux torch then takes tensors of 2 MB and more in huge pages (bench/traps.py measures what that is worth). It
# reads this before its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_PLACES = {
    "Agreement": "api.evaluate",
    "BoresightError": "errors",
    "Certificate": "api.evaluate",
    "CheckResult": "api.checking",
    "Data": "api.datasets",
    "EnvironmentResult": "api.environment",
    "Diagnosed": "api.diagnosing",
    "LintResult": "api.linting",
    "Model": "api.models",
    "Pipeline": "config.pipeline",
    "Plan": "api.planning",
    "Report": "api.reporting",
    "RewardModel": "api.models",
    "Run": "api.runs",
    "WinRates": "api.evaluate",
    "check": "api.checking",
    "diagnose": "api.diagnosing",
    "doctor_env": "api.environment",
    "evaluate": "api.evaluate",
    "lint": "api.linting",
    "load": "api.loading",
    "load_data": "api.datasets",
    "load_model": "api.models",
    "load_pipeline": "api.pipelines",
    "load_run": "api.runs",
    "plan": "api.planning",
    "report": "api.reporting",
    "run": "api.running",
    "train": "api.running",
}
"""The module of each public name, below this package; tests hold it against the imports above."""

_MODULE = "evaluate"
"""The one public name that is a module: `bs.evaluate.winrate(...)` as `boresight eval winrate`."""

__all__ = [
    "Agreement",
    "BoresightError",
    "Certificate",
    "CheckResult",
    "Data",
    "Diagnosed",
    "EnvironmentResult",
    "LintResult",
    "Model",
    "Pipeline",
    "Plan",
    "Report",
    "RewardModel",
    "Run",
    "WinRates",
    "check",
    "diagnose",
    "doctor_env",
    "evaluate",
    "lint",
    "load",
    "load_data",
    "load_model",
    "load_pipeline",
    "load_run",
    "plan",
    "report",
    "run",
    "train",
]


def __getattr__(name: str) -> Any:
    """A public name, its module loaded at its first use (PEP 562)."""
    if name == "__version__":
        return import_module("importlib.metadata").version("boresight")
    if name not in _PLACES:
        raise AttributeError(f"module 'boresight' has no attribute {name!r}; it has {', '.join(_PLACES)}")
    with import_module("boresight.api.quiet").quiet():
        place = import_module(f"boresight.{_PLACES[name]}")
    found = place if name == _MODULE else getattr(place, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
