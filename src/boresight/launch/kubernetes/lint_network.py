"""Rules of who reaches what: addresses that lead to pods, policies that let in whom they should, names with https."""

from collections.abc import Iterator, Mapping
from typing import Any

from boresight.launch.kubernetes.lint_pods import word_after
from boresight.launch.kubernetes.lint_ray import options_of
from boresight.launch.kubernetes.manifests import Finding, Loaded, dig, pods_of

HTTPS = "https://"


def lint_network(objects: list[Loaded]) -> Iterator[Finding]:
    """Everything that is wrong with Services, NetworkPolicies and Ingresses, and with what the pods say of them."""
    pods = [dict(dig(pod.template, "metadata", "labels") or {}) for one in objects for pod in pods_of(one)]
    policies = [one for one in objects if one.kind == "NetworkPolicy"]
    for loaded in objects:
        if loaded.kind == "Service":
            selector = dig(loaded.body, "spec", "selector") or {}
            yield from _guarded(loaded, [one for one in pods if selector.items() <= one.items()], policies)
        elif loaded.kind == "JobSet":
            listening = [pod for pod in pods_of(loaded) if any(one.get("ports") for one in pod.containers)]
            yield from _guarded(
                loaded, [dict(dig(pod.template, "metadata", "labels") or {}) for pod in listening], policies
            )
        elif loaded.kind == "RayJob" and (options_of(loaded) or {}).get("--trainers", "1") != "1":
            groups = dig(loaded.body, "spec", "rayClusterSpec", "workerGroupSpecs") or []
            yield from _guarded(
                loaded, [dict(dig(one, "template", "metadata", "labels") or {}) for one in groups], policies
            )
        elif loaded.kind == "NetworkPolicy":
            yield from _let_in(loaded, pods)
        elif loaded.kind == "Ingress":
            yield from _ingress(loaded, objects)
    yield from _sites(objects)


def _guarded(loaded: Loaded, pods: list[dict[str, Any]], policies: list[Loaded]) -> Iterator[Finding]:
    """Pods that listen are open to the whole cluster until a policy says otherwise."""
    for labels in pods:
        guards = [one for one in policies if _selects(dig(one.body, "spec", "podSelector"), labels)]
        if not any("Ingress" in (dig(one.body, "spec", "policyTypes") or []) for one in guards):
            message = "every pod of the cluster reaches it; expected a NetworkPolicy that selects its pods"
            yield Finding("network", loaded.where, message)


def _let_in(policy: Loaded, pods: list[dict[str, Any]]) -> Iterator[Finding]:
    for rule in dig(policy.body, "spec", "ingress") or []:
        peers = rule.get("from") or []
        if not peers or any(not _narrow(peer) for peer in peers):
            message = "lets in everybody; expected `from` with podSelector or namespaceSelector and labels in it"
            yield Finding("network", policy.where, message)
        for peer in peers:
            asked = dig(peer, "podSelector", "matchLabels")
            if asked and "namespaceSelector" not in peer and not any(asked.items() <= one.items() for one in pods):
                yield Finding("network", policy.where, f"lets in pods labelled {asked}, and there are none")


def _narrow(peer: Mapping[str, Any]) -> bool:
    if "ipBlock" in peer:
        return str(dig(peer, "ipBlock", "cidr")).partition("/")[2] != "0"
    return any(dig(peer, kind, "matchLabels") for kind in ("podSelector", "namespaceSelector"))


def _selects(selector: Any, labels: Mapping[str, Any]) -> bool:
    return dict(dig(selector, "matchLabels") or {}).items() <= labels.items()


def _ingress(ingress: Loaded, objects: list[Loaded]) -> Iterator[Finding]:
    spec = ingress.body.get("spec")
    secured = {host for entry in dig(spec, "tls") or [] if entry.get("secretName") for host in entry.get("hosts") or []}
    services = {one.name: one for one in objects if one.kind == "Service"}
    for rule in dig(spec, "rules") or []:
        if rule.get("host") not in secured:
            message = f"{rule.get('host')} is served without https; expected it in spec.tls, with a secretName"
            yield Finding("tls", ingress.where, message)
        for path in dig(rule, "http", "paths") or []:
            name, port = dig(path, "backend", "service", "name"), dig(path, "backend", "service", "port")
            if name not in services:
                yield Finding("reference", ingress.where, f"leads to the Service {name}, which is in no file here")
                continue
            ports = dig(services[name].body, "spec", "ports") or []
            wanted = dig(port, "name") or dig(port, "number")
            if wanted not in {one.get("name") for one in ports} | {one.get("port") for one in ports}:
                message = f"leads to port {wanted} of the Service {name}, which it does not have"
                yield Finding("reference", ingress.where, message)


def _sites(objects: list[Loaded]) -> Iterator[Finding]:
    """The app refuses any name but that of its site: it has to be the one that an Ingress serves."""
    served = {
        rule.get("host") for one in objects if one.kind == "Ingress" for rule in dig(one.body, "spec", "rules") or []
    }
    for loaded in objects:
        for pod in pods_of(loaded):
            for container in pod.containers:
                site = word_after(container, "--site")
                if site and site.startswith(HTTPS) and site.removeprefix(HTTPS).rstrip("/") not in served:
                    message = f"--site {site}: no Ingress here serves that name, and requests for others are refused"
                    yield Finding("site", loaded.where, message)
