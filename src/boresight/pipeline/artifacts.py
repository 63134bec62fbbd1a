"""What a stage made, from what, with which config: folders that are whole or absent, keyed by content.

A stage works in `stages/NAME.partial` and is renamed to `stages/NAME` when all of it is there. Its key is a hash over
kind, settings, seed and the content of every input, so a stage that was built from equal things is not built again.
A finished artifact of another key is never overwritten: it is moved to `superseded/`, and comes back when its key does.
"""

import json
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from boresight.config.judge_sections import NO_PART_OF_A_RESULT
from boresight.config.sections import StageSection
from boresight.errors import CheckpointError
from boresight.storage import canonical_json, hash_text, hash_tree, read_json, storage_faults, write_json
from boresight.trackers.feed import NOTES_FILE, STATE_FILE

MANIFEST = "manifest.json"
IDENTITY = "identity.json"
# What a stage under way needs to go on after a kill, and a finished one does not: the checkpoint of a training loop (a
# folder where several processes wrote it), the chunks of sampled responses, its place in trackers.
WORKING = (IDENTITY, "checkpoint.pt", "checkpoint", "chunks", STATE_FILE, NOTES_FILE)
# Not part of what a stage made: times differ from run to run, the manifest is written last.
NOT_OUTPUTS = (MANIFEST, "timings.jsonl", *WORKING)


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a stage reads: another stage's artifact or a file of the user's."""

    name: str
    path: Path | str
    sha256: str
    is_stage: bool

    def as_json(self) -> dict[str, str]:
        return {"stage" if self.is_stage else "path": self.name, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a stage is built from. Two equal identities give equal artifacts on one machine."""

    stage: str
    kind: str
    config: Mapping[str, Any]
    model: Mapping[str, Any]
    seed: int
    inputs: Mapping[str, Sequence[Input]]

    @property
    def key(self) -> str:
        return hash_text(canonical_json(self.as_json()))

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "kind": self.kind,
            "config": dict(self.config),
            "model": dict(self.model),
            "seed": self.seed,
            "inputs": {field: [i.sha256 for i in inputs] for field, inputs in self.inputs.items()},
            "boresight": version("boresight"),
        }


