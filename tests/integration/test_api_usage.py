"""What /metrics shows of each session's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.browser.profile_facts import ProfileSize
from actors.usage import Footprint
from tests.integration.test_api_server import running_api
from tests.integration.test_api_views import scrape

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_sizes_are_shown_by_workspace_and_name(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        one, two = await api.new_session("one"), await api.new_session("two")
        usage = api.deps.usage
        assert not [name for name, _ in await scrape(api) if name.startswith("wafleet_session_m")]
        usage.browsers = {
            one: Footprint(pss=150, processes=6, descriptors=280, age=12.5),
            "01JDXQ0000000000000000000A": Footprint(pss=1, processes=1, descriptors=1, age=1),
        }
        usage.profiles = {
            one: ProfileSize(kept=10, waste=20, scratch=30),
            two: ProfileSize(kept=40),
        }
        values = await scrape(api)
        shown = {
            (name, dict(labels)["session"], dict(labels).get("kind")): value
            for (name, labels), value in values.items()
            if "session" in dict(labels) and "evidence" not in name
        }
        assert shown == {
            ("wafleet_session_memory_bytes", "one", None): 150,
            ("wafleet_session_descriptors", "one", None): 280,
            ("wafleet_session_processes", "one", None): 6,
            ("wafleet_session_browser_age_seconds", "one", None): 12.5,
            ("wafleet_session_profile_bytes", "one", "kept"): 10,
            ("wafleet_session_profile_bytes", "one", "waste"): 20,
            ("wafleet_session_profile_bytes", "one", "scratch"): 30,
            ("wafleet_session_profile_bytes", "two", "kept"): 40,
            ("wafleet_session_profile_bytes", "two", "waste"): 0,
            ("wafleet_session_profile_bytes", "two", "scratch"): 0,
        }
        homes = {dict(labels).get("workspace") for _, labels in values if dict(labels).get("kind")}
        assert homes == {api.deps.workspace_id}
