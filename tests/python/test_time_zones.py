"""Limits go by the days of a time zone, from an hour of its day, also where its clocks change."""

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import router_world
from stageroute import HardLimit, Model, StageRouter
from stageroute.config.time_zone import offsets
from stageroute.errors import HardLimitError

ZONES = ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
         "Africa/Casablanca", "Asia/Kathmandu"]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_offsets_are_those_of_the_zone(zone: str) -> None:
    changes = offsets(zone)
    info = ZoneInfo(zone)
    for since, ahead in changes:
        here = datetime.fromtimestamp(since, info).utcoffset()
        assert here == timedelta(seconds=ahead)
    for since, ahead in changes[1:]:
        assert datetime.fromtimestamp(since - 1, info).utcoffset() != timedelta(seconds=ahead)
    for day in range(0, 365 * 10, 5):
        moment = datetime(2026, 1, 1, 12, tzinfo=info) + timedelta(days=day)
        known = [ahead for since, ahead in changes if since <= moment.timestamp()]
        assert moment.utcoffset() == timedelta(seconds=known[-1] if known else 0.0)


def spend(router: StageRouter, most: int) -> int:
    for count in range(most):
        try:
            router.observe(router.route(), cost=1.0)
        except HardLimitError:
            return count
    return most


@pytest.mark.parametrize("per", ["day", "week", "month"])
@pytest.mark.parametrize("zone", ZONES)
def test_a_limit_begins_at_its_hour_of_its_zone(per: str, zone: str, tmp_path: Path) -> None:
    info = ZoneInfo(zone)
    # A Monday the first; the night before, clocks went forward in the south.
    begins = datetime(2029, 10, 1, 6, tzinfo=info).timestamp()
    now = [begins - 7_200.0]
    router = router_world.make(
        models=[Model("a", 1.0, max_cost=1.0)],
        budget=1.0,
        max_deployed=1,
        hard_limits=[HardLimit(3.0, per, time_zone=zone, reset_hour=6)],
        clock=lambda: now[0],
    )
    assert spend(router, 9) == 3
    assert router.limits[0].ends == begins
    now[0] = begins - 0.5
    assert spend(router, 9) == 0
    router.snapshot(tmp_path / "snapshot")
    twin = StageRouter.restore(tmp_path / "snapshot", controller="inline", clock=lambda: now[0])
    now[0] = begins
    assert spend(router, 9) == spend(twin, 9) == 3
    days = {"day": 1, "week": 7, "month": 31}[per]
    ends = datetime(2029, 10, 1, 6, tzinfo=info) + timedelta(days=days)
    assert router.limits[0].ends == twin.limits[0].ends == ends.timestamp()


def test_another_zone_keeps_what_is_spent() -> None:
    now = [datetime(2026, 11, 27, 12, tzinfo=ZoneInfo("UTC")).timestamp()]
    router = router_world.make(
        models=[Model("a", 1.0, max_cost=1.0)],
        budget=1.0,
        max_deployed=1,
        hard_limits=[HardLimit(3.0, "day")],
        clock=lambda: now[0],
    )
    assert spend(router, 2) == 2
    router.configure(hard_limits=[HardLimit(3.0, "day", time_zone="Asia/Tokyo")])
    assert router.limits[0].committed == 2.0
    assert router.limits[0].ends == now[0] + 3 * 3_600.0
    assert spend(router, 9) == 1
    router._control.snapshot()
    now[0] += 3 * 3_600.0
    assert spend(router, 9) == 3
