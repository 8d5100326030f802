/** The life of a session: pairing, login, sync, loss and return of the socket, logout. */
import { config } from './config.js';
import { outgoingAttributes, toAttributes } from './incoming.js';
import { toWid } from './ids.js';
import { load } from './loader.js';
import { loginStore } from './login_store.js';
import { resendPending, resumeOutgoing } from './send.js';
import { BackendEventBus, Cmd, Conn, keys, me, setStream, Socket, Stream } from './state.js';
import { ensureChat, learnPerson, MsgModel, MsgStore, setGroup } from './stores.js';
import { transport } from './transport.js';

let device = null;
let blocked = false;

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return btoa(String.fromCharCode(...bytes));
}

/** Read the stored keys and device, making keys on the first visit. */
export async function restore() {
  await loginStore.open();
  const stored = (await loginStore.read('user', 'keys')) || {
    noise: randomKey(),
    identity: randomKey(),
    adv: randomKey(),
  };
  Object.assign(keys, stored);
  await loginStore.write('user', 'keys', stored);
  device = (await loginStore.read('user', 'device')) || null;
  if (device) become(device);
}

function become({ wid, lid, device: id }) {
  me.wid = toWid(wid);
  me.lid = toWid(lid);
  me.device = id;
}

function logIn() {
  transport.sendNow({
    op: 'login',
    device: device.device,
    secret: device.secret,
    version: config.version,
  });
}

const opened = () => {
  if (device) logIn();
  else {
    const shown = [keys.noise, keys.identity, keys.adv];
    transport.sendNow({ op: 'hello', keys: shown, version: config.version });
  }
};

const lost = () => {
  if (blocked) return;
  Conn.set('ref', undefined);
  Socket.set({ state: 'TIMEOUT', stream: 'DISCONNECTED' });
  setStream(null, 'OFFLINE');
};

const retrying = () => {
  if (blocked) return;
  Socket.set({ state: 'OPENING' });
  setStream(null, 'OPENING');
};

function showCode({ ref }) {
  Socket.set({ state: 'UNPAIRED' });
  setStream('QR', 'PAIRING');
  Conn.set('ref', ref);
}

function goIdle() {
  Conn.set('ref', undefined);
  Socket.set({ state: 'UNPAIRED_IDLE' });
}

async function paired({ device: id, secret, wid, lid, name }) {
  Socket.set({ state: 'PAIRING' });
  setStream(null, 'PAIRING');
  device = { device: id, secret, wid, lid, name };
  await loginStore.write('user', 'device', device);
  become(device);
  logIn();
}

function fillChats({ chats, people }) {
  const ids = new Set(chats.map((chat) => chat.id));
  for (const person of people) {
    learnPerson(
      person,
      [person.pn, person.lid].find((id) => ids.has(id)),
    );
  }
  for (const each of chats) {
    const { id, name, unread, t, msgs } = each;
    const chat = ensureChat(id, { name, formattedTitle: name, t });
    if (each.participants) setGroup(chat, each);
    for (const wire of msgs) {
      const attributes = toAttributes(wire, false);
      const known = MsgStore.get(attributes.id);
      if (known && known.ack < wire.ack) known.set('ack', wire.ack);
      if (!known) chat.msgs.add(MsgStore.add(new MsgModel(attributes))[0]);
    }
    chat.set('unreadCount', unread);
  }
}

async function loggedIn(frame) {
  const first = !Socket.hasSynced;
  become(frame);
  Conn.set({ wid: me.wid, connected: true, ref: undefined, pushname: frame.name });
  Socket.set({ state: 'CONNECTED', stream: first ? 'SYNCING' : 'RESUMING' });
  setStream(first ? 'SYNCING' : null, first ? 'SYNCING' : 'RESUMING');
  fillChats(frame);
  if (first) Cmd.mainLoaded();
  transport.flush();
  await new Promise((resolve) => setTimeout(resolve, config.syncDelayMs));
  if (!transport.ready) return;
  Socket.set({ stream: 'CONNECTED', hasSynced: true });
  setStream('MAIN', 'NORMAL');
  BackendEventBus.isMainStreamReadyMd = true;
  load('WAWebBackendEventBus').BackendEventBus.trigger('main_stream_mode_ready');
  if (first) await resumeOutgoing(outgoingAttributes);
  else resendPending();
}

/** Forget the login, tell who listens, and go to the login page as the real one does. */
async function loggedOut({ reason, code }) {
  blocked = true;
  transport.stop();
  load('WAWebLogoutReason').getErrorCodeFromLogoutReason(reason);
  await loginStore.clear();
  me.wid = me.lid = me.device = device = null;
  Conn.set({ connected: false, wid: undefined });
  Socket.set({ state: 'UNPAIRED', stream: 'DISCONNECTED' });
  Cmd.logout();
  setTimeout(() => {
    location.assign(`/?post_logout=1&logout_reason=${code}`);
  }, config.logoutNavigationMs);
}

/** The server will not serve this page any more: show why and stay off. */
function block(state) {
  blocked = true;
  transport.stop();
  Socket.set({ state, stream: 'DISCONNECTED' });
  setStream(state, 'OFFLINE');
}

export const sessionHandlers = {
  open() {
    blocked = false;
    opened();
  },
  lost,
  retry: retrying,
  qr: showCode,
  qr_idle: goIdle,
  paired,
  login_ok: loggedIn,
  login_failed: loggedOut,
  logged_out: loggedOut,
  conflict: () => block('CONFLICT'),
  blocked: ({ state }) => block(state),
  needs_update: () => Stream.set('needsUpdate', true),
  offline_done: ({ count }) => BackendEventBus.trigger('offline_delivery_end', count),
  pong() {},
};
