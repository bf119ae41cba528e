"""The README and the pages of docs/: their code runs, their commands parse, their links lead
somewhere, and the README stays short.
"""

from __future__ import annotations

import argparse
import pkgutil
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from test_house import RANK

from dift_geo.cli.main import build_parser
from dift_geo.images import EXTENSIONS, write_image

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
LINKING = [*PAGES, CONTRIBUTING, ROOT / "CHANGELOG.md"]
RUN_ELSEWHERE = {"extending.md"}  # tests/test_extending.py

MAX_LINES, MAX_WORDS = 140, 1000
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")


def page_name(page: object) -> str:
    return page.name if isinstance(page, Path) else ""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages; "" are blocks that name none."""
    return [code for language, code in FENCE.findall(text_of(page)) if language in languages]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", text_of(page))


# code


PYTHON = [
    pytest.param(code, id=f"{page.name}-{i}")
    for page in PAGES
    if page.name not in RUN_ELSEWHERE
    for i, code in enumerate(blocks(page, "python"))
]


def place_pictures(folder: Path, code: str, image: np.ndarray) -> list[str]:
    """Every picture file that the code names: views of one image, each turned and shifted a little
    more.
    """
    names = sorted(
        name
        for name in set(re.findall(r"""["']([^"'\n]+)["']""", code))
        if Path(name).suffix.lower() in EXTENSIONS
    )
    h, w = image.shape[:2]
    for i, name in enumerate(names):
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), 6.0 * i, 1.0) + np.array(
            [[0, 0, 4 * i], [0, 0, 3 * i]]
        )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, cv2.warpAffine(image, turn, (w, h)))
    return names


@pytest.mark.parametrize("code", PYTHON)
def test_python_runs(
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    picture: np.ndarray,
    pipeline_module: Callable[[str], ModuleType],
) -> None:
    place_pictures(tmp_path, code, picture[:150, :200])
    if '"photos"' in code:  # views of a scene in space, as COLMAP needs
        scene = pipeline_module("rendered_scene")
        scene.write_scene(tmp_path / "photos", views=3, size_wh=(320, 240))
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), names)
    if "homography" in names:
        assert names["homography"].inliers.sum() > 20
    if "match_pair" in code:
        assert names["result"].homography.inliers.sum() > 20
    if "reconstruct(" in code:
        assert names["result"].model.num_reg_images() == 3


def test_the_readme_and_its_pages_have_python() -> None:
    assert blocks(README, "python")
    for page in ("method.md", "colmap.md"):
        assert blocks(ROOT / "docs" / page, "python"), page


def test_pictures_are_placed_by_name(tmp_path: Path, picture: np.ndarray) -> None:
    code = "image0 = read_image('a/one.jpg'); two = read_image(\"two.png\"); load_backend('tiny')"
    assert place_pictures(tmp_path, code, picture) == ["a/one.jpg", "two.png"]
    assert (tmp_path / "a/one.jpg").is_file()


# commands


@cache
def commands() -> dict[str, argparse.ArgumentParser]:
    """Every command of the real command line with its parser."""
    parser = build_parser()
    found = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def shell_lines(page: Path) -> Iterator[str]:
    """Lines of shell blocks, continued ones joined, comments taken off."""
    for code in blocks(page, "", "sh", "bash", "console"):
        for line in re.sub(r"\\\n\s*", "", code).splitlines():
            yield " ".join(shlex.split(line, comments=True)) if "#" in line else line.strip()


def test_every_command_of_a_shell_block_parses() -> None:
    parsed = set()
    for page in PAGES:
        for line in shell_lines(page):
            if not line.startswith("dift-geo "):
                continue
            try:
                build_parser().parse_args(shlex.split(line)[1:])
            except SystemExit:
                pytest.fail(f"{page.name} shows `{line}`, which dift-geo does not take")
            parsed.add(line.split()[1])
    assert parsed == set(commands()), "a command is shown nowhere"


def test_the_readme_has_a_line_for_each_command() -> None:
    shown = [line.split()[1] for line in shell_lines(README) if line.startswith("dift-geo ")]
    assert set(shown) == set(commands())


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_and_flags_in_the_text_exist(page: Path) -> None:
    flags = {flag for parser in commands().values() for flag in parser._option_string_actions}
    scripts = "".join(text_of(file) for file in (ROOT / "pipelines").rglob("*.py"))
    for code in INLINE.findall(prose(page)):
        words = code.split()
        if words[0] == "dift-geo" and len(words) > 1 and words[1] not in ("--version", "COMMAND"):
            assert words[1] in commands(), f"`{code}`"
            own = set(commands()[words[1]]._option_string_actions)
            assert own >= {word for word in words if word.startswith("--")}, f"`{code}`"
        elif words[0].startswith("--"):
            assert words[0] in flags or f'"{words[0]}"' in scripts, f"`{code}` is no flag"


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_python_names_in_the_text_exist(page: Path) -> None:
    named = set(re.findall(r"\bdift_geo(?:\.[A-Za-z_]\w*)+", " ".join(INLINE.findall(prose(page)))))
    for name in sorted(named):
        assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_scripts_that_are_named_exist(page: Path) -> None:
    for script in re.findall(
        r"\b(?:pipelines|notebooks|tests)/[\w/.-]*\.(?:py|ipynb)", text_of(page)
    ):
        assert (ROOT / script).is_file(), script


def test_the_plan_of_the_folders_is_that_of_the_rules() -> None:
    shown = {}
    for rank, places in re.findall(r"^\| (\d+) \| (.+?) \|", text_of(CONTRIBUTING), re.M):
        shown |= dict.fromkeys(re.findall(r"`(\w+)(?:\.py|/)`", places), int(rank))
    assert shown == {place: rank for place, rank in RANK.items() if rank >= 0}


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for page in LINKING:
        code = "\n".join([*blocks(page, ""), *INLINE.findall(prose(page))])
        named = set(re.findall(r"(?:^|\s)make (\w+)", code, re.M))
        assert named <= targets, f"{page.name}: make {named - targets}"


# links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found = set()
    for title in re.findall(r"^#+ +(.+)$", prose(page), re.M):
        plain = re.sub(r"[^\w\- ]", "", title.lower().strip())
        found.add(plain.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link or link.startswith("mailto:"):
            assert re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[\w./~%#?=&+-]*)?", link), link
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links {link}"
        assert ROOT in target.parents, f"{link} leaves the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links {link}, which has no such heading"


def test_the_readme_leads_to_every_page_and_notebook() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(prose(README))}
    wanted = {f"docs/{page.name}" for page in PAGES[1:]}
    wanted |= {f"notebooks/{book.name}" for book in (ROOT / "notebooks").glob("*.ipynb")}
    assert wanted <= linked, f"README.md does not link {sorted(wanted - linked)}"
    for link in ("https://arxiv.org/abs/2306.03881", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert link in linked


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two: `three`!\n```\n# no heading\n```\n## A-b_c D\n", encoding="utf-8")
    assert anchors(page) == {"one-two-three", "a-b_c-d"}


# budget and voice


def test_the_readme_is_read_in_a_minute() -> None:
    text = text_of(README)
    lines, words = len(text.splitlines()), len(text.split())
    assert lines <= MAX_LINES, f"README.md has {lines} lines; put the rest into docs/"
    assert words <= MAX_WORDS, f"README.md has {words} words; put the rest into docs/"


def test_the_readme_has_one_short_table() -> None:
    text = prose(README)
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    assert len(tables) == 1, "one table of results; the others belong into docs/results.md"
    assert len(tables[0].splitlines()) == 2 + 6, "six rows"


@pytest.mark.parametrize("page", LINKING, ids=page_name)
def test_pages_speak_plainly(page: Path) -> None:
    text = text_of(page)
    assert not re.search(r"\.py:\d", text), "line numbers go stale"
    assert not re.search(r"\b(house|rooms?)\b", prose(page), re.I), "say it plainly"
    assert not re.search(r"[ \t]$", text, re.M), "a line ends in a blank"
