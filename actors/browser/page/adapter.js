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
  const MAIN_FEATURES = [
    'send', 'lookup', 'acks', 'receive', 'note', 'logout', 'reactions', 'votes', 'participants',
    'calls', 'lookup_contact', 'lists', 'groups', 'history', 'download',
  ];

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
    const isNews = (/** @type {string} */ id) =>
      !sending.isNote(id) && (ack < 0 ? acks.get(id) === undefined : ack > (acks.get(id) ?? 0));
    const waIds = ids.filter(isNews);
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

  function requireStarted() {
    if (!started) throw new WafleetRefusal('not_ready', 'WhatsApp Web is not ready yet');
  }

  function requireConnected() {
    if (!started || WPP.whatsapp.Socket.state !== 'CONNECTED' || !WPP.conn.isRegistered()) {
      throw new WafleetRefusal('not_connected', 'WhatsApp Web is not connected');
    }
  }

  /** @param {string[]} features */
  async function requireBindings(...features) {
    if (!featuresJudged) await settled(CALL_SETTLE_MS, ...features);
    const missing = wafleetMissing(...features);
    if (missing.length) {
      throw new WafleetRefusal('binding_missing', `WhatsApp Web lacks ${missing.join(', ')}`);
    }
  }

  async function refreshQr() {
    await requireBindings('state', 'qr');
    WPP.conn.refreshQR().catch(() => null); // it resolves with the next code, perhaps never
  }

  async function logout() {
    await requireBindings('state', 'logout');
    await WPP.conn.logout();
  }

  /** Tells the state anew, changed or not: the page was not able to for a while. */
  function tellState() {
    requireStarted();
    lastState = '';
    reportState();
  }

  async function takeOver() {
    requireStarted();
    if (wafleetMissing('takeover').length) {
      throw new WafleetRefusal('binding_missing', 'WhatsApp Web lacks Socket.takeover');
    }
    if (WPP.whatsapp.Socket.state === 'CONFLICT') await WPP.whatsapp.Socket.takeover();
  }

  function look() {
    requireStarted();
    return health.look();
  }

  /** A message with a file can't have its ack before it was uploaded. @param {any} msg */
  function uploadMs(msg) {
    if (!WAFLEET_MEDIA_TYPES.has(msg.type)) return 0;
    const size = Number(msg.size ?? msg.mediaData?.size) || 0;
    return Math.min((size / config.slowestUpload) * 1000, config.longestUploadMs);
  }

  const sending = wafleetSending({ requireConnected, requireBindings });
  const incoming = wafleetIncoming({ emit, guarded, requireConnected, requireBindings });
  const reading = wafleetReading({ requireConnected, requireBindings });
  const marks = wafleetMarks({ requireConnected, requireBindings });
  const health = wafleetHealth({
    heard: () => emit('server_heard'), isNote: sending.isNote, uploadMs,
  });

  /** @type {Record<string, (args: any, file?: File) => unknown>} */
  const CALLS = {
    ...sending.calls, ...incoming.calls, ...reading.calls, ...marks.calls,
    look, tellState, takeOver, refreshQr, logout,
  };

  /** @param {string} name @param {object} args @param {File} [file] @returns {Promise<string>} */
  async function call(name, args, file) {
    try {
      const value = await CALLS[name](args, file);
      return JSON.stringify({ ok: true, value: value ?? null });
    } catch (error) {
      const code = error instanceof WafleetRefusal ? error.code : 'page_error';
      return JSON.stringify({ ok: false, code, message: wafleetDescribe(error) });
    }
  }

  Object.defineProperty(globals, config.api, { value: call });

  // ---- start -----------------------------------------------------------------------------------

  /** @template {unknown[]} T @param {(...args: T) => unknown} work @returns {(...args: T) => void} */
  function guarded(work) {
    return (...args) => {
      Promise.resolve()
        .then(() => work(...args))
        .catch((error) => emit('adapter_failed', { where: work.name, message: wafleetDescribe(error) }));
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
      guarded(health.added)(msg);
      if (msg.type === 'ciphertext') msg.once('change:type', () => watchMessage(msg));
      else watchMessage(msg);
    });
    MsgStore.on('change:ack', guarded((/** @type {any} */ msg) => {
      if (!msg.id?.fromMe || !msg.ack) return;
      health.acked(msg);
      reportAck([msg.id.id], msg.ack);
    }));
    MsgStore.on('remove', guarded(health.removed));
    incoming.watch();
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
