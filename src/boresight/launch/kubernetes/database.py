"""PostgreSQL for the annotation app: one server on a volume, its backups, and the way back from one."""

from typing import Any

from boresight.launch.kubernetes.cluster import Annotation, Cluster
from boresight.launch.kubernetes.pods import (
    PART_OF,
    Manifest,
    bare_container,
    bare_pod,
    from_secret,
    labels,
    memory_folder,
)

NAME = "boresight-postgres"
SECRET = "boresight-database"
ROLE, DATABASE = "boresight", "labels"
ADDRESS = f"{NAME}/{DATABASE}"
PORT = 5432
USER = 999
"""postgres in the image of that name."""
FOLDER = "/data"
APP_CONNECTIONS = 50
"""The most that one replica of the app opens: the size of its pool in `web.annotation.store`."""
OTHER_CONNECTIONS = 20
ROLES_MAP, ROLES_FILE = "boresight-postgres-roles", "roles.sh"
BACKUPS, RESTORE = "boresight-label-backup", "boresight-label-restore"
ROLES = f"""\
# Read once by the image, on an empty volume: the app's own role, which may do nothing beyond its database.
psql --username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 <<'SQL'
\\getenv password PGPASSWORD_OF_APP
CREATE ROLE {ROLE} LOGIN PASSWORD :'password';
CREATE DATABASE {DATABASE} OWNER {ROLE};
SQL
"""
BACK_UP = """\
set -eu
pg_dump --format=custom --file=/backups/unfinished
pg_restore --list /backups/unfinished > /dev/null
mv /backups/unfinished "/backups/labels-$(date +%u).dump"
"""
"""One file for each day of the week; a dump that failed takes no older one's place."""
BRING_BACK = """\
set -eu
cd /backups
file="${BACKUP:-$(ls -t labels-*.dump | head -n 1)}"
pg_restore --no-owner --file=/tmp/restore.sql "$file"
psql --quiet --single-transaction --set=ON_ERROR_STOP=1 --output=/dev/null \\
  --command='DROP OWNED BY CURRENT_USER' --file=/tmp/restore.sql
echo "restored: $file"
"""
"""All that is there goes, also tables that the dump's version did not know, or nothing changes."""


def manifests(cluster: Cluster, annotation: Annotation) -> dict[str, Manifest]:
    """The objects by file."""
    return {
        "database-statefulset.yaml": server(cluster, annotation),
        "database-service.yaml": service(cluster),
        "database-network.yaml": network_policy(cluster),
        "database-backups.yaml": backups_volume(cluster, annotation),
        "database-backup.yaml": _cron(cluster, annotation, BACKUPS, BACK_UP, schedule="17 3 * * *"),
        # Never by itself: `kubectl create job --from=cronjob/...` makes a job of it.
        "database-restore.yaml": _cron(cluster, annotation, RESTORE, BRING_BACK, schedule="0 0 1 1 *", suspend=True),
    }


def server(cluster: Cluster, annotation: Annotation) -> Manifest:
    """One server, which waits for its volume rather than start on an empty one."""
    health = {"exec": {"command": ["pg_isready", "--host=127.0.0.1", f"--dbname={DATABASE}", f"--username={ROLE}"]}}
    # While replicas are exchanged there is one more of them.
    connections = APP_CONNECTIONS * (annotation.replicas + 1) + OTHER_CONNECTIONS
    container = bare_container(
        "postgres",
        annotation.postgres_image,
        [],
        args=["-c", f"max_connections={connections}"],
        requests={"cpu": 1, "memory": "2Gi"},
        limits={"memory": "2Gi"},
        environment=[
            {"name": "PGDATA", "value": f"{FOLDER}/pgdata"},
            {"name": "POSTGRES_INITDB_ARGS", "value": "--auth-host=scram-sha-256 --data-checksums"},
            from_secret("POSTGRES_PASSWORD", SECRET, "admin-password"),
            from_secret("PGPASSWORD_OF_APP", SECRET, "password"),
        ],
        mounts={
            "data": FOLDER,
            "roles": "/docker-entrypoint-initdb.d",
            "sockets": "/var/run/postgresql",
            "scratch": "/tmp",
            "shared-memory": "/dev/shm",
        },
        read_only=("roles",),
        ports=[{"name": "postgres", "containerPort": PORT}],
        startupProbe={**health, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 120},
        readinessProbe={**health, "periodSeconds": 10, "timeoutSeconds": 5},
        livenessProbe={**health, "periodSeconds": 30, "timeoutSeconds": 10, "failureThreshold": 6},
    )
    volumes: dict[str, Manifest] = {
        "roles": {"configMap": {"name": ROLES_MAP}},
        "sockets": {"emptyDir": {}},
        "scratch": {"emptyDir": {"sizeLimit": "1Gi"}},
        "shared-memory": memory_folder("256Mi"),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(cluster, NAME),
        "spec": {
            "serviceName": NAME,
            "replicas": 1,
            "selector": {"matchLabels": labels("label-database")},
            "template": {
                "metadata": {"labels": labels("label-database")},
                "spec": bare_pod([container], volumes, user=USER, terminationGracePeriodSeconds=120),
            },
            "volumeClaimTemplates": [
                {"metadata": {"name": "data", "labels": PART_OF}, "spec": _one_machine(annotation.storage)}
            ],
        },
    }


def service(cluster: Cluster) -> Manifest:
    """The server's name, which leads to its pod."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(cluster, NAME),
        "spec": {
            "clusterIP": "None",
            "selector": labels("label-database"),
            "ports": [{"name": "postgres", "port": PORT, "targetPort": "postgres"}],
        },
    }


def network_policy(cluster: Cluster) -> Manifest:
    """The app and the backups may ask; the server itself asks nobody."""
    askers = [{"podSelector": {"matchLabels": labels(component)}} for component in ("label", "label-backup")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(cluster, NAME),
        "spec": {
            "podSelector": {"matchLabels": labels("label-database")},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": askers, "ports": [{"protocol": "TCP", "port": "postgres"}]}],
            "egress": [],
        },
    }


def backups_volume(cluster: Cluster, annotation: Annotation) -> Manifest:
    """Beside the server's own volume, and not on that of the runs: the dumps hold password hashes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(cluster, BACKUPS),
        "spec": _one_machine(annotation.storage),
    }


def _cron(cluster: Cluster, annotation: Annotation, name: str, script: str, **when: Any) -> Manifest:
    container = bare_container(
        "postgres-client",
        annotation.postgres_image,
        ["sh", "-c", script],
        requests={"cpu": "100m", "memory": "256Mi"},
        limits={"memory": "1Gi"},
        environment=[
            {"name": "PGHOST", "value": NAME},
            {"name": "PGUSER", "value": ROLE},
            {"name": "PGDATABASE", "value": DATABASE},
            {"name": "PGCONNECT_TIMEOUT", "value": "10"},
            from_secret("PGPASSWORD", SECRET, "password"),
        ],
        mounts={"backups": "/backups", "scratch": "/tmp"},
    )
    volumes: dict[str, Manifest] = {
        "backups": {"persistentVolumeClaim": {"claimName": BACKUPS}},
        "scratch": {"emptyDir": {}},
    }
    spec = bare_pod([container], volumes, user=USER, restartPolicy="Never")
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _metadata(cluster, name),
        "spec": {
            **when,
            "timeZone": "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 2,
                    "template": {"metadata": {"labels": labels("label-backup")}, "spec": spec},
                }
            },
        },
    }


def _one_machine(storage: str) -> Manifest:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}


def _metadata(cluster: Cluster, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": cluster.namespace, "labels": labels("label-database")}
