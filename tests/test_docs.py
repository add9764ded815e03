"""What the documentation, `.env.example`, the image's files and the lock say is what the code does."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import discord
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from bot import cli
from bot.config import SETTINGS, Settings, groups

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
DOCUMENTATION = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.DOTALL | re.MULTILINE
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
IGNORED = [".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())]
OUTSIDE = {
    "discord": {"discord_bot"},
    "openai": {"llm"},
    "httpx2": {"llm", "network"},
    "aiohttp": {"discord_bot", "llm", "network", "operator", "playground", "standin"},
    "prometheus_client": {"operator"},
    "aiosqlite": {"store"},
    "psycopg": {"store"},
    "dotenv": {"config"},
    "PIL": {"files"},
    "charset_normalizer": {"files"},
    "pypdf": {"files"},
}
"""Who alone may import what reaches out of the process."""
_DEPRECATIONS = "https://developers.openai.com/api/docs/deprecations, 2026-11-28"
MODELS: tuple[tuple[str, date | None, str], ...] = (
    ("gpt-5", date(2026, 12, 11), _DEPRECATIONS),
    ("gpt-5-mini", date(2026, 12, 11), _DEPRECATIONS),
    ("gpt-5-nano", date(2026, 12, 11), _DEPRECATIONS),
    ("o3", date(2026, 12, 11), _DEPRECATIONS),
    ("gpt-4.1", date(2027, 1, 14), _DEPRECATIONS),
    ("gpt-4.1-mini", date(2027, 1, 14), _DEPRECATIONS),
    ("gpt-4o", date(2027, 1, 14), _DEPRECATIONS),
    ("gpt-4o-mini", date(2027, 1, 14), _DEPRECATIONS),
    ("whisper-1", date(2027, 2, 26), _DEPRECATIONS),
    ("gpt-4o-transcribe", date(2027, 2, 26), _DEPRECATIONS),
    ("gpt-transcribe", None, _DEPRECATIONS),
    ("gpt-6-luna", None, _DEPRECATIONS),
)
"""Models of OpenAI's, the day on which each is shut down, if one is announced, and where and when that was read."""
LONG_ENOUGH = timedelta(days=183)
"""How long a model that we name has to be there."""


def section(title: str, page: str = README) -> str:
    """A page's text under a heading, up to the next heading."""
    return re.split(r"^#+ ", page.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(kind: str) -> list[str]:
    """The documentation's blocks of one kind, the README's first, each once."""
    found = dict[str, None]()
    for page in sorted(DOCUMENTATION, key=lambda page: page.name != "README.md"):
        text = page.read_text(encoding="utf-8")
        for indent, block in re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", text, FENCED):
            found[re.sub(f"^{indent}", "", block, flags=re.MULTILINE)] = None
    return list(found)


def kept(names: list[str]) -> list[str]:
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in IGNORED)]


def files() -> Iterator[Path]:
    """The repository's files: all but what git ignores."""
    for directory, below, names in os.walk(ROOT):
        below[:] = kept(below)
        yield from (Path(directory, name) for name in kept(names))


MAP = section("Map", ARCHITECTURE)
LINES = {name: line for line, name in enumerate(re.findall(r"^bot/(\w+)(?:\.py|/) ", MAP, re.MULTILINE))}
"""The modules and packages directly under `bot`, with their line in the map."""
FOLDERS = {name: line for line, name in enumerate(re.findall(r"^  (\w+)/ ", MAP, re.MULTILINE))}
"""The folders of `bot/discord_bot`, with their line in the map."""
ON_TOP = {"check", "client", "runner", "wiring"}
"""The modules of `bot/discord_bot` that stand above its folders."""
NOTHING_OF_OURS = {"core", "files", "markdown", "network", "standin"}
SOURCES = sorted((ROOT / "bot").rglob("*.py"))


def packages(below: Path) -> set[str]:
    """The folders with modules in them."""
    return {path.parent.name for path in below.glob("*/*.py")}


