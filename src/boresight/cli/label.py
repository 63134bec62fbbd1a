"""`boresight label`: preferences of people."""

SUBVERBS = {
    "serve": ("boresight.cli.label_serve", "serve", "Label in the browser, alone or as a team."),
    "import": (
        "boresight.cli.label_import",
        "import_tasks",
        "Put tasks into a store, old or new.",
    ),
    "export": ("boresight.cli.label_export", "export", "Preference pairs, demonstrations and votes from a store."),
    "agreement": ("boresight.cli.label_agreement", "agreement", "How far annotators agree, and what biases them."),
    "backup": ("boresight.cli.label_backup", "backup", "Copy a store while it is in use."),
    "restore": ("boresight.cli.label_backup", "restore", "Make a store from a backup."),
}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""


def command() -> None:
    """Human feedback: tasks for annotators, and what they answered.

    A store is a SQLite file (labels.db), or a database on a PostgreSQL server (postgresql://user@host/name) for larger
    teams. Every answer in it is kept.

    \b
    Example:
      boresight label serve tasks.jsonl --open
      boresight label import tasks.jsonl --store labels.db --overlap 2
      boresight label agreement labels.db
      boresight label export labels.db --out pairs.jsonl
    """
