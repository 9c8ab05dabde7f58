#!/usr/bin/env python3
"""Writes the repositories of programs: packaging/repositories.py CHECKOUT >src/toolkit/repository/programs.txt

CHECKOUT is a checkout of https://github.com/aquaproj/aqua-registry. Needs PyYAML. Each line has the name of a program and the
repositories on GitHub whose releases contain it, without the name of the repository if it is the program's.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import yaml

PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}")
# A repository such as ripgrep-prebuilt publishes other builds of ripgrep.
BUILDS = re.compile(r"(.+)-(arm64|bin|builds|nightly|prebuilt|releases)")
REPOSITORY = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+")


def newest(package):
    """Returns what applies to the newest versions of a package."""
    if package.get("version_constraint", "true") == "true":
        return package
    newest = [v for v in package.get("version_overrides", []) if v.get("version_constraint") == "true"]
    return package | newest[0] if newest else package


def programs(package):
    """Returns the names of the programs of a package."""
    files = [file for part in [package, *package.get("overrides", [])] for file in part.get("files", [])]
    default = package.get("name") or package.get("repo_name") or ""
    return [file["name"] for file in files] or [default.rpartition("/")[2]]


def main():
    registry = yaml.load((Path(sys.argv[1]) / "registry.yaml").read_text(), yaml.CSafeLoader)
    repositories = defaultdict(set)
    # The packages that are made of one program or named for it. The others only contain it, as tenv contains terraform.
    owners = defaultdict(set)
    for package in map(newest, registry["packages"]):
        repository = f"{package.get('repo_owner')}/{package.get('repo_name')}"
        names = programs(package)
        for name in names:
            if package["type"] == "github_release" and not package.get("no_asset"):
                repositories[name].add(repository)
            if name in (names[0], package.get("repo_name")):
                owners[name].add(repository)
    for name, found in sorted(repositories.items()):
        found = found & owners[name] if owners[name] else found
        projects = {repository.partition("/")[2] for repository in found}
        builds = {r for r in found if (build := BUILDS.fullmatch(r.partition("/")[2])) and build[1] in projects}
        found = sorted(r for r in found - builds if REPOSITORY.fullmatch(r))
        if found and PROGRAM.fullmatch(name):
            print(name, *(r.removesuffix(name) if r.endswith(f"/{name}") else r for r in found))


if __name__ == "__main__":
    main()