def imports(path: Path) -> Iterator[str]:
    """The full names of what a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they lead"
            yield from ([f"bot.{name.name}" for name in node.names] if node.module == "bot" else [node.module or ""])
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def settings_by_group() -> dict[str, list[tuple[str, str, str]]]:
    """The rows of docs/settings.md (name, default, help) under their headings."""
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    return {
        title: re.findall(r"^\| `(\w+)` \| (?:`(.*)`)? ?\| (.*) \|$", section(title, page), re.MULTILINE)
        for title in re.findall(r"^## (.*)$", page, re.MULTILINE)
    }


def test_readme_is_short() -> None:
    assert len(README.encode()) <= 10_240


def test_settings_page_matches_the_code() -> None:
    rows = [row for group in settings_by_group().values() for row in group]
    assert sorted(rows) == sorted((name, setting.default, setting.help) for name, setting in SETTINGS.items())
    assert [(title, [name for name, *_ in rows]) for title, rows in settings_by_group().items() if rows] == [
        *groups().items()
    ]


def test_example_file_has_the_settings_that_are_not_advanced() -> None:
    expected = settings_by_group()
    assert expected.pop("Advanced")
    groups = {
        title: [
            (name, default, text) for text, name, default in re.findall(r"^# (.*)\n#?(\w+)=(.*)$", rows, re.MULTILINE)
        ]
        for title, rows in re.findall(r"^## (.*)\n((?:.+\n)*)", EXAMPLE, re.MULTILINE)
    }
    assert list(groups.items()) == list(expected.items())
    assert len(re.findall(r"^#?\w+=", EXAMPLE, re.MULTILINE)) == sum(map(len, groups.values()))
    assert len(EXAMPLE.splitlines()) <= 60


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        re.sub(r"^#(\w+=)", r"\1", EXAMPLE, flags=re.MULTILINE),
        "".join(f"{name}={default}\n" for group in settings_by_group().values() for name, default, _ in group),
    ],
    ids=["example", "all defaults of the example", "all defaults of the page"],
)
def test_copied_defaults_change_nothing(tmp_path: Path, text: str) -> None:
    copy = tmp_path / ".env"
    copy.write_text(text, encoding="utf-8")
    assert Settings.load({}, copy) == Settings.load({}, None)


def headings(page: str) -> set[str]:
    """The anchors of a page's headings."""
    found = re.findall(r"^#+ (.*)$", re.sub(r"^ *```.*?^ *```$", "", page, flags=FENCED), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower() for heading in found}


@pytest.mark.parametrize("page", DOCUMENTATION, ids=lambda page: page.name)
def test_links_lead_to_existing_places(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            file = page.parent / path if path else page
            assert file.exists(), target
            assert not anchor or anchor in headings(file.read_text(encoding="utf-8")), target


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in DOCUMENTATION
        for target in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8"))
    }
    assert set(DOCUMENTATION) - {ROOT / "README.md"} <= linked


@pytest.mark.parametrize("page", DOCUMENTATION, ids=lambda page: page.name)
def test_documented_commands_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"(?:-m|--rm) bot\b((?: [\w./-]+)*)", text):
        command, *rest = words.split() or ["run"]
        with pytest.raises(SystemExit) as left, contextlib.redirect_stdout(io.StringIO()) as shown:
            cli.main([command, "--help"])
        assert left.value.code == 0, command
        assert {word for word in rest if word.startswith("-")} <= set(
            shown.getvalue().replace("]", " ").replace("[", " ").split()
        ), words
    for name in re.findall(r"-m benchmarks\.(\w+)", text):
        assert (ROOT / f"benchmarks/{name}.py").exists(), name


def test_settings_shown_in_pages_are_accepted(tmp_path: Path) -> None:
    assert blocks("dotenv")
    for block in blocks("dotenv"):
        (tmp_path / ".env").write_text(block, encoding="utf-8")
        assert Settings.load({}, tmp_path / ".env")


def test_troubleshooting_quotes_what_people_see() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "bot/texts").glob("*.py")))
    rows = re.findall(r"^\| ([^|]*) \| [^|]+ \|$", section("Troubleshooting"), re.MULTILINE)
    assert len(rows) >= 8
    for quoted in re.findall('"([^"]+)"', "\n".join(rows)):
        assert all(part in sources for part in re.split(r"\d+", quoted)), quoted


def test_invite_link_asks_for_the_listed_permissions() -> None:
    safety = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z][\w ]+) \| (\d+) \|", section("Permissions", safety), re.MULTILINE)
    assert rows
    for name, value in rows:
        flag = name.lower().replace(" ", "_").replace("view_channels", "view_channel")
        assert discord.Permissions(**{flag: True}).value == int(value), name
    assert re.findall(r"&permissions=(\d+)", README) == [str(sum(int(value) for _, value in rows))]


