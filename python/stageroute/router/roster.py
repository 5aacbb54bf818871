"""A list that never changes, of which a changed copy is made quickly."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeVar, overload

T = TypeVar("T")

PAGE: Final = 128
"""Items that are copied for one change; beside them the list of pages, one for each 128 items."""


class Roster(Sequence[T]):
    """What a tuple is, in pages: a copy with one item more or another shares all other pages."""

    __slots__ = ("_pages",)

    def __init__(self, items: Iterable[T] = ()) -> None:
        all_items = tuple(items)
        self._pages = tuple(
            all_items[first : first + PAGE] for first in range(0, len(all_items), PAGE)
        )

    def put(self, at: int, item: T) -> "Roster[T]":
        """Return a copy with this item at a place, which may be the one after the last."""
        page, place = divmod(at, PAGE)
        old = self._pages[page] if page < len(self._pages) else ()
        copy: Roster[T] = Roster()
        changed = (*old[:place], item, *old[place + 1 :])
        copy._pages = (*self._pages[:page], changed, *self._pages[page + 1 :])
        return copy

    def __len__(self) -> int:
        full = max(len(self._pages) - 1, 0)
        return full * PAGE + sum(map(len, self._pages[full:]))

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[T, ...]: ...
    def __getitem__(self, at: int | slice) -> T | tuple[T, ...]:
        places = range(len(self))[at]
        if isinstance(places, int):
            return self._pages[places // PAGE][places % PAGE]
        return tuple(self._pages[place // PAGE][place % PAGE] for place in places)

    def __iter__(self) -> Iterator[T]:
        return chain.from_iterable(self._pages)
