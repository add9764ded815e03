"""What a release's workflow does with the tag, the project's version and the changelog."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from tests.test_docs import ROOT

WORKFLOW = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the workflow runs on Linux")


def run(command: str, tag: str, folder: Path) -> int:
    """The exit code of one of the workflow's commands for a tag."""
    environ = {"GITHUB_REF_NAME": tag, "GITHUB_REPOSITORY": "Some-One/Parley", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    arguments = ["bash", "-e", "-o", "pipefail", "-c", command]
    return subprocess.run(arguments, cwd=folder, env=environ, check=False).returncode  # noqa: S603 - the workflow's


def test_only_the_tag_of_the_projects_version_is_released() -> None:
    [command] = re.findall(r"run: (grep .* pyproject\.toml)", WORKFLOW)
    assert run(command, f"v{VERSION}", ROOT) == 0
    for other in ("v9.9.9", f"v{VERSION}.1", f"v{VERSION[:-1]}", "v"):
        assert run(command, other, ROOT) != 0, other


def test_release_notes_are_the_versions_part_of_the_changelog(tmp_path: Path) -> None:
    [script] = re.findall(r"run: \|\n((?: {10}.*\n)+)", WORKFLOW)
    *commands, publish = textwrap.dedent(script).splitlines()
    assert publish.startswith("gh release create ")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    assert run("\n".join(commands), f"v{VERSION}", tmp_path) == 0
    notes = (tmp_path / "notes.md").read_text(encoding="utf-8")
    assert "### Added" in notes
    assert "## Unreleased" not in notes
    assert not re.search("^## ", notes, re.MULTILINE)
    assert run("\n".join(commands), "v9.9.9", tmp_path) != 0, "a version without notes"


def test_newest_version_in_the_changelog_is_the_projects() -> None:
    versions = re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
    assert versions[0] == VERSION


def test_documented_image_is_of_the_projects_version() -> None:
    pages = "".join(
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/deploy.md", "compose.yaml")
    )
    assert set(re.findall(r"OWNER/REPOSITORY:([\d.]+)", pages)) == {VERSION.rpartition(".")[0]}
