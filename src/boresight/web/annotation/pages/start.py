"""From a file of tasks and an address to an annotation app that answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path

from boresight.errors import ConfigError
from boresight.web.access import TrustedProxy
from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.people import all_people, make_invite
from boresight.web.annotation.store import Store
from boresight.web.oidc import IdentityProvider, Provider
from boresight.web.serving import bind, is_loopback, link_of, open_in_browser, serve
from boresight.web.sessions import secret_of
from boresight.web.shell import LOOPBACK

INVITE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """How the app is reached. `site`: the address that people open, where a proxy stands in front ("https://…")."""

    host: str
    port: int
    site: str | None = None
    proxy: TrustedProxy | None = None
    oidc: Provider | None = None


def open_annotation(
    store: Store, secret_file: Path, front: Front, *, open_page: bool, say: Callable[[str, bool], None]
) -> None:
    """Serve the app until Ctrl-C. `say` is given the link once it answers, and whether it makes the first admin.

    Raises ServiceError where the address is taken.
    """
    with bind(front.host, front.port) as bound:
        app = build_annotation(
            store, secret_of(secret_file), hosts=_hosts(front), site=front.site, proxy=front.proxy, oidc=front.oidc
        )
        first = not any(person.may("admin") for person in all_people(store))
        path = f"/join/{make_invite(store, 'admin', valid_seconds=INVITE_SECONDS)}" if first else "/"
        link = f"{front.site.rstrip('/')}{path}" if front.site else link_of(bound, front.host, path)

        def ready() -> None:
            say(link, first)
            if open_page:
                open_in_browser(link)

        serve(app, bound, ready)


def _hosts(front: Front) -> tuple[str, ...]:
    """Names under which it may be asked: its own, or any on other addresses than loopback; accounts protect it."""
    if front.site is not None:
        name = front.site.split("://", 1)[-1].split("/", 1)[0].rsplit(":", 1)[0]
        return (*LOOPBACK, name.lower())
    return (*LOOPBACK, front.host.lower()) if is_loopback(front.host) else ("*",)


def trusted_proxy(header: str | None, networks: Sequence[str]) -> TrustedProxy | None:
    """Raises ConfigError for a header that anybody could send, and for what is no network."""
    if header is None:
        return None
    if not networks:
        raise ConfigError(
            f"--user-header {header}: anybody could send this header. Say with --user-network from which addresses it "
            "is believed, such as 127.0.0.1/32."
        )
    try:
        return TrustedProxy(header, tuple(ip_network(one) for one in networks))
    except ValueError as error:
        raise ConfigError(f"--user-network: {error}; expected an address or a network such as 10.0.0.0/8.") from error


def identity_provider(issuer: str | None, client_id: str | None, claim: str, secret: str | None) -> Provider | None:
    """Raises ConfigError where half of it is missing, for an address that is not https, or without the extra `oidc`."""
    if issuer is None and client_id is None:
        return None
    if not issuer or not client_id:
        raise ConfigError("--oidc-issuer and --oidc-client belong together: give both, or none.")
    missing = [name for name in ("authlib", "joserfc") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"--oidc-issuer needs the package {missing[0]}: pip install 'boresight[oidc]'.")
    provider = Provider(issuer=issuer, client_id=client_id, secret=secret or None, claim=claim)
    IdentityProvider(provider)  # checks the address
    return provider
