"""Where the charts' scripts lie: in the installed package bokeh, of which nothing is imported."""

from importlib.util import find_spec
from pathlib import Path

from boresight.errors import ServiceError

SCRIPTS = ("bokeh.min.js", "bokeh-api.min.js")


def chart_scripts() -> Path:
    """The folder that holds `SCRIPTS`. Raises ServiceError where the package is not installed or lacks them."""
    spec = find_spec("bokeh")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        scripts = Path(folder) / "server" / "static" / "js"
        if all((scripts / name).is_file() for name in SCRIPTS):
            return scripts
    raise ServiceError(
        "the package bokeh, which draws the charts, is not installed whole. Install the web extra: "
        "pip install 'boresight[web]'"
    )
