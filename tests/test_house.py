"""The house holds its own rules: who may import whom, who owns what, what an import costs, what is
public.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import dift_geo

PACKAGE = Path(dift_geo.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A folder (or file of the package itself) imports only what has a lower rank. A new one gets its
# rank here.
RANK = {
    "__init__": -1,  # holds the version and the names, imports the rest when it is asked for
    **dict.fromkeys(("types", "images"), 0),
    **dict.fromkeys(("geometry", "backends", "matching", "store"), 1),
    **dict.fromkeys(("detectors", "pairs"), 2),
    **dict.fromkeys(("dift", "colmap"), 3),
    "extractor": 4,
    **dict.fromkeys(("engine", "hloc_plugin"), 5),
    "sfm": 6,
    "benchmark": 6,
    "report": 6,
    "cli": 7,
    "v01": 8,  # import paths of 0.1
}

OWNERS = {
    "grid_sample": {"dift/featuremap"},
    "h5py": {"store"},
    "pycolmap": {"colmap", "detectors/colmap", "geometry/robust", "hloc_plugin"},
}

# inside functions only
LATE = {"diffusers", "hloc", "kornia", "matplotlib", "poselib", "pycolmap", "ray", "transformers"}


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def name(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            assert node.module is not None
            yield node, node.module
            if node.module == "dift_geo":
                yield from (
                    (node, f"dift_geo.{alias.name}") for alias in node.names if alias.name in RANK
                )


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported: not the bodies of functions, nor what is
    for type checkers.
    """
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))


@pytest.fixture(params=FILES, ids=name)
def file(request) -> Path:
    return request.param


@pytest.fixture
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_imports_go_down(file: Path, tree: ast.Module) -> None:
    assert room(file) in RANK, f"{name(file)} has no rank in tests/test_house.py"
    for node, module in imports(tree):
        if not module.startswith("dift_geo."):
            continue
        other = module.split(".")[1]
        # files of one sub-package know each other
        inside = other == room(file) and file.parent != PACKAGE
        inside |= {other, room(file)} == {"benchmark", "report"}
        assert inside or RANK[other] < RANK[room(file)], (
            f"{name(file)}:{node.lineno} imports {module}, which is not below it"
        )


def test_backend_files_know_nothing_of_the_house(file: Path, tree: ast.Module) -> None:
    if room(file) == "backends":
        known = [
            m
            for _, m in imports(tree)
            if m.startswith("dift_geo") and not m.startswith("dift_geo.backends")
        ]
        assert known == []


def test_single_owners(file: Path, tree: ast.Module) -> None:
    used = {module.split(".")[0] for _, module in imports(tree)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for thing, owners in OWNERS.items():
        place = file.relative_to(PACKAGE).with_suffix("").as_posix()
        home = any(f"{place}/".startswith(f"{owner}/") for owner in owners)
        assert thing not in used or home, (
            f"{thing} belongs to {sorted(owners)}, found in {name(file)}"
        )


def test_heavy_imports_are_inside_functions(file: Path, tree: ast.Module) -> None:
    early = {
        module.split(".")[0]
        for node in at_import(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for _, module in imports(node)
    }
    # hloc itself imports these files
    late = LATE - ({"hloc"} if room(file) == "hloc_plugin" else set())
    assert not early & late, f"{name(file)} loads {sorted(early & late)} when imported"


def test_importing_defines_names_and_nothing_else(file: Path, tree: ast.Module) -> None:
    acts = [
        node
        for node in tree.body
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ]
    assert not acts, f"{name(file)}:{acts[0].lineno} runs a statement when imported"


def test_every_module_says_what_it_is(file: Path, tree: ast.Module) -> None:
    assert ast.get_docstring(tree), f"{name(file)} has no docstring"


def test_every_module_declares_its_public_names(file: Path, tree: ast.Module) -> None:
    if file.name in {"__init__.py", "__main__.py"} and not tree.body[1:]:
        return
    if file.name == "__init__.py" or not any(
        isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body
    ):
        return
    lists = [
        n.value
        for n in tree.body
        if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"
    ]
    assert lists, f"{name(file)} has no __all__"
    if file != PACKAGE / "__init__.py":
        public = ast.literal_eval(lists[0])
        defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        defined |= {
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        assert set(public) <= defined


def test_no_asserts_for_input_nor_wild_imports(tree: ast.Module) -> None:
    assert not any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))
    assert not any(isinstance(n, ast.ExceptHandler) and n.type is None for n in ast.walk(tree))


def test_public_names() -> None:
    assert dift_geo.__all__ == sorted([*dift_geo._HOME, "__version__"])
    assert dir(dift_geo) == dift_geo.__all__
    for public, home in dift_geo._HOME.items():
        assert getattr(dift_geo, public) is getattr(import_module(f"dift_geo.{home}"), public)
        assert public in import_module(f"dift_geo.{home}").__all__, (
            f"{public} is not public in {home}"
        )
    with pytest.raises(AttributeError, match="module 'dift_geo' has no attribute 'nonsense'"):
        dift_geo.nonsense  # noqa: B018


def loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    )
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_import_budget() -> None:
    heavy = LATE | {"torch", "cv2", "h5py", "scipy"}
    assert not loaded_by("import dift_geo") & heavy
    assert "torch" in loaded_by("import dift_geo; dift_geo.match_mutual_nn")  # this test can fail


@pytest.mark.parametrize(
    "names", ["Dift, Sift, load_backend, match_mutual_nn, estimate_homography, FeatureStore"]
)
def test_using_the_core_loads_no_model_code_before_a_model_is_asked_for(names: str) -> None:
    assert not loaded_by(f"from dift_geo import {names}") & LATE


def test_help_is_quick() -> None:
    loaded = loaded_by("import dift_geo.cli; dift_geo.cli.build_parser()")
    assert not loaded & LATE
