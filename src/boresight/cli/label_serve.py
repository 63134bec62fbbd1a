"""`boresight label serve`: the annotation app in the browser."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boresight.cli.label_import import read_and_add
from boresight.cli.label_live import Sampling, live_maker
from boresight.cli.labelling import need_packages, opened
from boresight.cli.web_extra import web_packages

if TYPE_CHECKING:
    from boresight.web.annotation.settings import Settings

PORT = 7008
STORE_ENDING = ".labels.db"


def serve(
    tasks: Annotated[
        Path | None, typer.Argument(metavar="[TASKS]", help="Tasks, responses or pairs, as `label import` reads them.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", metavar="STORE", help="A path, or postgresql://user@host/name; else beside TASKS."),
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="Made where there is none; else the file's name.")
    ] = None,
    overlap: Annotated[str, typer.Option("--overlap", metavar="N|P%", help="Of a new project: answers a task.")] = "1",
    pairs: Annotated[bool, typer.Option("--pairs", help="Of sampled responses, couples and no rankings.")] = False,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="Answers prompts of TASKS while people label.")
    ] = None,
    responses: Annotated[int, typer.Option(min=2, max=9, help="With --model: of each prompt.")] = 2,
    temperature: Annotated[float, typer.Option(min=0.01, help="With --model: of its sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="With --model: longest response.")] = 256,
    host: Annotated[str, typer.Option(help="Address to listen on; others than this machine should come by https.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    site: Annotated[
        str | None, typer.Option(metavar="URL", help="What people open, where a proxy stands in front: https://…")
    ] = None,
    user_header: Annotated[
        str | None, typer.Option(metavar="NAME", help="Header in which a proxy tells who has logged in there.")
    ] = None,
    user_network: Annotated[
        list[str] | None, typer.Option(metavar="CIDR", help="From where that header is believed; may be repeated.")
    ] = None,
    oidc_issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Identity provider (OpenID Connect) to log in at, too.")
    ] = None,
    oidc_client: Annotated[
        str | None, typer.Option(metavar="ID", help="Our name there; its secret stands in BORESIGHT_OIDC_SECRET.")
    ] = None,
    oidc_claim: Annotated[
        str, typer.Option(metavar="NAME", help="What of its answer is the name that people joined under.")
    ] = "email",
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

    proxy = trusted_proxy(user_header, user_network or ())
    oidc = identity_provider(oidc_issuer, oidc_client, oidc_claim, os.environ.get("BORESIGHT_OIDC_SECRET"))
    front = Front(host=host, port=port, site=site, proxy=proxy, oidc=oidc)
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
    print(f"{result['added'][str(tasks)]:,} tasks added to {project} in {place}", file=sys.stderr)


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
