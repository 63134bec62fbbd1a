"""`boresight label serve`: the annotation app in the browser."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.label_front import (
    Host,
    OidcClaim,
    OidcClient,
    OidcIssuer,
    Port,
    ServedProject,
    ServedStore,
    Site,
    TaskFile,
    UserHeader,
    UserNetwork,
)
from boresight.cli.label_import import other_content_told, read_and_add
from boresight.cli.label_live import LongestResponse, Model, Responses, Sampling, Temperature, live_maker
from boresight.cli.labelling import need_packages, opened
from boresight.cli.web_extra import web_packages
from boresight.data.wording import counted

if TYPE_CHECKING:
    from boresight.web.annotation.settings import Settings

PORT = 7008
STORE_ENDING = ".labels.db"


def serve(
    tasks: TaskFile = None,
    store: ServedStore = None,
    project: ServedProject = None,
    overlap: Annotated[str, typer.Option("--overlap", metavar="N|P%", help="Of a new project: answers a task.")] = "1",
    pairs: Annotated[bool, typer.Option("--pairs", help="Of sampled responses, couples and no rankings.")] = False,
    model: Model = None,
    responses: Responses = 2,
    temperature: Temperature = 1.0,
    max_new_tokens: LongestResponse = 256,
    host: Host = "127.0.0.1",
    port: Port = PORT,
    site: Site = None,
    user_header: UserHeader = None,
    user_network: UserNetwork = None,
    oidc_issuer: OidcIssuer = None,
    oidc_client: OidcClient = None,
    oidc_claim: OidcClaim = "email",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Label in the browser, alone or as a team.

    Tasks are put into a store beside their file (tasks.labels.db), which is made at the first start; those that are
    there already are left as they are, so that the same command starts the app again. At first it prints a link that
    makes the admin, who invites others by links. With --model TASKS holds prompts, which the model answers beside the
    pages, always some tasks ahead of the people; it goes on where it was at the next start. It listens on this machine
    alone unless --host says otherwise. Ctrl-C ends it; what was answered is on the disk.

    \b
    Example:
      boresight label serve tasks.jsonl --overlap 2 --open
      boresight label serve prompts.jsonl --model runs/kube-assistant/stages/ppo
      boresight label serve --store postgresql://boresight@db/labels --site https://labels.example.org
    """
    from boresight.errors import ConfigError

    need_packages()
    if tasks is None and store is None:
        raise ConfigError("nothing to serve: give a file of tasks, or a store with --store.")
    place = store or str(store_beside(tasks or Path()))
    with web_packages():
        from boresight.web.annotation.pages.start import Front, identity_provider, open_annotation, trusted_proxy

    oidc = identity_provider(oidc_issuer, oidc_client, oidc_claim, os.environ.get("BORESIGHT_OIDC_SECRET"))
    front = Front(host=host, port=port, site=site, proxy=trusted_proxy(user_header, user_network or ()), oidc=oidc)
    make = None
    if model is not None:
        if tasks is None:
            raise ConfigError("--model: answers prompts; give a file of them as TASKS.")
        sampling = Sampling(model, responses, temperature, max_new_tokens)
        make = live_maker(tasks, sampling, project or name_of(tasks), _settings(overlap))
    elif tasks is not None:
        _import(tasks, place, project or name_of(tasks), overlap, pairs)
    with opened(place, create=tasks is not None) as opened_store:
        worker = make(opened_store) if make else None
        try:
            open_annotation(opened_store, secret_file(place), front, open_page=open_page, say=_say)
        finally:
            if worker is not None:
                worker.stop()


def _settings(overlap: str) -> "Settings":
    from boresight.web.annotation.settings import Settings, parse_overlap

    count, more = parse_overlap(overlap)
    return Settings(overlap=count, more_share=more)


def _import(tasks: Path, place: str, project: str, overlap: str, pairs: bool) -> None:
    result = read_and_add([tasks], place, project, _settings(overlap), pairs)
    print(f"{counted(result['added'][str(tasks)], 'task')} added to {project} in {place}", file=sys.stderr)
    if result["other_content"]:
        print(other_content_told(result["other_content"]), file=sys.stderr)


def _say(link: str, first: bool) -> None:
    print(link, flush=True)
    told = "This link makes the first admin, once, within a day. " if first else ""
    print(f"{told}Ctrl-C ends the app; what was answered is kept.", file=sys.stderr)


def name_of(tasks: Path) -> str:
    return tasks.resolve().name.split(".")[0] or "labels"


def store_beside(tasks: Path) -> Path:
    """`tasks.labels.db` beside tasks.jsonl, and beside a folder."""
    whole = tasks.resolve()
    return tasks.parent / f"{whole.name.split('.')[0]}{STORE_ENDING}" if tasks.name else Path(f"{whole}{STORE_ENDING}")


def secret_file(place: str) -> Path:
    """Where the key that signs sessions lies: beside a store in a file, else in the user's own folder for such."""
    if "://" not in place:
        return Path(f"{place}.key")
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "boresight" / "label.key"
