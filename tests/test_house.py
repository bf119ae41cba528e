"""The package holds its own rules: who may import whom, who owns what, what an import costs, and
how long things may be.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT

PACKAGE = ROOT / "dift_geo"


def load_structure() -> ModuleType:
    """The counting program, so that what is reported and what is tested cannot differ."""
    path = ROOT / "pipelines" / "bench" / "structure.py"
    spec = importlib.util.spec_from_file_location("structure", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["structure"] = module
    spec.loader.exec_module(module)
    return module


structure = load_structure()
SOURCES = structure.read_package(PACKAGE)
BY_NAME = {source.name: source for source in SOURCES}
OURS = [source for source in SOURCES if source.folder != "v01/"]

# A folder, or a file of the package itself, imports only what stands in an earlier line. A new one
# gets its place here.
ORDER = (
    ("errors", "imagefiles", "progress", "stop", "stopwatch"),
    ("jsonfiles",),
    ("frames", "options", "recipe", "imagefolder"),
    ("types",),
    ("images", "turned"),
    ("geometry", "backends", "matching", "store"),
    ("detectors", "pairs"),
    ("dift", "colmap", "turns"),
    ("extractor", "mapper", "pairing", "testing"),
    ("engine", "pair", "edit", "report", "hloc_plugin", "sfm_options", "video"),
    ("sfm", "plan", "benchmark", "doctor", "explore"),
    ("cli",),
    ("v01",),  # import paths of 0.1
)
RANK = {place: rank for rank, places in enumerate(ORDER) for place in places}
RANK["__init__"] = -1

# inside a folder, what builds on all the others and what no other file may need
TOP = {
    "backends": "loader",
    "detectors": "loader",
    "engine": "loops",
    "doctor": "examine",
    "cli": "main",
}

OWNERS = {
    "grid_sample": {"dift/featuremap"},
    "h5py": {"store"},
    "pycolmap": {
        *("colmap", "detectors/colmap", "geometry/essential", "geometry/robust", "hloc_plugin"),
    },
    "tqdm": {"progress"},
    "json.dump": {"recipe"},
    "json.loads": {"jsonfiles"},  # which knows all that it raises
    # attributes of stores, metadata of weight files, keys of caches
    "json.dumps": {"recipe", "store", "dift/projection", "backends"},
}

# inside functions only
LATE = {"diffusers", "hloc", "kornia", "matplotlib", "poselib", "pycolmap", "ray", "transformers"}

# where a half is no change of frame: an octave of scale, torch's grid, the pixel that holds a place
HALVES = {"frames.py", "detectors/sift.py", "dift/featuremap.py", "store/features.py"}
# objects that are not ours, asked for what they may not have
PROBED = {("hloc_plugin/__init__.py", "root")}  # the module hloc
# names of files and of missing modules, which are words and not what an object is
NAMED = {
    ("backends/prompt.py", "files[0].name"),
    ("benchmark/homography/download.py", "path.parent.name"),
    ("hloc_plugin/__init__.py", "error.name"),
}

# where files are written in place: aside and renamed, in parts that are resumed, or by a tool
WRITERS = {
    "recipe.py",
    "backends/cache.py",
    "benchmark/homography/download.py",
    "backends/modelfiles.py",
}

TESTED_WITH = {
    "imagefiles.py": "images.py",
    "imagefolder.py": "images.py",
    "sfm_options.py": "sfm.py",
    "testing.py": "extending.py",
}

MAX_NESTED_PER_1000_LINES = 1.5
MAX_ANY_PER_1000_LINES = 6.0


def place_of(name: str) -> str:
    """`store/features.py` -> `store`, `sfm.py` -> `sfm`."""
    return name.partition("/")[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    """Imported modules, with the statement."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            assert node.module is not None
            yield node, node.module
            for alias in node.names:
                if node.module == "dift_geo" and alias.name in RANK:
                    yield node, f"dift_geo.{alias.name}"


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def at_run_time(tree: ast.Module, *, functions: bool) -> Iterator[ast.AST]:
    """What runs when the module is imported, and with `functions` what runs later; never what is
    for type checkers.
    """
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not functions:
            continue
        if for_type_checkers(node):
            assert isinstance(node, ast.If)
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))


