"""Reactions of others, told by the real page in whatever form WhatsApp Web hands them on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.browser.driver import MessageReceived
from actors.browser.happenings import ReactionChanged
from simulator import requests as req
from tests.integration.browser_support import Facts
from tests.integration.test_browser_incoming import BOB_JID, sends
from tests.integration.whatsapp_support import BOB, CAROL, ME, linked, simulating

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


async def test_reactions_are_told_once_in_whatever_form_they_come(tmp_path: Path) -> None:
    facts = Facts()
    async with simulating() as simulator, linked(tmp_path, simulator, facts) as browser:
        desk = simulator.desk
        group = desk.add_group(req.NewGroup(name="Crew", participants=[ME, BOB, CAROL]))
        desk.change_members(group["id"], req.ChangeMembers(action="join", participants=[BOB]))
        for to, chat in ((ME, BOB_JID), (group["id"], group["jid"])):
            message = desk.contact_sends(BOB, sends(to, text="first"))
            assert (await facts.next(MessageReceived)).chat == chat
            for via in ("row", "list", "table", "both"):
                for emoji in ("👍", ""):
                    react = req.ContactReacts(to=to, id=message, emoji=emoji, via=via)
                    desk.contact_reacts(BOB, react)
                    told = await facts.next(ReactionChanged)
                    assert (told.wa_id, told.sender, told.emoji) == (message, BOB_JID, emoji)
                    assert told.chats[0] == chat
        assert len(facts.of(ReactionChanged)) == 16

        # What a page keeps of the past, of ourselves, or can't be read stops nothing that is news.
        page = browser._ready_page()
        listed = """(() => {
            const key = (id, fromMe) => `${fromMe}_120@g.us_${id}_15550100002@c.us`;
            const one = (id, age, fromMe = false) => ({
                id: key(id, fromMe), reactionParentKey: key('PARENT', false), reactionText: id,
                author: '15550100002@c.us', reactionTimestamp: Date.now() - age * 86_400_000,
            });
            const ours = one('OURS', 0, true);
            const list = [one('OLD', 8), { id: 'broken' }, null, ours, one('NEW', 6)];
            const table = require('WAWebAddonReactionTableMode').reactionTableMode;
            table.bulkUpsert(list);
            table.bulkUpsert(list.map((each) => each && { ...each, read: true }));
            return 1;
        })()"""
        assert await page.evaluate(listed, 5) == 1
        assert (await facts.next(ReactionChanged)).emoji == "NEW"
        desk.contact_reacts(BOB, req.ContactReacts(to=group["id"], id=message, emoji="🎉"))
        assert (await facts.next(ReactionChanged)).emoji == "🎉"
        assert len(facts.of(ReactionChanged)) == 18
