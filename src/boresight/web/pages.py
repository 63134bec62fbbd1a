"""Templates of the web faces, filled and sent; what a model or a person wrote is always escaped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from boresight.data.wording import counted

HERE = Path(__file__).parent
TEMPLATES, STATIC = HERE / "templates", HERE / "static"


class Pages:
    """The templates of one face. `always` is known to each of them (the title of the face, links of its head)."""

    def __init__(self, always: Mapping[str, Any]) -> None:
        self.environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,  # every template is HTML
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.globals.update(always)
        self.environment.filters["counted"] = counted

    def show(self, request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """Fill a template; it knows the request and `csrf`, which gives the token of its forms."""
        text = self.environment.get_template(template).render(request=request, **values)
        return HTMLResponse(text, status)


def pages_of(request: Request) -> Pages:
    """The templates of the app that serves the request."""
    pages = request.app.state.pages
    assert isinstance(pages, Pages)
    return pages