def of_each_file(rule: Callable[[Any], None]) -> Callable[[], None]:
    """A rule for files as one test: a test for each would take longer than what it looks at."""

    def test() -> None:
        broken = []
        for source in SOURCES:
            try:
                rule(source)
            except AssertionError as error:
                broken.append(f"{source.name}: {error}")
        assert not broken, "\n".join(broken)

    test.__name__, test.__doc__ = rule.__name__, rule.__doc__
    return test


# ---- who may import whom ----


@of_each_file
def test_imports_go_down(source) -> None:
    here = place_of(source.name)
    if here == "__init__":  # holds the names and imports the rest when it is asked for
        return
    assert here in RANK, f"{source.name} has no place in ORDER of tests/test_house.py"
    for node, module in imports(source.tree):
        if not module.startswith("dift_geo."):
            continue
        other = module.split(".")[1]
        inside = other == here and "/" in source.name  # files of one folder know each other
        assert inside or RANK[other] < RANK[here], (
            f"{source.name}:{node.lineno} imports {module}, which is not below it"
        )


@of_each_file
def test_the_top_of_a_folder_is_needed_by_none_of_it(source) -> None:
    here = place_of(source.name)
    if here not in TOP or Path(source.name).name in ("__init__.py", "__main__.py"):
        return
    top = f"dift_geo.{here}.{TOP[here]}"
    assert top not in {module for _, module in imports(source.tree)}, source.name


def test_no_file_needs_itself() -> None:
    """No cycle of imports, early or late: every file can be read after those it builds on."""
    needs = {}
    for source in OURS:
        if source.name.endswith("__init__.py"):
            continue
        wanted = set()
        for node in at_run_time(source.tree, functions=True):
            if isinstance(node, ast.Import | ast.ImportFrom):
                wanted |= {module for _, module in imports(node)}
        files = {f"{m.removeprefix('dift_geo.').replace('.', '/')}.py" for m in wanted}
        needs[source.name] = files & BY_NAME.keys()
    waiting = dict(needs)
    while ready := [name for name, files in waiting.items() if not files & waiting.keys()]:
        for name in ready:
            del waiting[name]
    assert not waiting, f"these files need each other: {sorted(waiting)}"


@of_each_file
def test_backends_know_nothing_of_the_package(source) -> None:
    if place_of(source.name) != "backends":
        return
    known = {m for _, m in imports(source.tree) if m.split(".")[0] == "dift_geo"}
    allowed = ("dift_geo.backends.", "dift_geo.errors", "dift_geo.jsonfiles")
    strangers = {m for m in known if not m.startswith(allowed)}
    assert not strangers


@of_each_file
def test_files_are_imported_and_not_the_faces_of_folders(source) -> None:
    if Path(source.name).name == "__init__.py" or source.folder == "v01/":
        return
    for node, module in imports(source.tree):
        folder = PACKAGE / Path(*module.split(".")[1:])
        face = module.startswith("dift_geo.") and folder.is_dir()
        own = folder.name == place_of(source.name)
        assert not face or own, f"{source.name}:{node.lineno} imports the folder {module}"
        if module == "dift_geo" and isinstance(node, ast.ImportFrom):
            assert {alias.name for alias in node.names} == {"__version__"}, source.name


@pytest.mark.parametrize("folder", ["dift_geo", "pipelines"])
def test_no_private_name_of_another_file(folder: str) -> None:
    found = []
    for source in structure.read_package(ROOT / folder):
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("dift_geo"):
                continue
            private = [a.name for a in node.names if a.name.startswith("_")]
            if private not in ([], ["__version__"]):
                found.append(f"{source.name}:{node.lineno} {private}")
    assert not found


# ---- who owns what ----


def dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


