// The page adapter: turns wa-js's view of WhatsApp Web into facts for the session's actor, and
// carries out its few calls. Injected after the wa-js bundle and the other scripts into every new
// top document; the driver appends the call of wafleetAdapter. It never throws: facts leave
// through a CDP binding, calls answer {ok, value} or {ok: false, code, message} as JSON.

/** @param {AdapterConfig} config */
function wafleetAdapter(config) {
  'use strict';

  const MAX_REMEMBERED = 5000;
  const STATE_POLL_MS = 2000;
  const QR_DRAW_MS = 1000;
  const SETTLE_MS = 250;
  const CALL_SETTLE_MS = 2000; // well within every call's deadline
  const MAIN_FEATURES = ['send', 'lookup', 'acks', 'receive', 'logout'];
  const USER_JID = /^\d{5,20}@(c\.us|lid)$/;
  const GROUP_JID = /^[\d-]{10,40}@g\.us$/;

  /** @type {any} */
  const globals = globalThis;
  /** @type {(payload: string) => void} */
  const tell = globals[config.binding];
  delete globals[config.binding];

  /** @param {string} event @param {object} [fields] */
  function emit(event, fields) {
    tell(JSON.stringify({ event, ...fields }));
  }

  /** @param {number} ms */
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  class Refusal extends Error {
    /** @param {string} code @param {string} message */
    constructor(code, message) {
      super(message);
      this.code = code;
    }
  }

  // ---- state -----------------------------------------------------------------------------------

  let started = false;
  let lastState = '';
  let lastLoaded = '';
  let lastQr = '';
  let loggedOut = false;
  let featuresAsked = false;
  let featuresJudged = false;
  /** @type {string | null} */
  let logoutReason = null;

  /**
   * Modules may come late on a cold start: they get some time before they are called missing.
   * @param {number} ms @param {string[]} features
   */
  async function settled(ms, ...features) {
    const until = performance.now() + ms;
    while (wafleetMissing(...features).length && performance.now() < until) await pause(SETTLE_MS);
  }

  /** @param {string[]} features to look at besides `state` @param {string[]} [missing] */
  function reportLoaded(features, missing = []) {
    const critical = [...missing, ...wafleetMissing('state')];
    const fields = {
      whatsappVersion: whatsappVersion(),
      wajsVersion: WPP.version,
      missing: critical.length ? critical : wafleetMissing(...features),
      critical,
    };
    const text = JSON.stringify(fields);
    if (text !== lastLoaded) emit('loaded', fields);
    lastLoaded = text;
    return critical.length === 0;
  }

  function whatsappVersion() {
    try {
      return WPP.conn.getBuildConstants()?.VERSION_STR ?? globals.Debug?.VERSION ?? null;
    } catch {
      return globals.Debug?.VERSION ?? null;
    }
  }

  function reportState() {
    const { Socket, Stream } = WPP.whatsapp;
    const fields = {
      socket: String(Socket.state),
      mode: Stream.mode ?? null,
      registered: Boolean(WPP.conn.isRegistered()),
      // "Able to send" is not said before it is known what is there to send with.
      synced: Boolean(Socket.hasSynced) && featuresJudged,
      me: WPP.conn.getMyUserId()?.toString() ?? null,
    };
    const text = JSON.stringify(fields);
    if (text === lastState) return;
    lastState = text;
    emit('socket', fields);
    if (fields.registered && fields.mode === 'MAIN') guarded(reportFeatures)();
  }

  // Before the login WhatsApp may not have loaded its main part, so these wait for it.
  async function reportFeatures() {
    if (featuresAsked) return;
    featuresAsked = true;
    await settled(config.readyMs, ...MAIN_FEATURES);
    featuresJudged = true;
    reportLoaded(MAIN_FEATURES);
    reportState();
  }

  async function reportQr() {
    const code = await WPP.conn.getAuthCode();
    if (code === null) return;
    const text = (await drawnQr(code.ref)) ?? code.fullCode;
    const stale = WPP.whatsapp.Conn.ref !== code.ref;
    if (stale || text === lastQr) return;
    lastQr = text;
    emit('qr', { text });
  }

  /**
   * What the page itself draws for this ref: WhatsApp has been seen to add fields that wa-js does
   * not know of. Null if it draws nothing in time.
   * @param {string} ref
   * @returns {Promise<string | null>}
   */
  async function drawnQr(ref) {
    const until = performance.now() + QR_DRAW_MS;
    do {
      const drawn = document.querySelector('[data-ref]')?.getAttribute('data-ref');
      if (drawn?.startsWith(ref)) return drawn;
      await pause(50);
    } while (performance.now() < until);
    return null;
  }

  function reportLogout() {
    if (loggedOut) return;
    loggedOut = true;
    emit('logged_out', { reason: logoutReason });
  }

  // ---- messages --------------------------------------------------------------------------------

  /** @type {Map<string, number>} highest ack that was reported, by message id */
  const acks = new Map();
  /** @type {Map<string, number>} ids of contacts' messages that were reported */
  const received = new Map();

  /** @param {Map<string, number>} map @param {string} id @param {number} value */
  function remember(map, id, value) {
    map.delete(id);
    map.set(id, value);
    if (map.size > MAX_REMEMBERED) map.delete(/** @type {string} */ (map.keys().next().value));
  }

  /** @param {string[]} ids @param {number} ack */
  function reportAck(ids, ack) {
    if (ack === 0) return;
    const waIds = ids.filter((id) => ack < 0 ? acks.get(id) === undefined : ack > (acks.get(id) ?? 0));
    for (const id of waIds) remember(acks, id, ack);
    if (waIds.length) emit('ack', { waIds, ack });
  }

  /** @param {any} msg */
  function reportMessage(msg) {
    const fields = wafleetMessage(msg);
    if (!fields || received.has(fields.waId)) return;
    remember(received, fields.waId, 1);
    emit('message', fields);
  }

  // ---- calls -----------------------------------------------------------------------------------

  function requireConnected() {
    if (!started || WPP.whatsapp.Socket.state !== 'CONNECTED' || !WPP.conn.isRegistered()) {
      throw new Refusal('not_connected', 'WhatsApp Web is not connected');
    }
  }

  /** @param {string[]} features */
  async function requireBindings(...features) {
    if (!featuresJudged) await settled(CALL_SETTLE_MS, ...features);
    const missing = wafleetMissing(...features);
    if (missing.length) {
      throw new Refusal('binding_missing', `WhatsApp Web lacks ${missing.join(', ')}`);
    }
  }

  /** The key of an own message. It must name the chat as WhatsApp does now, perhaps by its lid.
   * @param {any} chatId @param {string} waId */
  function ownKey(chatId, waId) {
    const me = WPP.conn.getMyUserId();
    const byLid = chatId.isGroup() || chatId.isLid();
    const from = byLid ? myLid() ?? me : me;
    return new WPP.whatsapp.MsgKey({
      from: /** @type {any} */ (from),
      to: chatId,
      id: waId,
      participant: chatId.isGroup() ? from : undefined,
      selfDir: 'out',
    });
  }

  function myLid() {
    try {
      return WPP.conn.getMyUserLid();
    } catch {
      return undefined; // an account that has none yet
    }
  }

  /** @param {string} chat @returns {Promise<any>} the id of the chat to write to */
  async function resolveChat(chat) {
    if (!USER_JID.test(chat) && !GROUP_JID.test(chat)) {
      throw new Refusal('invalid_jid', 'not a user or group jid');
    }
    let target = chat;
    const self = chat === WPP.conn.getMyUserId()?.toString();
    if (USER_JID.test(chat) && !self) {
      const known = await WPP.contact.queryWidExists(chat);
      if (known === null) {
        requireConnected(); // null also means that the question failed
        throw new Refusal('not_on_whatsapp', 'WhatsApp does not know this number');
      }
      target = known.wid.toString(); // WhatsApp's own spelling of the number
    }
    return (await WPP.chat.find(target)).id;
  }

  /** Resolves once WhatsApp's server has the message.
   * @param {any} msg @returns {Promise<{ack: number}>} */
  async function acknowledged(msg) {
    while (msg.ack === 0) {
      await new Promise((resolve) => msg.once('change:ack', resolve));
    }
    if (msg.ack < 0) throw new Refusal('send_refused', 'WhatsApp refused the message');
    return { ack: msg.ack };
  }

  /** `again`: it may have been handed over before, by another page or another life.
   * @param {{chat: string, waId: string, body: string, again: boolean}} args */
  async function sendText({ chat, waId, body, again }) {
    let key;
    let known;
    try {
      requireConnected();
      await requireBindings('send');
      key = ownKey(await resolveChat(chat), waId);
      known = WPP.whatsapp.MsgStore.get(/** @type {any} */ (key.toString()));
      if (!known && again) known = await findOwn(chat, waId);
      requireConnected(); // it may have been lost while we asked
    } catch (error) {
      if (error instanceof Refusal) throw error;
      throw new Refusal('send_refused', describe(error)); // nothing was handed over yet
    }
    if (known) return acknowledged(known); // handed over before: WhatsApp Web keeps trying by itself
    const sent = await WPP.chat.sendTextMessage(key.remote.toString(), body, {
      messageId: key,
      linkPreview: false,
      detectMentioned: false,
      markIsRead: false,
      waitForAck: true,
    });
    const result = String(sent.sendMsgResult?.messageSendResult ?? 'none');
    if (result === 'OK' || sent.ack > 0) return { ack: Math.max(1, sent.ack) };
    if (sent.ack < 0) throw new Refusal('send_refused', `WhatsApp refused the message: ${result}`);
    throw new Refusal('send_unconfirmed', `WhatsApp Web did not confirm the message: ${result}`);
  }

  /** Our message with this id, under either address of its chat, also one that is not loaded.
   * @param {string} chat @param {string} waId */
  async function findOwn(chat, waId) {
    await requireBindings('state', 'send', 'lookup');
    const wid = WPP.whatsapp.WidFactory.createWid(chat);
    const { lidPnCache } = WPP.whatsapp;
    const other = wid.isLid() ? lidPnCache.getPhoneNumber(wid) : lidPnCache.getCurrentLid(wid);
    for (const remote of other ? [wid, other] : [wid]) {
      try {
        return await WPP.chat.getMessageById(ownKey(remote, waId));
      } catch (error) {
        const code = /** @type {any} */ (error)?.code;
        if (code !== 'msg_not_found' && code !== 'chat_not_found') throw error;
      }
    }
    return null;
  }

  /** @param {{chat: string, waId: string}} args @returns {Promise<number | null>} */
  async function lookupAck({ chat, waId }) {
    return (await findOwn(chat, waId))?.ack ?? null;
  }

  async function refreshQr() {
    await requireBindings('state', 'qr');
    WPP.conn.refreshQR().catch(() => null); // it resolves with the next code, perhaps never
  }

  async function logout() {
    await requireBindings('state', 'logout');
    await WPP.conn.logout();
  }

  /** @type {Record<string, (args: any) => unknown>} */
  const CALLS = { sendText, lookupAck, refreshQr, logout };

  /** @param {unknown} error */
  function describe(error) {
    return String(/** @type {any} */ (error)?.message ?? error).slice(0, 300);
  }

  /** @param {string} name @param {object} args @returns {Promise<string>} */
  async function call(name, args) {
    try {
      const value = await CALLS[name](args);
      return JSON.stringify({ ok: true, value: value ?? null });
    } catch (error) {
      const code = error instanceof Refusal ? error.code : 'page_error';
      return JSON.stringify({ ok: false, code, message: describe(error) });
    }
  }

  Object.defineProperty(globals, config.api, { value: call });

  // ---- start -----------------------------------------------------------------------------------

  /** @template {unknown[]} T @param {(...args: T) => unknown} work @returns {(...args: T) => void} */
  function guarded(work) {
    return (...args) => {
      Promise.resolve()
        .then(() => work(...args))
        .catch((error) => emit('adapter_failed', { where: work.name, message: describe(error) }));
    };
  }

  const watchState = guarded(reportState);
  const watchQr = guarded(reportQr);

  async function start() {
    await settled(config.readyMs, 'state');
    const atQr = wafleetMissing('state').length === 0 && !WPP.conn.isRegistered();
    if (started || !reportLoaded(atQr ? ['qr'] : [])) return;
    started = true;
    WPP.whatsapp.Socket.on('change:state change:hasSynced change:stream', watchState);
    WPP.whatsapp.Stream.on('change:mode', watchState);
    WPP.whatsapp.Conn.on('change:ref', watchQr);
    watchMessages();
    setInterval(watchState, STATE_POLL_MS);
    watchState();
    watchQr();
  }

  // Beside wa-js's own events, whose hooks are lost for good if a module came too late for them.
  function watchMessages() {
    const { MsgStore } = WPP.whatsapp;
    if (!MsgStore) return; // then reportFeatures tells
    const watchMessage = guarded(reportMessage);
    MsgStore.on('add', (/** @type {any} */ msg) => {
      if (!msg.isNewMsg) return;
      if (msg.type === 'ciphertext') msg.once('change:type', () => watchMessage(msg));
      else watchMessage(msg);
    });
    MsgStore.on('change:ack', guarded((/** @type {any} */ msg) => {
      if (msg.id?.fromMe && msg.ack) reportAck([msg.id.id], msg.ack);
    }));
  }

  WPP.on('loader.ready', guarded(() => start().catch((error) => {
    reportLoaded([], ['adapter']); // else it would be silent, too
    throw error;
  })));
  WPP.on('conn.auth_code_change', guarded(() => { if (started) watchQr(); }));
  WPP.on('conn.authenticated', guarded(() => { if (started) watchState(); }));
  WPP.on('conn.logout_reason', (reason) => { logoutReason = reason ? String(reason) : null; });
  WPP.on('conn.logout', guarded(reportLogout));
  WPP.on('conn.needs_update', () => emit('update_required'));
  WPP.on('chat.new_message', guarded(reportMessage));
  WPP.on('chat.msg_ack_change', guarded((event) => {
    const ids = event.ids.map((/** @type {any} */ key) => key.id);
    // One member of a group has it; the message's own ack says when all have.
    if (!(event.sender && event.chat.isGroup())) reportAck(ids, event.ack);
  }));

  /** @param {number} ms @param {() => boolean} reached @param {string} name */
  function expect(ms, reached, name) {
    setTimeout(() => { if (!started && !reached()) reportLoaded([], [name]); }, ms);
  }

  function awaitLoader() {
    expect(config.injectMs, () => WPP.isInjected, 'loader');
    const ready = () => WPP.isReady || !WPP.isInjected;
    expect(config.injectMs + config.readyMs, ready, 'loader.ready');
  }
  if (document.readyState === 'complete') awaitLoader();
  else globals.addEventListener('load', awaitLoader, { once: true });
}
