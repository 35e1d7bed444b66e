"""launch/jobset.yaml: it parses, its fields are those of a JobSet, and what belongs together agrees."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONTAINER = {"name", "image", "command", "args", "env", "workingDir", "ports", "resources"}
# The fields that JobSet v1alpha2, Job batch/v1 and Pod v1 have, of those that one would use here.
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {"failurePolicy", "successPolicy", "startupPolicy", "network", "replicatedJobs", "suspend", "coordinator"},
    "spec.failurePolicy": {"maxRestarts", "restartStrategy", "rules"},
    "spec.failurePolicy.rules": {"name", "action", "onJobFailureReasons", "targetReplicatedJobs"},
    "spec.replicatedJobs": {"name", "replicas", "template", "dependsOn", "groupName"},
    "job": {"metadata", "spec"},
    "job.spec": {"parallelism", "completions", "completionMode", "backoffLimit", "podFailurePolicy", "template"},
    "job.spec.podFailurePolicy.rules": {"action", "onExitCodes", "onPodConditions"},
}


@pytest.fixture(scope="module")
def jobset():
    (document,) = yaml.safe_load_all((ROOT / "launch" / "jobset.yaml").read_text())
    return document


@pytest.fixture(scope="module")
def job(jobset):
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]


@pytest.fixture(scope="module")
def pod(job):
    return job["spec"]["template"]["spec"]


def at(tree, path):
    """The mappings at a path of names, through lists."""
    found = [tree]
    for name in filter(None, path.split(".")):
        found = [inner for outer in found for inner in ([outer[name]] if name in outer else [])]
        found = [inner for outer in found for inner in (outer if isinstance(outer, list) else [outer])]
    return found


@pytest.mark.parametrize("path", FIELDS)
def test_only_fields_that_exist_are_used(jobset, job, path):
    found = at({"job": job} if path.startswith("job") else jobset, path)
    assert found
    for mapping in found:
        assert set(mapping) <= FIELDS[path]


def test_it_is_a_jobset_that_starts_all_hosts_again(jobset, job, pod):
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["completionMode"] == "Indexed"
    assert pod["restartPolicy"] == "Never"  # podFailurePolicy asks for it


def test_an_error_that_must_be_fixed_ends_it(jobset, job, pod):
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    (container,) = pod["containers"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [1, 2]}
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert (rule["action"], rule["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])


def test_a_pod_is_a_host_of_one_slice(job, pod):
    assert job["spec"]["parallelism"] == job["spec"]["completions"]
    (container,) = pod["containers"]
    assert set(container) <= CONTAINER
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert container["resources"]["requests"]["google.com/tpu"] == chips
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert job["spec"]["parallelism"] * chips == rows * columns


def test_it_runs_what_is_there(pod):
    (container,) = pod["containers"]
    assert (ROOT / container["command"][0]).exists()
    assert "--distributed" in container["args"]
    configs = [flag.partition("=")[2] for flag in container["args"] if flag.startswith("--config=")]
    assert all((ROOT / config).exists() for config in configs)
    assert configs