def test_the_map_has_every_package() -> None:
    top_modules = {path.stem for path in (ROOT / "bot").glob("*.py") if path.stem != "__init__"}
    assert LINES.keys() == top_modules | packages(ROOT / "bot")
    assert FOLDERS.keys() == packages(ROOT / "bot/discord_bot")


def test_at_the_top_stand_packages_and_few_modules() -> None:
    assert {path.name for path in (ROOT / "bot").glob("*.py")} == {"__init__.py", "__main__.py", "app.py", "cli.py"}


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in SOURCES}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_folder_says_what_it_is_for(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_only_downwards(path: Path) -> None:
    owner = path.relative_to(ROOT / "bot").parts[0].removesuffix(".py")
    for top, _, rest in (name.partition(".") for name in imports(path)):
        assert owner in OUTSIDE.get(top, {owner}), f"bot.{owner} may not import {top}"
        if top == "bot" and (target := rest.split(".")[0]) != owner:
            assert owner not in NOTHING_OF_OURS, f"bot.{owner} may not import bot.{target}"
            assert LINES.get(target, -1) > LINES.get(owner, -1), f"bot.{target} is not below bot.{owner}"


def test_modules_of_the_renderer_import_each_other_one_way() -> None:
    names = {f"bot.markdown.{path.stem}": set(imports(path)) for path in (ROOT / "bot/markdown").glob("*.py")}
    graph = {name: {target for target in targets if target in names} for name, targets in names.items()}
    assert set(TopologicalSorter(graph).static_order()) == names.keys()


def test_a_folder_of_the_adapter_imports_only_those_below_it() -> None:
    found = set()
    for folder, line in FOLDERS.items():
        for path in (ROOT / "bot/discord_bot" / folder).rglob("*.py"):
            for name in imports(path):
                target = name.removeprefix("bot.discord_bot.").split(".")[0]
                if name.startswith("bot.discord_bot.") and (target in ON_TOP or FOLDERS.get(target, line) < line):
                    found.add((str(path.relative_to(ROOT / "bot/discord_bot")), target))
    assert found == set()


@pytest.mark.parametrize("page", DOCUMENTATION, ids=lambda page: page.name)
def test_pages_name_only_files_that_exist(page: Path) -> None:
    for name in re.findall(r"`((?:bot|tests|benchmarks|docs)/[\w./]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), name


def test_the_architecture_page_says_where_to_look() -> None:
    rows = re.findall(r"^\| .*\? \| `bot/[\w/]+\.py` \|$", section("Where to look", ARCHITECTURE), re.MULTILINE)
    assert len(rows) >= 20


def test_each_promise_names_its_test() -> None:
    promises = section("Promises", (ROOT / "docs/reliability.md").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| (?!Promise |-)(.*) \| (.*) \|$", promises.replace("|---|---|\n", ""), re.MULTILINE)
    assert rows
    for promise, shown_by in rows:
        assert re.fullmatch(r"`tests/[\w/]+\.py`(?:, `tests/[\w/]+\.py`)*", shown_by), promise


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("bot.operator.reports", {"aiosqlite", "sqlite3", "bot.store"}),
        ("bot.store.export", {"aiosqlite", "sqlite3"}),
        # A probe of the health every half a minute begins with it, and so does a chat.
        ("bot.cli", {"discord", "aiohttp", "openai", "psycopg", "PIL"}),
    ],
)
def test_modules_load_nothing_that_only_others_need(module: str, unwanted: set[str]) -> None:
    script = f"import sys, {module}; print(*{unwanted} & sys.modules.keys())"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - a script of ours
    assert loaded.stdout == "\n"


def test_image_contains_exactly_what_it_copies() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    assert all((ROOT / source).exists() for source in copied)
    installs = re.findall(r"^RUN .*pip .*install (.*)$", dockerfile, re.MULTILINE)
    assert [command for command in installs if "--require-hashes -r requirements.lock" not in command] == []
    assert installs
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert patterns[0] == "*"  # so .env, data/ and .git/ stay out, whatever else comes to lie here
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == copied


def compose_file(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = YAML(typ="safe").load((ROOT / name).read_text(encoding="utf-8"))
    return parsed


def test_form_of_every_compose_file_is_checked() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    [checked] = re.findall(r"compose-spec (.*)\"$", ci, re.MULTILINE)
    assert sorted(checked.split()) == sorted(file.name for file in ROOT.glob("compose*.y*ml"))


def test_processes_in_containers_share_a_database_and_no_file() -> None:
    alone, several = compose_file("compose.yaml"), compose_file("compose.postgresql.yaml")
    bot, server = alone["services"]["bot"] | several["services"]["bot"], several["services"]["postgresql"]
    assert bot["deploy"]["replicas"] == 2
    assert bot["working_dir"] in bot["tmpfs"], "the folder of the status file"
    environ = {name: re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", value) for name, value in bot["environment"].items()}
    named = Settings.load(environ, None).database_url
    assert named is not None
    url, settings = urlsplit(named.reveal()), server["environment"]
    assert (url.username, url.path) == (settings["POSTGRES_USER"], f"/{settings['POSTGRES_DB']}")
    assert url.hostname in bot["depends_on"]
    assert url.hostname in several["services"]
    assert url.password == "POSTGRES_PASSWORD"
    assert settings["POSTGRES_PASSWORD"] in several["services"]["bot"]["environment"]["DATABASE_URL"]
    [volume] = server["volumes"]
    assert volume.partition(":")[0] in several["volumes"]
    assert "healthcheck" in server, "which the bot waits for"


def test_lock_pins_every_dependency_with_hashes() -> None:
    pins = {
        name: (version, hashes)
        for name, version, hashes in re.findall(
            r"^([\w.-]+)==(\S+)[^\\\n]*((?:\\\n +--hash=sha256:\w{64} ?)*)", LOCK, re.MULTILINE
        )
    }
    assert all(hashes for _, hashes in pins.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for dependency in map(Requirement, project["dependencies"]):
        version, _ = pins[canonicalize_name(dependency.name)]
        assert version in dependency.specifier, dependency


def test_no_file_names_a_package_registry() -> None:
    hosts = [host.encode() for host in ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com")]
    assert "://" not in LOCK
    for path in files():
        content = path.read_bytes()
        assert not any(host in content for host in hosts), path


def named(text: str) -> set[str]:
    """The models of OpenAI's that a text names."""
    return set(
        re.findall(r"(?<![\w.-])(?:gpt-[a-z0-9]+(?:[.-][a-z0-9]+)*|o[1-9](?:-[a-z]+)*|whisper-[0-9]+)(?![\w-])", text)
    )


def pages() -> Iterator[Path]:
    """What tells people which model to choose: the documentation, and defaults and sentences in the code."""
    for path in files():
        place = path.relative_to(ROOT)
        told = place.suffix in (".md", ".py", ".yaml", ".toml") or place.name in (".env.example", "Dockerfile")
        # What has changed is told in the names of then.
        if told and place.parts[0] not in ("tests", "benchmarks") and place.name != "CHANGELOG.md":
            yield path


def test_named_models_live_for_half_a_year() -> None:
    ends = {name: day or date.max for name, day, _ in MODELS}
    today = datetime.now(UTC).date()
    found = {path: named(path.read_text(encoding="utf-8")) for path in pages()}
    default = SETTINGS["OPENAI_MODEL"].default
    assert default in found[ROOT / "README.md"] & found[ROOT / ".env.example"] & found[ROOT / "docs/settings.md"]
    for path, names in found.items():
        assert names <= ends.keys(), f"{path}: look up when it is shut down, and add it to MODELS"
        soon = {name: str(ends[name]) for name in names if ends[name] - today < LONG_ENOUGH}
        assert soon == {}, f"{path}: name a model that stays"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("PRICES=gpt-4.1-mini=0.40/1.60, gpt-4o=1/2", {"gpt-4.1-mini", "gpt-4o"}),
        ("`gpt-5`, whisper-1 or o3-mini.", {"gpt-5", "whisper-1", "o3-mini"}),
        ("Choose gpt-4.1.", {"gpt-4.1"}),
        ("foo3, my-gpt-5 and chatgpt-5", set()),
    ],
)
def test_models_are_found_in_text(text: str, names: set[str]) -> None:
    assert named(text) == names
