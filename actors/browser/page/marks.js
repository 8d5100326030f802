// What the other side of a chat is shown of us: that we have read it, that we type or record.

/**
 * @param {{requireConnected: () => void, requireBindings: (...features: string[]) => Promise<void>}}
 *   page
 */
function wafleetMarks({ requireConnected, requireBindings }) {
  /** @param {string} jid @returns {Promise<any>} the id of a chat that is there */
  async function chatOf(jid) {
    requireConnected();
    await requireBindings('state', 'marks');
    const wid = WPP.whatsapp.WidFactory.createWid(jid);
    const found = wafleetAddresses(wid).map((one) => WPP.chat.get(one)).find(Boolean);
    if (!found) throw new WafleetRefusal('chat_unknown', 'WhatsApp Web has no such chat');
    return found.id;
  }

  /** @param {{jid: string}} args */
  async function markRead({ jid }) {
    await WPP.chat.markIsRead(await chatOf(jid));
    return {};
  }

  /** Ends by itself after `ms`; 0 ends it now.
   * @param {{jid: string, ms: number, recording: boolean}} args */
  async function markTyping({ jid, ms, recording }) {
    const id = await chatOf(jid);
    if (ms === 0) {
      await WPP.chat.markIsPaused(id);
      return {};
    }
    if (recording) await WPP.chat.markIsRecording(id);
    else await WPP.chat.markIsComposing(id);
    // The other side's phone gives up by itself if this can't be told any more.
    setTimeout(() => WPP.chat.markIsPaused(id).catch(() => null), ms);
    return {};
  }

  return { calls: { markRead, markTyping } };
}
