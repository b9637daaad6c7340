"""The manifest and the scripts of docs/cluster.md: well formed, and of the versions in use."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from wav2clip.cli.main import load_command

DOCS = Path(__file__).parents[2] / "docs" / "cluster.md"


def blocks(language: str) -> list[str]:
    found = re.findall(
        rf"^```{language}\n(.*?)^```", DOCS.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found
    return found


def test_the_manifest_is_a_ray_job_of_this_version() -> None:
    job = yaml.safe_load(blocks("yaml")[0])
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == version("ray")
    assert f"rayproject/ray:{version('ray')}" in blocks("dockerfile")[0]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["limits"] == container["resources"]["requests"]
    cores = sum(int(g["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
                * g["replicas"] for g in cluster["workerGroupSpecs"])  # fmt: skip
    assert f"--cluster-workers {cores} " in job["spec"]["entrypoint"]


@pytest.mark.parametrize("script", blocks("bash"), ids=["symmetric-run", "ray start"])
def test_the_scripts_are_bash(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_commands_have_these_options() -> None:
    text = DOCS.read_text("utf-8")
    used = set(re.findall(r"wav2clip (embed|index) ([^`\n]*)", text))
    assert {command for command, _ in used} == {"embed", "index"}
    for command, arguments in used:
        known = {name for option in load_command(command).params for name in option.opts}
        for option in re.findall(r"(?<!\S)--?[a-z-]+", arguments):
            assert option in known, f"wav2clip {command} {arguments}"