class RunFolder:
    """The folder of one run, and the state of each of its stages."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stage(self, name: str) -> Path:
        """The folder of a stage that is built."""
        return self.root / "stages" / name

    def partial(self, name: str) -> Path:
        """The folder of a stage that is being built; renamed when it is done."""
        return self.root / "stages" / f"{name}.partial"

    def built_key(self, name: str) -> str | None:
        """Key of the finished artifact of a stage, None where there is none."""
        manifest = self.stage(name) / MANIFEST
        return str(_read(manifest)["key"]) if manifest.exists() else None

    def output_hash(self, name: str) -> str:
        """Content hash of a finished artifact: what the stages built on it are keyed by."""
        return hash_text(canonical_json(_read(self.stage(name) / MANIFEST)["outputs"]))

    def open(self, identity: Identity) -> Path:
        """The folder to work in, with whatever an interrupted run of the same identity left there.

        Raises CheckpointError where what it holds was begun with other settings or inputs.
        """
        folder = self.partial(identity.stage)
        known = folder / IDENTITY
        if known.exists():
            _refuse_other_identity(folder, _read(known), identity.as_json())
            remove_half_written(folder.rglob("*"))
            return folder
        with storage_faults(folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        write_json(folder / "config.json", dict(identity.config))
        write_json(known, identity.as_json())
        return folder

    def restore(self, name: str, key: str) -> bool:
        """Bring a superseded artifact of that key back; False where there is none."""
        kept = self._superseded(name, key)
        if not kept.exists():
            return False
        self._supersede(name)
        kept.replace(self.stage(name))
        return True

    def finish(self, identity: Identity, result: Mapping[str, Any]) -> Path:
        """Write result and manifest, then put the folder in its place; nobody ever sees it half made."""
        folder = self.partial(identity.stage)
        write_json(folder / "result.json", result)
        write_json(folder / MANIFEST, manifest(identity, folder))
        self._put_in_place(identity.stage)
        return self.stage(identity.stage)

    def complete(self, name: str, key: str) -> bool:
        """Put in its place what a kill left with its manifest written; False where there is no such folder."""
        known = self.partial(name) / MANIFEST
        if not known.exists() or _read(known)["key"] != key:
            return False
        self._put_in_place(name)
        return True

    def _put_in_place(self, name: str) -> None:
        """With the manifest written, what is left to do can be done again after a kill at any moment."""
        folder = self.partial(name)
        with storage_faults(folder):
            for working in WORKING:
                path = folder / working
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            self._supersede(name)
            folder.replace(self.stage(name))

    def _superseded(self, name: str, key: str) -> Path:
        return self.root / "superseded" / f"{name}-{key[:12]}"

    def _supersede(self, name: str) -> None:
        if not self.stage(name).exists():
            return
        kept = self._superseded(name, self.built_key(name) or "no-manifest")
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        self.stage(name).replace(kept)


def manifest(identity: Identity, folder: Path) -> dict[str, Any]:
    """Lineage of an artifact: equal runs write equal manifests, so it holds no time and no place."""
    outputs = {
        p.relative_to(folder).as_posix(): hash_tree(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.relative_to(folder).parts[0] not in NOT_OUTPUTS
    }
    return {
        "stage": identity.stage,
        "kind": identity.kind,
        "key": identity.key,
        "seed": identity.seed,
        "inputs": {field: [i.as_json() for i in inputs] for field, inputs in identity.inputs.items()},
        "outputs": outputs,
        "config_sha256": hash_text(canonical_json(dict(identity.config))),
        "versions": {name: version(name) for name in ("boresight", "torch", "transformers", "tokenizers")}
        | {"python": platform.python_version()},
    }


def stage_config(section: StageSection) -> dict[str, Any]:
    """Settings of a stage that decide its result: all but how often it saves, how it spares memory, and how it asks a
    reward service or a judge."""
    config: dict[str, Any] = json.loads(section.model_dump_json())
    for name in ("checkpoint_every", "activation_checkpointing", "dry_run"):
        config.pop(name, None)
    if isinstance(sampler := config.get("sampler"), dict):
        for name in ("folder", "most_at_once", "timeout_seconds", "patience_seconds"):
            sampler.pop(name, None)
    for part in (
        part
        for reward in (config.get("reward"), config.get("canary"))
        for part in (reward if isinstance(reward, list) else [reward])
    ):
        if isinstance(part, dict):
            for name in ("batch_size", "timeout_seconds", "patience_seconds"):  # of a service
                part.pop(name, None)
            if isinstance(judge := part.get("judge"), dict):
                part.pop("on_unreadable")  # so that a stage that stopped at such a reply can go on
                for name in NO_PART_OF_A_RESULT:
                    judge.pop(name, None)
    revise = config.get("revise")
    for asked in (config.get("judge"), revise.get("by") if isinstance(revise, dict) else None):
        if isinstance(asked, dict):
            for name in NO_PART_OF_A_RESULT:
                asked.pop(name, None)
    return config


def remove_half_written(paths: Iterable[Path]) -> None:
    """Remove what a kill left beside the files that were to be replaced; see `boresight.storage.write_atomically`."""
    for left in [path for path in paths if path.name.startswith(".") and path.name.endswith(".tmp")]:
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """One of a stage's own files. Raises CheckpointError where it was cut off or changed since it was written."""
    try:
        found = read_json(path)
    except ValueError as error:
        found = error
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path}: is not the JSON object that a run wrote there ({found}). Bring the file back, or remove the "
            f"folder {path.parent} to build this stage anew."
        )
    return found


def _refuse_other_identity(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found == wanted:
        return
    changes = [
        f"{name}: {json.dumps(before)} -> {json.dumps(after)}"
        for part in ("config", "model", "inputs")
        for name in sorted(set(found[part]) | set(wanted[part]))
        if (before := found[part].get(name)) != (after := wanted[part].get(name))
    ] or [f"{n}: {found.get(n)} -> {wanted[n]}" for n in ("seed", "boresight") if found.get(n) != wanted[n]]
    raise CheckpointError(
        f"{folder}: holds a half-finished stage that was begun with other settings or inputs "
        f"({'; '.join(changes)}). Go back to those to resume it, or remove the folder to begin this stage anew."
    )
