"""launch/lock/ holds whatever setup.cfg asks for, each package at one version with hashes, for every Python."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "launch" / "lock"
REMEDY = "run launch/lock.sh"
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
NOT_LOCKED = {"torch"}  # launch/lock.sh says why

setup = configparser.ConfigParser()
setup.read(ROOT / "setup.cfg")
EXTRAS = list(setup["options.extras_require"])


def requirements(text):
    return [Requirement(line) for line in text.splitlines() if line.strip()]


def asked(extra):
    """What setup.cfg asks for in an extra, or in all installations."""
    found = setup["options"]["install_requires"] if extra == "base" else setup["options.extras_require"][extra]
    return [requirement for requirement in requirements(found) if requirement.name not in NOT_LOCKED]


def locked(*names):
    """The lines of lock files without their hashes."""
    lines = [line for name in names for line in (LOCK / f"{name}.txt").read_text().splitlines()]
    return requirements("\n".join(line.removesuffix(" \\") for line in lines if not line.startswith(" ")))


def applies(requirement, python):
    versions = {"python_version": python, "python_full_version": f"{python}.5"}
    return not requirement.marker or requirement.marker.evaluate(default_environment() | versions)


def versions(python, *names):
    """Package -> its version on this platform."""
    found = {}
    for requirement in locked(*names):
        if applies(requirement, python):
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", requirement
            assert found.setdefault(requirement.name, specifier.version) == specifier.version, requirement
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", ["base", *EXTRAS])
def test_the_lock_has_what_is_asked_for(extra, python):
    assert (LOCK / f"{extra}.txt").exists(), REMEDY
    there = versions(python, *dict.fromkeys(["base", extra]))
    for requirement in asked(extra):
        if applies(requirement, python):
            version = there.get(canonicalize_name(requirement.name))
            assert version, f"{requirement} is not locked: {REMEDY}"
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, not {version}: {REMEDY}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("without", [("tpu",), ("test", "plan")], ids="-".join)  # each has a libtpu of its own
def test_extras_go_together(python, without):
    versions(python, "base", *(extra for extra in EXTRAS if extra not in without))


def test_what_an_accelerator_needs_comes_only_with_its_extra():
    names = {extra: set(versions("3.11", extra)) for extra in ("base", "test", "tpu", "cuda")}
    assert "libtpu" in names["tpu"]
    assert "jax-cuda13-plugin" in names["cuda"]
    assert "libtpu" not in names["base"]
    assert not {name for name in names["base"] | names["test"] if re.match("nvidia|jax-cuda|torch$", name)}


def test_what_builds_the_project_is_locked_too():
    assert "setuptools" in versions("3.11", "base")


@pytest.mark.parametrize("extra", ["base", *EXTRAS])
def test_every_package_has_hashes_and_nothing_says_where_it_comes_from(extra):
    text = (LOCK / f"{extra}.txt").read_text()
    packages = re.split(r"\n(?=\S)", text.strip())
    assert all(re.fullmatch(r"\S+==.*(\s+\\\n    --hash=sha256:[0-9a-f]{64})+", package) for package in packages)
    assert "://" not in text


def test_there_is_no_lock_of_an_extra_that_is_gone():
    assert {path.stem for path in LOCK.glob("*.txt")} == {"base", "versions", *EXTRAS}, REMEDY
