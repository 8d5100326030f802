// Reactions, in every form in which WhatsApp Web hands them from one of its modules to another.
//
// wa-js tells of those that come one by one. A list it drops: it takes the seconds of each one's
// time for milliseconds, so that all look old. And WhatsApp Web keeps reactions by a table of their
// own, which gets lists only, and which wa-js does not know.

/**
 * Calls `tell` with each reaction that passes, in wa-js's form; the same one may pass several times.
 * @param {{
 *   tell: (reaction: any) => void,
 *   guarded: <T extends unknown[]>(work: (...args: T) => unknown) => (...args: T) => void,
 * }} owner
 */
function wafleetReactions({ tell, guarded }) {
  const TABLE = 'WAWebAddonReactionTableMode';
  const OLD_MS = 7 * 86_400_000; // what is older is history, not something that was missed
  const RETRY_MS = 1000;
  const MAX_TRIES = 60;

  /** One of a list, which may be one of long ago: lists come with the history, too.
   * @param {any} one */
  function listed(one) {
    const { MsgKey, WidFactory } = WPP.whatsapp;
    const timestamp = one.reactionTimestamp ?? one.t * 1000;
    const author = one.author ?? one.sender ?? one.from;
    if (!(Date.now() - timestamp < OLD_MS)) return;
    tell({
      id: MsgKey.fromString(String(one.id)),
      msgId: MsgKey.fromString(String(one.reactionParentKey)),
      reactionText: one.reactionText,
      sender: WidFactory.createWid(String(author)),
      timestamp,
    });
  }

  const take = guarded(listed);

  /** @param {any} holder @param {string} name @returns {any} what is there now instead of it */
  function wrap(holder, name) {
    const original = holder[name];
    /** @this {unknown} @param {any[]} args */
    function passing(...args) {
      if (Array.isArray(args[0])) args[0].forEach((one) => take(one));
      return original.apply(this, args);
    }
    holder[name] = passing;
    return passing;
  }

  /** Where wa-js listens as well. It knows its functions by what they are: it must know ours. */
  function wrapModels() {
    const ids = WPP.whatsapp._moduleIdMap;
    const id = ids.get(WPP.whatsapp.functions.createOrUpdateReactions);
    if (!id) return false;
    const holder = /** @type {any} */ (WPP.loader.loadModule(id));
    if (!holder?.addOrUpdateReactionsModelCollection) return false;
    ids.set(wrap(holder, 'addOrUpdateReactionsModelCollection'), id);
    return true;
  }

  function wrapTable() {
    const table = /** @type {any} */ (WPP.loader.loadModule(TABLE))?.reactionTableMode;
    if (!table?.bulkUpsert) return false; // WhatsApp has not always had it
    wrap(table, 'bulkUpsert');
    return true;
  }

  /** Modules may come late. @param {(() => boolean)[]} hooks @param {number} tries */
  function install(hooks, tries) {
    const left = hooks.filter((hook) => !hook());
    if (left.length && tries > 1) setTimeout(guarded(install), RETRY_MS, left, tries - 1);
  }

  // Not before wa-js has wrapped its functions: it finds them by what they were at first.
  WPP.loader.onFullReady(() => guarded(install)([wrapModels, wrapTable], MAX_TRIES));
}
