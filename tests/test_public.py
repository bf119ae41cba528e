"""The public names: found when they are used, and seen by type checkers."""

from __future__ import annotations

import ast
import configparser
import re
from importlib import import_module
from pathlib import Path
from uuid import uuid4

import pytest
from conftest import ROOT
from mypy import api

import dift_geo

HOME = dift_geo._HOME


def for_type_checkers() -> dict[str, str]:
    """The names that `dift_geo/__init__.py` imports for type checkers, with their modules."""
    tree = ast.parse(Path(dift_geo.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and not is_not(node.test))
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, f"{alias.name} is not exported to type checkers"
            found[alias.name] = str(node.module).removeprefix("dift_geo.")
    return found


def is_not(test: ast.expr) -> bool:
    return isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def test_type_checkers_and_python_find_the_same() -> None:
    assert for_type_checkers() == HOME


@pytest.mark.parametrize("name", HOME)
def test_names_are_public_where_they_live(name: str) -> None:
    module = import_module(f"dift_geo.{HOME[name]}")
    assert getattr(dift_geo, name) is getattr(module, name)
    assert name in module.__all__


def test_the_list_is_complete_and_nothing_else_is_found() -> None:
    assert dift_geo.__all__ == sorted([*HOME, "__version__"])
    assert dir(dift_geo) == dift_geo.__all__
    with pytest.raises(AttributeError, match="module 'dift_geo' has no attribute 'nonsense'"):
        dift_geo.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_no_name_hides_a_part_of_the_package() -> None:
    """A folder or file that is imported becomes an attribute of the package."""
    parts = {path.stem for path in (ROOT / "dift_geo").iterdir()}
    assert not parts & set(HOME)


# ---- as mypy sees it ----

HEAVY = ("torch", "kornia", "diffusers", "transformers", "scipy", "cv2", "matplotlib", "pycolmap")

WRONG = {
    "dift_geo.Dift(1, 2, nonsense=3)": "nonsense",
    "dift_geo.match_mutual_n": 'has no attribute "match_mutual_n"',
    "dift_geo.read_image(None)": "incompatible type",
    "dift_geo.ExtractorOptions('tiny')": "Too many positional arguments",
    "dift_geo.ExtractorOptions(sise=640)": "sise",
    "dift_geo.build_extractor(sise=640)": "sise",
    "dift_geo.build_extractor(size='640')": "incompatible type",
    "dift_geo.build_extractor().extrakt": '"extrakt"',
    "dift_geo.load_backend(3)": "incompatible type",
    "dift_geo.MatchOptions(ratio='0.9')": "incompatible type",
    "dift_geo.MatchOptions().ratio = 0.9": "read-only",
    "dift_geo.SfmOptions(mapper='fast')": "incompatible type",
    "dift_geo.DiftConfig(reading='dense')": "incompatible type",
    "dift_geo.Sift(max_keypoints=2048).detect(1)": "detect",
}
RIGHT = """
image = dift_geo.read_image("a.jpg")
dift = dift_geo.Dift(dift_geo.load_backend("tiny"), dift_geo.Sift(max_keypoints=2048))
features = dift.extract(image)
matches = dift_geo.match_mutual_nn(features.descriptors, features.descriptors, ratio=0.9)
xy0, xy1 = matches.points(features, features)
found = dift_geo.estimate_homography(xy0, xy1)
extractor = dift_geo.build_extractor(backend="sd2.1", size=None, reading="dense")
pair = dift_geo.match_pair(image, image, extractor, match=dift_geo.MatchOptions(ratio=0.9))
reveal_type(pair.inliers)
with dift_geo.FeatureStore("f.h5") as store:
    reveal_type(store["a.jpg"])
options = dift_geo.SfmOptions(mapper="global", camera_mode="single")
result = dift_geo.reconstruct("photos", "out", extractor, options)
reveal_type(result)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict[int, list[str]]:
    """mypy's remarks on a file that uses everything, by line."""
    lines = ["import dift_geo", *(f"reveal_type(dift_geo.{name})" for name in HOME)]
    lines += [*WRONG, *RIGHT.splitlines()]
    # a name of its own: nothing that a cache knows of another run is taken for this file
    path = tmp_path_factory.mktemp("user") / f"user_{uuid4().hex}.py"
    path.write_text("\n".join(lines) + "\n")
    # the settings of `make check`, but without reading torch and the like, which takes a minute
    # where no cache is; what is theirs is Any here, and what is ours is not
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    others = ",".join(f"{name}.*" for name in HEAVY)
    asked = {"mypy": settings["mypy"], f"mypy-{others}": {"follow_imports": "skip"}}
    config, cache = path.with_name("mypy.ini"), ROOT / ".mypy_cache" / "as_users_see_it"
    written = configparser.ConfigParser()
    written.read_dict(asked)
    with config.open("w", encoding="utf-8") as file:
        written.write(file)
    words = ["--config-file", str(config), "--cache-dir", str(cache), "--no-pretty", str(path)]
    out, err, _ = api.run(words)
    assert not err, err
    assert "prevented further checking" not in out, out
    remarks: dict[int, list[str]] = {}
    for remark in out.splitlines():
        if found := re.match(rf".*{path.name}:(\d+): (.*)", remark):
            remarks.setdefault(int(found[1]), []).append(found[2])
    return {number: remarks.get(number, []) for number in range(1, len(lines) + 1)}


def test_no_public_name_is_any(seen) -> None:
    for number, name in enumerate(HOME, 2):
        (remark,) = seen[number]
        kind = remark.removeprefix('note: Revealed type is "').removesuffix('"')
        assert kind not in ("Any", "builtins.object"), name
        assert remark.startswith("note: Revealed type is"), remark


def test_a_wrong_use_is_an_error(seen) -> None:
    for number, (code, message) in enumerate(WRONG.items(), 2 + len(HOME)):
        errors = [remark for remark in seen[number] if remark.startswith("error: ")]
        assert any(message in error for error in errors), f"{code}: {seen[number]}"


def test_a_right_use_is_none(seen) -> None:
    first = 2 + len(HOME) + len(WRONG)
    remarks = [remark for number in seen if number >= first for remark in seen[number]]
    assert len(remarks) == 3
    assert all("note: Revealed type is" in remark for remark in remarks), remarks
    assert not any('is "Any"' in remark for remark in remarks)
    assert "Features" in remarks[1]
    assert "Reconstruction" in remarks[2]
