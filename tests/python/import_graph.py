"""Which file imports which, in Python and in Rust; run it to see the figures.

Units are the packages and modules directly under ``stageroute``. A Rust name that a module only
passes on (``pub use``) is looked up where it is defined.
"""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp

__all__ = ["circle", "longest_chain", "packages_and_root_modules", "python_imports",
           "rust_imports", "units"]  # fmt: skip

ROOT: Final = Path(__file__).parents[2]

Graph = dict[str, set[str]]
"""The imports of each node."""

USE: Final = re.compile(r"^(pub(?:\([^)]*\))? )?use ([^;]+);", re.MULTILINE)


def python_imports() -> Graph:
    """Return the imports of each module of the package, those for types included."""
    graph = grimp.build_graph("stageroute", cache_dir=None)
    imports = {name: set(graph.find_modules_directly_imported_by(name)) for name in graph.modules}
    for importer, imported in imports.items():
        details = graph.get_import_details(importer=importer, imported="stageroute")
        # The native core is no module to grimp: it takes its importer for one of the root.
        if all(each["line_contents"] == "from stageroute import _core" for each in details):
            imported.discard("stageroute")
    return imports


def packages_and_root_modules() -> list[str]:
    """Return every package at any depth, and every module directly under ``stageroute``."""
    package = ROOT / "python" / "stageroute"
    modules = [path.stem for path in package.glob("*.py")]
    folders = [path.parent.relative_to(package) for path in package.glob("*/**/__init__.py")]
    return sorted(modules + [".".join(folder.parts) for folder in folders])


def units(imports: Graph) -> Graph:
    """Return the imports between units; the root, which passes names on, is none."""
    merged: Graph = {}
    for importer, imported in imports.items():
        if importer != "stageroute":
            unit = merged.setdefault(importer.split(".")[1], set())
            unit |= {name.split(".")[1] for name in imported if name != "stageroute"}
    return {unit: imported - {unit} for unit, imported in merged.items()}


def rust_imports() -> Graph:
    """Return the imports of each Rust file from others of its crate."""
    graph: Graph = {}
    for folder in ROOT.glob("rust/*/src"):
        graph |= _imports_of_crate(folder)
    return graph


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


def _imports_of_crate(folder: Path) -> Graph:
    """Resolve the ``use`` lines of a crate's files to files."""
    files = {_module(folder, path): path for path in folder.rglob("*.rs")}
    used: dict[str, set[str]] = {}
    passed_on: dict[str, str] = {}
    for module, path in files.items():
        used[module] = set()
        for is_public, tree in USE.findall(path.read_text(encoding="utf-8")):
            for item in _flatten(tree):
                name = _absolute(item, module, files)
                if name is None:
                    continue
                if is_public:
                    passed_on[f"{module}::{name.rsplit('::', 1)[1]}"] = name
                else:
                    used[module].add(name)

    def file_of(name: str) -> str:
        while name in passed_on:
            name = passed_on[name]
        while name not in files:
            name = name.rsplit("::", 1)[0]
        return str(files[name].relative_to(ROOT))

    graph: Graph = {}
    for module, names in used.items():
        own = file_of(module)
        graph[own] = {file_of(name) for name in names} - {own}
    return graph


def _module(folder: Path, path: Path) -> str:
    """Return the name of a file's module; the crate's root is ``crate``."""
    parts = path.relative_to(folder).with_suffix("").parts
    return "::".join(["crate", *(part for part in parts if part not in {"mod", "lib"})])


def _flatten(tree: str) -> Iterator[str]:
    """Yield the single paths of a ``use`` tree, ``a::{b, c::d}`` say."""
    tree = re.sub(r"\s+", " ", tree).strip()
    group = re.fullmatch(r"(.*?)\{(.*)\}", tree)
    if group is None:
        yield tree.split(" as ")[0]
        return
    depth, item = 0, ""
    for letter in group[2] + ",":
        depth += (letter == "{") - (letter == "}")
        if letter != "," or depth:
            item += letter
        elif item.strip():
            for rest in _flatten(item):
                yield group[1] + rest
            item = ""
        else:
            item = ""


def _absolute(item: str, module: str, files: dict[str, Path]) -> str | None:
    """Return a path from the crate's root on, None for what is of another crate."""
    base, path = module.split("::"), item.split("::")
    if path[0] == "crate":
        return item
    if path[0] in {"self", "super"}:
        while path[0] == "super":
            del base[-1], path[0]
        return "::".join(base + [part for part in path if part != "self"])
    return f"{module}::{item}" if f"{module}::{path[0]}" in files else None


def main() -> None:
    """Print the figures."""
    python, rust = python_imports(), rust_imports()
    names, between = packages_and_root_modules(), units(python)
    print(f"packages and root modules: {len(names)}")
    chain = longest_chain(between)
    print(f"longest chain of imports between them: {len(chain)}: {' -> '.join(chain)}")
    for what, graph in (("Python files", python), ("units", between), ("Rust files", rust)):
        print(f"circle of {what}: {' -> '.join(circle(graph)) or 'none'}")


if __name__ == "__main__":
    main()
