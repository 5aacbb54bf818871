"""Packages and files depend on each other as the architecture says; `lint-imports` holds layers.

Units are the packages and modules directly under ``stageroute``. A Rust name that a module only
passes on (``pub use``) is looked up where it is defined.
"""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp
import pytest

MOST_UNITS: Final = 30
LONGEST_CHAIN: Final = 12

ROOT: Final = Path(__file__).parents[2]

Graph = dict[str, set[str]]
"""The imports of each node."""

USE: Final = re.compile(r"^(pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)


@pytest.fixture(scope="module")
def python() -> Graph:
    """The imports of each module of the package, those for types included."""
    graph = grimp.build_graph("stageroute", cache_dir=None)
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    for importer, imported in imports.items():
        details = graph.get_import_details(importer=importer, imported="stageroute")
        # The native core is no module to grimp: it takes its importer for one of the root.
        if all(each["line_contents"] == "from stageroute import _core" for each in details):
            imported.discard("stageroute")
    return imports


def units(imports: Graph) -> Graph:
    """Return the imports between units; the root, which passes names on, is none."""
    merged: Graph = {}
    for importer, imported in imports.items():
        if importer != "stageroute":
            unit = merged.setdefault(importer.split(".")[1], set())
            unit |= {name.split(".")[1] for name in imported if name != "stageroute"}
    return {unit: imported - {unit} for unit, imported in merged.items()}


def circle(graph: Graph) -> list[str]:
    """Return one circle of imports, empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def longest_chain(graph: Graph) -> list[str]:
    """Return the longest chain of imports of a graph without circles."""
    chains: dict[str, list[str]] = {}
    for node in TopologicalSorter(graph).static_order():
        below = max((chains[each] for each in graph.get(node, ())), key=len, default=[])
        chains[node] = [node, *below]
    return max(chains.values(), key=len)


def test_packages_and_root_modules_are_few() -> None:
    package = ROOT / "python" / "stageroute"
    assert len([*package.glob("*.py"), *package.glob("*/**/__init__.py")]) <= MOST_UNITS


def test_units_import_each_other_in_short_chains_and_no_circles(python: Graph) -> None:
    between = units(python)
    assert circle(between) == []
    assert len(longest_chain(between)) <= LONGEST_CHAIN


def test_no_python_files_import_each_other_in_a_circle(python: Graph) -> None:
    assert circle(python) == []


def test_a_circle_and_a_chain_are_found() -> None:
    graph: Graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"d"}, "d": set()}
    assert circle(graph) == []
    assert longest_chain(graph) == ["a", "b", "c", "d"]
    assert set(circle(graph | {"d": {"b"}})) >= {"b", "d"}


def test_no_rust_files_import_each_other_in_a_circle() -> None:
    graph: Graph = {}
    for folder in ROOT.glob("rust/*/src"):
        graph |= imports_of_crate(folder)
    # What is passed on is found where it is defined, and what is one folder up as well.
    assert "rust/core/src/guard.rs" not in graph["rust/core/src/lib.rs"]
    assert "rust/core/src/router/mod.rs" in graph["rust/core/src/router/route.rs"]
    assert "rust/core/src/lp/problem.rs" in graph["rust/core/src/lp/certificate.rs"]
    assert circle(graph) == []


def imports_of_crate(folder: Path) -> Graph:
    """Resolve the ``use`` lines of a crate's files to files."""
    files = {}
    for path in folder.rglob("*.rs"):
        parts = path.relative_to(folder).with_suffix("").parts
        files["::".join(["crate", *(part for part in parts if part not in {"mod", "lib"})])] = path
    used: Graph = {module: set() for module in files}
    passed_on: dict[str, str] = {}
    for module, path in files.items():
        for is_public, tree in USE.findall(path.read_text(encoding="utf-8")):
            for item in flatten(tree):
                name = absolute(item, module, files)
                if name is not None and is_public:
                    passed_on[f"{module}::{name.rsplit('::', 1)[1]}"] = name
                elif name is not None:
                    used[module].add(name)

    def file_of(name: str) -> str:
        while name in passed_on:
            name = passed_on[name]
        while name not in files:
            name = name.rsplit("::", 1)[0]
        return str(files[name].relative_to(ROOT))

    return {
        file_of(module): {file_of(name) for name in names} - {file_of(module)}
        for module, names in used.items()
    }


def flatten(tree: str) -> list[str]:
    """List the single paths of a ``use`` tree: of ``a::{b, c::d}``, that is ``a::b, a::c::d``."""
    tree = re.sub(r"\s+as\s+\w+|\s", "", tree)
    while group := re.search(r"([\w:]*)\{([^{}]*)\}", tree):
        paths = [group[1] + path for path in group[2].split(",") if path]
        tree = tree[: group.start()] + ",".join(paths) + tree[group.end() :]
    return tree.split(",")


def absolute(item: str, module: str, files: dict[str, Path]) -> str | None:
    """Return a path from the crate's root on, None for what is of another crate."""
    base, path = module.split("::"), item.split("::")
    if path[0] == "crate":
        return item
    if path[0] in {"self", "super"}:
        while path[0] == "super":
            del base[-1], path[0]
        return "::".join(base + [part for part in path if part != "self"])
    return f"{module}::{item}" if f"{module}::{path[0]}" in files else None