@of_each_file
def test_single_owners(source) -> None:
    used = set()
    for node in at_run_time(source.tree, functions=True):
        if isinstance(node, ast.Import | ast.ImportFrom):
            used |= {module.split(".")[0] for _, module in imports(node)}
        if isinstance(node, ast.Attribute):
            used |= {node.attr, dotted(node)}
        if isinstance(node, ast.Name):
            used.add(node.id)
    place = source.name.removesuffix(".py")
    for thing, owners in OWNERS.items():
        home = any(f"{place}/".startswith(f"{owner}/") for owner in owners)
        assert thing not in used or home, f"{thing} belongs to {sorted(owners)}"


@of_each_file
def test_only_frames_moves_by_half_a_pixel(source) -> None:
    if source.name in HALVES:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Add | ast.Sub):
            sides = [node.left, node.right] if isinstance(node, ast.BinOp) else [node.value]
            halves = [ast.unparse(side) in ("0.5", "np.float32(0.5)") for side in sides]
            assert not any(halves), f"{source.name}:{node.lineno} {ast.unparse(node)}"


@of_each_file
def test_nobody_probes_for_what_a_contract_should_say(source) -> None:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or dotted(node.func) not in ("getattr", "hasattr"):
            continue
        literal = len(node.args) > 1 and isinstance(node.args[1], ast.Constant)
        known = (source.name, ast.unparse(node.args[0])) in PROBED
        assert not literal or known, f"{source.name}:{node.lineno} {ast.unparse(node)}"


@of_each_file
def test_nobody_asks_an_object_by_its_name_what_it_is(source) -> None:
    for node in ast.walk(source.tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            prefix = node.func.attr in ("startswith", "endswith", "removeprefix")
            asked = [node.func.value] if prefix else []
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        for side in asked:
            named = isinstance(side, ast.Attribute) and side.attr == "name"
            known = (source.name, ast.unparse(side)) in NAMED
            assert not named or known, f"{source.name}:{node.lineno} {ast.unparse(node)}"


@of_each_file
def test_files_are_written_whole_or_not_at_all(source) -> None:
    """By `recipe.write_whole`, or by a store: a full disk or a kill leaves no half file."""
    if source.name in WRITERS or place_of(source.name) == "store":
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        words = [word.value for word in node.args if isinstance(word, ast.Constant)]
        opens = name == "open" and any(set("wax") & set(str(word)) for word in words)
        where = f"{source.name}:{node.lineno}"
        assert name not in ("write_text", "write_bytes", "save_file", "imwrite"), where
        assert not opens, where


# ---- what an import costs and means ----


@of_each_file
def test_heavy_imports_are_inside_functions(source) -> None:
    early = set()
    for node in at_run_time(source.tree, functions=False):
        if isinstance(node, ast.Import | ast.ImportFrom):
            early |= {module.split(".")[0] for _, module in imports(node)}
    # hloc itself imports these files
    late = LATE - ({"hloc"} if place_of(source.name) == "hloc_plugin" else set())
    assert not early & late, f"{source.name} loads {sorted(early & late)} when imported"


@of_each_file
def test_importing_defines_names_and_nothing_else(source) -> None:
    for node in source.tree.body:
        acts = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        assert not acts, f"{source.name}:{node.lineno} runs a statement when imported"


@of_each_file
def test_every_module_says_what_it_is(source) -> None:
    assert ast.get_docstring(source.tree), f"{source.name} has no docstring"


@of_each_file
def test_every_module_declares_its_public_names(source) -> None:
    defines = (ast.FunctionDef, ast.ClassDef)
    if Path(source.name).name == "__init__.py":
        return
    if not any(isinstance(node, defines) for node in source.tree.body):
        return
    public = None
    defined = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__":
            public = set(ast.literal_eval(node.value))
        if isinstance(node, defines):
            defined.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
    assert public is not None, f"{source.name} has no __all__"
    imported = {a.name for n in source.tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert public <= defined | imported, f"{source.name} declares {sorted(public - defined)}"


@of_each_file
def test_no_wild_imports_nor_bare_excepts(source) -> None:
    for node in ast.walk(source.tree):
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), source.name
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), source.name


@pytest.fixture(scope="module")
def loaded() -> list[set[str]]:
    """The packages that a fresh interpreter has loaded after each of STATEMENTS, one upon the
    other.
    """
    show = "print(*{name.split('.')[0] for name in sys.modules})"
    code = "\n".join(["import sys", *(f"{each}\n{show}" for each in STATEMENTS)])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


