// That somebody is typing, as the other side sees it.

/**
 * @param {{requireConnected: () => void, requireBindings: (...features: string[]) => Promise<void>}}
 *   page
 */
function wafleetTyping({ requireConnected, requireBindings }) {
  /** Shows it for so long, and resolves when that is over.
   * @param {{chat: string, ms: number}} args */
  async function showTyping({ chat, ms }) {
    requireConnected();
    await requireBindings('typing');
    const found = await WPP.chat.find(chat);
    await WPP.chat.markIsComposing(found.id, ms);
  }

  return { calls: { showTyping } };
}
