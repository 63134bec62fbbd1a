"""Options of `boresight label serve`: what is served, how it is reached, and who may log in where."""

from pathlib import Path
from typing import Annotated

import typer

TaskFile = Annotated[
    Path | None, typer.Argument(metavar="[TASKS]", help="Tasks, responses or pairs, as `label import` reads them.")
]
ServedStore = Annotated[
    str | None,
    typer.Option("--store", metavar="STORE", help="A path, or postgresql://user@host/name; else beside TASKS."),
]
ServedProject = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Made where there is none; else the file's name.")
]
Host = Annotated[str, typer.Option(help="Address to listen on; others than this machine should come by https.")]
Site = Annotated[
    str | None, typer.Option(metavar="URL", help="What people open, where a proxy stands in front: https://…")
]
UserHeader = Annotated[
    str | None, typer.Option(metavar="NAME", help="Header in which a proxy tells who has logged in there.")
]
UserNetwork = Annotated[
    list[str] | None, typer.Option(metavar="CIDR", help="From where that header is believed; may be repeated.")
]
OidcIssuer = Annotated[
    str | None, typer.Option(metavar="URL", help="Identity provider (OpenID Connect) to log in at, too.")
]
OidcClient = Annotated[
    str | None, typer.Option(metavar="ID", help="Our name there; its secret stands in BORESIGHT_OIDC_SECRET.")
]
OidcClaim = Annotated[
    str, typer.Option(metavar="NAME", help="What of its answer is the name that people joined under.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