CORE = "Dift, Sift, load_backend, match_mutual_nn, estimate_homography, FeatureStore, match_pair"
STATEMENTS = [
    "import dift_geo",
    "import dift_geo.cli",
    "dift_geo.cli.build_parser(['compare'])",
    "dift_geo.cli.build_parser()",
    f"from dift_geo import {CORE}",
]
HEAVY = LATE | {"torch", "cv2", "h5py", "scipy"}


def test_import_budget(loaded: list[set[str]]) -> None:
    assert len(loaded) == len(STATEMENTS)
    assert not loaded[0] & HEAVY
    assert not loaded[2] & HEAVY, "a command loads what others need"
    assert "torch" in loaded[4]  # this test can fail


def test_using_the_core_loads_no_model_code_before_a_model_is_asked_for(
    loaded: list[set[str]],
) -> None:
    assert not loaded[4] & LATE


def test_help_is_quick(loaded: list[set[str]]) -> None:
    assert not loaded[3] & LATE


# ---- how long things may be ----


@pytest.fixture(scope="module")
def counted() -> structure.Structure:
    return structure.measure(OURS)


def listed(places) -> str:
    return "\n".join(str(place) for place in places)


def test_functions_fit_a_screen(counted) -> None:
    longest = [f"{place} {place.size}" for place in counted.functions[:3]]
    print(f"\n{len(counted.functions)} functions, the longest: {', '.join(longest)}")
    assert not counted.long_functions, f"over 60 lines:\n{listed(counted.long_functions)}"


def test_files_have_one_subject(counted) -> None:
    print(f"\n{len(OURS)} files, {counted.total} lines; by folder: {counted.lines}")
    assert not counted.long_files, f"over 300 lines:\n{listed(counted.long_files)}"


@pytest.mark.parametrize("folder", ["dift_geo", "pipelines", "tests"])
def test_lines_have_at_most_100_characters(folder: str) -> None:
    sources = structure.read_package(ROOT / folder)
    wide = [place for source in sources for place in structure.long_lines(source)]
    assert not wide, listed(wide)


def test_comprehensions_are_read_at_once(counted) -> None:
    rate = counted.per_1000_lines(counted.nested)
    print(f"\n{len(counted.nested)} nested comprehensions, {rate:.2f} per 1000 lines")
    assert rate <= MAX_NESTED_PER_1000_LINES, listed(counted.nested)


def test_types_say_something(counted) -> None:
    rate = counted.per_1000_lines(counted.anys)
    print(f"\n{len(counted.anys)} times `Any`, {rate:.2f} per 1000 lines")
    assert rate <= MAX_ANY_PER_1000_LINES, listed(counted.anys)


# ---- around the package ----


def code_of(path: Path) -> str:
    """The Python of a file or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in cells)


AROUND = [*ROOT.glob("pipelines/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]


@pytest.mark.parametrize("path", AROUND, ids=lambda path: path.name)
def test_scripts_and_notebooks_find_what_is_installed(path: Path) -> None:
    assert "sys.path" not in code_of(path)


def test_tests_mirror_the_package() -> None:
    """A folder of tests for every folder of the package, a file of tests for every file beside."""
    missing = []
    for source in OURS:
        folder, _, name = source.name.rpartition("/")
        if name in ("__init__.py", "__main__.py") and not folder:
            continue
        tests = ROOT / "tests" / folder.partition("/")[0]
        name = TESTED_WITH.get(name, name)
        pattern = "test_*.py" if folder else f"test_{name}"
        if not any(tests.glob(pattern)):
            missing.append(source.name)
    assert not missing


def test_places_are_in_one_line_of_the_order() -> None:
    places = [place for line in ORDER for place in line]
    assert len(places) == len(set(places))
    assert all(RANK[below[0]] < RANK[above[0]] for below, above in pairwise(ORDER))
    there = {place_of(source.name) for source in SOURCES}
    assert set(RANK) == there, "ORDER names what is not there"
