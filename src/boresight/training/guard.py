"""The run doctor beside a training loop: its rules look at the stage's own log every few steps.

A look reads what the stage has written, so that a resumed run sees what an uninterrupted one would; what has been told,
and the KL coefficient, are part of the checkpoint.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boresight.config.sections import PolicyStage
from boresight.diagnosis.live import KL_CURES, live_findings
from boresight.diagnosis.readers.folders import read_stage
from boresight.diagnosis.rules.rule import SEVERITIES, Finding
from boresight.errors import PausedError, TrainingError
from boresight.storage import read_json, write_json
from boresight.training.experience import KLCoefficient
from boresight.training.run import Run

FINDINGS_FILE = "findings.json"

KL_STEP = 1.5
"""Factor by which one look raises the KL coefficient; the adaptive rule of Schulman et al. 2017, sec. 4, takes 2."""


class Guard:
    """Looks every `guard_every` steps and at the end, and does what `on_finding` says about alarms that are new: of an
    id not told before, or graver than told before."""

    def __init__(
        self,
        config: PolicyStage,
        run: Run,
        kl: KLCoefficient,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    ) -> None:
        self._config, self._run, self._kl = config, run, kl
        self._say = say if run.processes.first else lambda line: None
        self._told: dict[str, dict[str, Any]] = {}  # id -> the finding as it was told last
        self._stopped = ""

    def look(self, step: int) -> None:
        """Raises PausedError (`pause`) or TrainingError (`stop`) once a checkpoint of the step is written."""
        config = self._config
        last = step + 1 == config.steps
        if (step + 1) % config.guard_every and not last:
            return
        found = self._run.processes.told(lambda: live_findings(read_stage(self._run.folder, config.kind).run))
        new = [finding for finding in found if self._is_new(finding)]
        for finding in new:
            self._told[finding.id] = {
                "step": step,
                **{name: getattr(finding, name) for name in ("id", "severity", "cause", "action", "reference")},
            }
        if config.on_finding != "note":
            for finding in new:
                self._say(f"  step {step}: {finding.severity}: {finding.id}: {finding.cause} Do: {finding.action}")
        if config.on_finding == "adapt_kl" and any(finding.id in KL_CURES for finding in found):
            self._raise_kl(step)
        if self._told and self._run.processes.first:
            write_json(self._run.folder / FINDINGS_FILE, list(self._told.values()))
        if new and config.on_finding in ("pause", "stop"):
            self._halt(step, new)

    def _is_new(self, finding: Finding) -> bool:
        told = self._told.get(finding.id)
        return told is None or SEVERITIES.index(finding.severity) < SEVERITIES.index(told["severity"])

    def _raise_kl(self, step: int) -> None:
        limit = self._config.adapt_kl_limit * self._config.kl_coefficient
        before, self._kl.value = self._kl.value, max(self._kl.value, min(KL_STEP * self._kl.value, limit))
        if self._kl.value > before:
            self._say(f"  step {step}: KL coefficient raised from {before:.3g} to {self._kl.value:.3g}")

    def _halt(self, step: int, new: list[Finding]) -> None:
        reasons = "; ".join(f"{finding.id} ({finding.cause})" for finding in new)
        with self._run.saved_before((PausedError, TrainingError), step + 1):
            if self._config.on_finding == "pause":
                raise PausedError(
                    f"after step {step}: {reasons} A checkpoint is written. Look at `boresight diagnose "
                    f"{self._run.folder}`; running again takes note of it and goes on."
                )
            self._stopped = f"after step {step}: {reasons}"
            raise TrainingError(self._refusal())

    def _refusal(self) -> str:
        return (
            f"stopped (on_finding: stop) {self._stopped} The last checkpoint stays in {self._run.folder}, and the "
            "stage does not go on from it. Change the settings, remove the folder, and run again."
        )

    def state_dict(self) -> dict[str, Any]:
        return {"told": {name: dict(told) for name, told in self._told.items()}, "stopped": self._stopped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises TrainingError for the state of a run that was stopped: it stays so."""
        self._told = {name: dict(told) for name, told in state["told"].items()}
        self._stopped = state["stopped"]
        if self._stopped:
            raise TrainingError(self._refusal())


def findings_told(folder: Path) -> list[dict[str, Any]]:
    """What the guard of a stage has told: id, severity, step, cause, action and reference of each finding."""
    path = folder / FINDINGS_FILE
    found: list[dict[str, Any]] = read_json(path) if path.exists() else []
    return found
