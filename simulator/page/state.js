/** The state singletons: who is logged in, Conn, Stream, Socket, network, commands, events. */
import { load } from './loader.js';
import { defineModel, EventEmitter } from './model.js';
import { transport } from './transport.js';

const nothing = () => {};

/** Who this page is: `wid`, `lid` and `device` are set once a device is linked. */
export const me = { wid: null, lid: null, device: null };

/** Key pairs that the QR code shows, as base64 text; filled at start from the login store. */
export const keys = { noise: '', identity: '', adv: '' };

const ConnModel = defineModel('conn', ['ref', 'connected', 'wid', 'platform', 'pushname', 'isSMB']);
export const Conn = new ConnModel({ connected: false, platform: 'android' });

const StreamModel = defineModel(
  'stream',
  ['mode', 'info', 'needsUpdate', 'available', 'displayInfo'],
  { markAvailable: nothing, markUnavailable: nothing },
);
export const Stream = new StreamModel({
  info: 'OPENING',
  displayInfo: 'OPENING',
  needsUpdate: false,
});

/** Set the stream's mode and info together; the displayed info follows. */
export function setStream(mode, info) {
  Stream.set({ ...(mode && { mode }), ...(info && { info, displayInfo: info }) });
}

const SocketModel = defineModel('socket', ['state', 'stream', 'hasSynced', 'canSend'], {
  poke: nothing,
  initConn: nothing,
  takeover() {
    if (this.state === 'CONFLICT') transport.connect();
  },
  logout(_server, reason = 'user_initiated') {
    transport.send({ op: 'logout', reason });
  },
});
export const Socket = new SocketModel({
  state: 'OPENING',
  stream: 'DISCONNECTED',
  hasSynced: false,
});

const NetworkStatusModel = defineModel('networkStatus', ['online'], {
  async checkOnline() {
    return this.online;
  },
  async waitIfOffline() {},
});
export const NetworkStatus = new NetworkStatusModel({ online: true });
window.addEventListener('online', () => NetworkStatus.set('online', true));
window.addEventListener('offline', () => NetworkStatus.set('online', false));

export class CmdImpl extends EventEmitter {
  isMainLoaded = false;

  mainLoaded() {
    this.isMainLoaded = true;
    this.trigger('main_loaded');
  }
  logout() {
    this.trigger('logout');
  }
  refreshQR() {
    transport.sendNow({ op: 'refresh_qr' });
  }
  setActiveFilter() {}
  async sendRevokeMsgs(chat, { list }) {
    for (const message of list) {
      const frame = { op: 'revoke', id: message.id.id, chat: chat.id.toString() };
      const answer = await transport.request(frame);
      if (answer.error) throw new Error(`revoke refused: ${answer.error}`);
      message.set({ type: 'revoked', body: undefined, caption: undefined });
    }
  }
  async sendDeleteMsgs(chat, { list }) {
    for (const message of list) {
      transport.send({ op: 'delete', id: message.id.id, chat: chat.id.toString() });
      chat.msgs.remove(message.id);
      load('WAWebMsgCollection').MsgCollection.remove(message.id);
    }
  }
}
export const Cmd = new CmdImpl();

export const BackendEventBus = Object.assign(new EventEmitter(), { isMainStreamReadyMd: false });

export const LinkDeviceEvents = Object.assign(new EventEmitter(), {
  triggerRefreshAltLinkingCode() {
    this.trigger('link_device_events:refresh_alt_linking_code');
  },
});
