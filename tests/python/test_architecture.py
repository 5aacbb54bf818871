"""Packages and files depend on each other as the architecture says; `lint-imports` holds layers."""

import pytest

from import_graph import (
    Graph,
    circle,
    longest_chain,
    packages_and_root_modules,
    python_imports,
    rust_imports,
    units,
)

MOST_UNITS = 30
LONGEST_CHAIN = 12


@pytest.fixture(scope="module")
def python() -> Graph:
    return python_imports()


def test_packages_and_root_modules_are_few() -> None:
    assert len(packages_and_root_modules()) <= MOST_UNITS


def test_units_import_each_other_in_short_chains_and_no_circles(python: Graph) -> None:
    between = units(python)
    assert circle(between) == []
    assert len(longest_chain(between)) <= LONGEST_CHAIN


def test_no_python_files_import_each_other_in_a_circle(python: Graph) -> None:
    assert circle(python) == []


def test_no_rust_files_import_each_other_in_a_circle() -> None:
    graph = rust_imports()
    # What is passed on is found where it is defined, and what is one folder up as well.
    assert "rust/core/src/guard.rs" not in graph["rust/core/src/lib.rs"]
    assert "rust/core/src/router/mod.rs" in graph["rust/core/src/router/route.rs"]
    assert "rust/core/src/lp/problem.rs" in graph["rust/core/src/lp/certificate.rs"]
    assert circle(graph) == []


def test_a_circle_and_a_chain_are_found() -> None:
    graph: Graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"d"}, "d": set()}
    assert circle(graph) == []
    assert longest_chain(graph) == ["a", "b", "c", "d"]
    assert set(circle(graph | {"d": {"b"}})) >= {"b", "d"}
