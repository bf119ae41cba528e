"""`python -m dift_geo.hloc_plugin COMMAND ...`: hloc's own command lines with our configurations
among the choices.

COMMAND is a module of hloc (`extract_features`, `match_features`, `reconstruction`, ...);
everything behind it is hloc's.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from dift_geo.errors import InputError
from dift_geo.hloc_plugin import register

__all__ = ["main", "run_command_line"]


def main(argv: Sequence[str] | None = None) -> int:
    """Register, then run the command line of one of hloc's modules."""
    parser = argparse.ArgumentParser(prog="python -m dift_geo.hloc_plugin", description=__doc__)
    parser.add_argument("--package", default="hloc", help="where hloc lives (default: hloc)")
    parser.add_argument(
        "--fix-two-view-config", action="store_true", help="repair what pycolmap 4 broke in hloc"
    )
    parser.add_argument(
        "command", help="a module of hloc: extract_features, match_features, reconstruction, ..."
    )
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="hloc's own flags")
    options = parser.parse_args(argv)
    try:
        register(options.package, options.fix_two_view_config)
        module = import_module(f"{options.package}.{options.command}")
    except ImportError as error:
        print(f"dift_geo.hloc_plugin: {error}", file=sys.stderr)
        return 1
    run_command_line(module, options.rest)
    return 0


def run_command_line(module: ModuleType, arguments: Sequence[str]) -> None:
    """Run what stands under `if __name__ == "__main__"` in an imported module, with these
    arguments.

    `python -m` would load the module anew, without our configurations; this runs its last part in
    the one we changed. Raises ValueError when the module has no command line.
    """
    file = Path(str(module.__file__))
    tree = ast.parse(file.read_text(encoding="utf-8"))
    block = [
        statement
        for statement in tree.body
        if isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test)
    ]
    if not block:
        raise InputError(
            f"{module.__name__} has no command line; expected a module such as extract_features"
        )
    code = compile(ast.Module([*block], []), str(file), "exec")
    before, sys.argv = sys.argv, [str(file), *arguments]
    try:
        exec(code, {**vars(module), "__name__": "__main__"})
    finally:
        sys.argv = before


if __name__ == "__main__":
    sys.exit(main())
