"""Schemathesis against the annotation app: requests made from its own schema, as an admin; none may end in a 5xx.

    python -m venv PEER && PEER/bin/pip install schemathesis
    python experiments/annotation_schema.py --schemathesis PEER/bin/st

The app runs as `boresight label serve` does, on loopback, with fifty tasks in a temporary store. Exits with
Schemathesis' own status.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from label_http import Server
from label_load import made_tasks

from boresight.web.annotation.people import add_person, make_token
from boresight.web.annotation.projects import add_tasks, make_project
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import open_store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemathesis", default="st", metavar="COMMAND")
    parser.add_argument("--examples", type=int, default=40, help="of each operation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "labels.db")
        store = open_store(place)
        project = make_project(store, "schema", Settings(seed=1, overlap=2))
        token = make_token(store, add_person(store, "admin", role="admin").id, "schema")
        add_tasks(store, project.id, made_tasks(50, seed=1))
        store.close()
        server = Server(place)
        try:
            return subprocess.run(
                [
                    options.schemathesis, "run", f"http://127.0.0.1:{server.port}/api/openapi.json",
                    "--header", f"Authorization: Bearer {token}", "--checks", "not_a_server_error",
                    "--max-examples", str(options.examples), "--rate-limit", "2000/m", "--no-color",
                ],
                cwd=folder, check=False,
            ).returncode  # fmt: skip
        finally:
            server.end()


if __name__ == "__main__":
    raise SystemExit(main())
