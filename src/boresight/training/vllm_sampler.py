"""Rollouts by a vLLM server, behind the interface of our own decoder; the policy's weights go to it over a folder.

What is asked of it (the OpenAI-compatible server in development mode, with the weight transfer of the kind `disk`):

    POST /v1/completions              {"prompt": [token ids], "logprobs": 1, "return_token_ids": true, "seed", ...}
    POST /init_weight_transfer_engine {"init_info": {}}                      once
    POST /pause?mode=wait, /resume                                           around an update; caches are cleared
    POST /start_weight_update, /update_weights {"update_info": {"path"}}, /finish_weight_update {"weight_version"}
    GET  /weight_info                 -> {"weight_version"}                  before and after every rollout

The version says which weights have written a response: a server that was started anew, or that another trainer has
updated, is noticed and given the weights again or refused. Log-probabilities must be those at the temperature
(`--logprobs-mode processed_logprobs`); `policy/sampler_kl` tells whether they are.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.errors import ServiceError
from boresight.feedback.chat_endpoint import quoted
from boresight.models.generate import Generation
from boresight.storage import folder_at_once

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds
LARGEST_SEED = 2**31 - 1


class _OutOfReachError(Exception):
    """A failure that may pass."""


@dataclass(slots=True)
class VLLMSampler:
    """Samples from `model` as it is at each call. `folder`: where its weights are written for the server, under the
    same absolute path on both sides. Raises ServiceError for a server out of reach or that answers otherwise."""

    url: str
    served_name: str
    model: PreTrainedModel
    folder: Path
    most_at_once: int = 64
    timeout: float = 600.0
    patience: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _updates: int = 0
    _ready: bool = False

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        temperatures: Sequence[float],
        max_new_tokens: int,
        stop_token_ids: Sequence[int],
        generator: torch.Generator,
        stop_strings: Sequence[str] = (),
        tokenizer: PreTrainedTokenizerBase | None = None,
        batch_size: int = 0,
        on_finished: Callable[[int], None] = lambda count: None,
    ) -> list[Generation]:
        """One response to each prompt, in order; see `boresight.models.generate`. How many are written at once is the
        server's business, so that `batch_size` is without effect; the tokenizer is its own."""
        version = self._send_weights()
        seeds = torch.randint(LARGEST_SEED, (len(prompts),), generator=generator).tolist()
        shared = {
            "model": self.served_name, "max_tokens": max_new_tokens, "n": 1, "top_p": 1.0, "top_k": -1, "logprobs": 1,
            "return_token_ids": True, "skip_special_tokens": False, "ignore_eos": True,
            "stop_token_ids": list(stop_token_ids), "stop": list(stop_strings), "include_stop_str_in_output": True,
        }  # fmt: skip

        def written(place: int) -> Generation:
            own = {"prompt": list(prompts[place]), "temperature": temperatures[place], "seed": seeds[place]}
            found = _generation(self.url, self._post("/v1/completions", shared | own), stop_token_ids)
            on_finished(1)
            return found

        with ThreadPoolExecutor(min(self.most_at_once, max(1, len(prompts)))) as pool:
            generations = list(pool.map(written, range(len(prompts))))
        if (now := self._version()) != version:
            raise self._broken(
                f"the weights are those of {now!r} after a rollout with {version!r}; was it started anew?"
            )
        return generations

    def _send_weights(self) -> str:
        """Write the weights, have the server load them, and take the folder away; the version that they have there."""
        version = f"{self._run}-{self._updates}"
        self._updates += 1
        place = self.folder.absolute() / version
        if not self._ready:
            self._post("/init_weight_transfer_engine", {"init_info": {}})
            self._ready = True
        with folder_at_once(place) as temporary:
            self.model.save_pretrained(temporary)
        try:
            self._post("/pause?mode=wait", {})
            self._post("/start_weight_update", {})
            self._post("/update_weights", {"update_info": {"path": str(place)}})
            self._post("/finish_weight_update", {"weight_version": version})
            self._post("/resume", {})
        finally:
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
        if (now := self._version()) != version:
            raise self._broken(f"it has the weights {now!r} after an update to {version!r}")
        return version

    def _version(self) -> str:
        return str(self._patiently("/weight_info", None).get("weight_version"))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._patiently(path, json.dumps(body).encode("utf-8"))

    def _patiently(self, path: str, body: bytes | None) -> dict[str, Any]:
        started, wait = self.clock(), FIRST_WAIT
        while True:
            try:
                return self._ask(path, body)
            except _OutOfReachError as fault:
                if self.clock() - started + wait > self.patience:
                    raise ServiceError(
                        f"{self.url}{path}: the vLLM server is out of reach ({fault}). Nothing is lost: start it again "
                        "and give the same command, which goes on from here. patience_seconds says how long to wait."
                    ) from fault
                self.sleep(wait)
                wait = min(2.0 * wait, LONGEST_WAIT)

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                text = answer.read().decode("utf-8", errors="replace")
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode("utf-8", errors="replace")
            if error.code in TRANSIENT:
                raise _OutOfReachError(f"status {error.code}: {quoted(said)}") from error
            raise self._broken(f"status {error.code} from {path}: {quoted(said)}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _OutOfReachError(str(getattr(error, "reason", None) or error) or type(error).__name__) from error
        try:
            found: Any = json.loads(text)
        except ValueError as error:
            raise self._broken(f"no JSON from {path}: {quoted(text)}") from error
        if not isinstance(found, dict):
            raise self._broken(f"no object from {path}: {quoted(text)}")
        return found

    def _broken(self, found: str) -> ServiceError:
        return ServiceError(
            f"{self.url}: the vLLM server answered otherwise than agreed: {found}. It is to be started with "
            'VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config \'{"backend": "disk"}\' (docs/ppo.md); mend it and '
            "give the same command, which goes on from here."
        )


def _generation(url: str, answer: dict[str, Any], stop_token_ids: Sequence[int]) -> Generation:
    """The one response in an answer, with as many log-probabilities as tokens. Raises ServiceError for another form."""
    try:
        choice = answer["choices"][0]
        tokens, logps = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        ids = [int(token) for token in tokens]
        values = [float(logp) for logp in logps]
    except (KeyError, IndexError, TypeError, ValueError):
        ids, values, choice = [], [], {}
    if not ids or len(ids) != len(values):
        raise ServiceError(
            f"{url}: the vLLM server gave {len(ids)} token ids and {len(values)} log-probabilities: "
            f"{quoted(json.dumps(answer))}. Expected choices[0] with token_ids and logprobs.token_logprobs of one "
            "length; take a version that knows return_token_ids."
        )
    stopped = choice.get("finish_reason") == "stop"
    if stopped and not isinstance(choice.get("stop_reason"), str) and ids[-1] not in stop_token_ids:
        raise ServiceError(
            f"{url}: the vLLM server says that a response stopped, and its last token {ids[-1]} is no stop token "
            f"({list(stop_token_ids)}). Expected token_ids up to and with the stop token."
            " Take a version that knows return_token_ids."
        )
    return Generation(ids, values, stopped)
