import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

from boresight.errors import ClusterError
from boresight.launch.ray.whereabouts import here, refuse_other_versions


def test_every_other_version_is_named_with_its_node() -> None:
    own = here()
    assert set(own.versions) == {"python", "boresight", "torch", "transformers", "ray"}
    other = own._replace(node="node-b", versions={**own.versions, "torch": "2.1.0", "python": "3.10.1"})
    with pytest.raises(ClusterError) as refused:
        refuse_other_versions(own, {"rollout 1": own, "rollout 2": other})
    said = str(refused.value)
    for name, found in (("torch", "2.1.0"), ("python", "3.10.1")):
        assert f"rollout 2 on node-b has {name} {found}, and {own.node} has {own.versions[name]}" in said
    assert "rollout 1" not in said and "boresight" not in said
