/** Addresses (Wid) and message keys (MsgKey). */
import { keyOf } from './model.js';

const USER_SERVERS = ['c.us', 'lid', 'bot', 'hosted'];

export class Wid {
  constructor(text) {
    const [userAndDevice, server] = String(text).split('@');
    const [user, device] = userAndDevice.split(':');
    this.user = user;
    this.server = server === 's.whatsapp.net' ? 'c.us' : server;
    if (device) this.device = Number(device);
    this._serialized = `${userAndDevice}@${this.server}`;
  }

  toString() {
    return this._serialized;
  }
  toJid() {
    return this._serialized.replace('@c.us', '@s.whatsapp.net');
  }
  toJSON() {
    return this._serialized;
  }
  equals(other) {
    return !!other && keyOf(other) === this._serialized;
  }
  isSameAccount(other) {
    return other?.user === this.user;
  }
  isUser() {
    return USER_SERVERS.includes(this.server);
  }
  isLid() {
    return this.server === 'lid';
  }
  isRegularUser() {
    return this.isUser();
  }
  isRegularUserPn() {
    return this.server === 'c.us';
  }
  isGroup() {
    return this.server === 'g.us';
  }
  isBroadcast() {
    return this.server === 'broadcast' && this.user !== 'status';
  }
  isStatus() {
    return this._serialized === 'status@broadcast';
  }
  isStatusV3() {
    return this.isStatus();
  }
  isNewsletter() {
    return this.server === 'newsletter';
  }
  isBot() {
    return this.server === 'bot';
  }
  isPSA() {
    return this._serialized === '0@c.us';
  }
  isServer() {
    return false;
  }
  isGroupCall() {
    return this.server === 'call';
  }
  isCompanion() {
    return !!this.device;
  }
  getDeviceId() {
    return this.device || 0;
  }

  static isXWid(server, wid) {
    return keyOf(wid).endsWith(`@${server}`);
  }
  static isWid(wid) {
    return wid instanceof Wid;
  }
  static isGroup(wid) {
    return Wid.isXWid('g.us', wid);
  }
  static isUser(wid) {
    return Wid.isXWid('c.us', wid) || Wid.isXWid('lid', wid);
  }
}

/** Read an address, or throw as WhatsApp does. */
export function toWid(value) {
  if (value instanceof Wid) return value;
  const text = keyOf(value);
  if (!/^[\w.:-]+@[\w.]+$/.test(text)) throw new Error(`wid error: invalid wid ${text}`);
  return new Wid(text);
}

export function toUserWid(user, server = 'c.us') {
  return toWid(String(user).includes('@') ? user : `${user}@${server}`);
}

export class MsgKey {
  constructor(parts) {
    if (!parts) throw new Error('MsgKey error: obj is null/undefined');
    if (parts.selfDir === undefined) {
      this.fromMe = !!parts.fromMe;
      this.remote = toWid(parts.remote);
    } else {
      this.fromMe = parts.selfDir === 'out';
      this.remote = this.fromMe ? parts.to : parts.from;
    }
    this.id = parts.id;
    if (parts.participant) this.participant = toWid(parts.participant);
    this._serialized = [this.fromMe, this.remote, this.id, this.participant]
      .filter((part) => part !== undefined)
      .join('_');
  }

  toString() {
    return this._serialized;
  }
  clone() {
    return new MsgKey(this);
  }
  equals(other) {
    return keyOf(other) === this._serialized;
  }

  static fromString(text) {
    const [fromMe, remote, id, participant] = String(text).split('_');
    if (!id) throw new Error(`MsgKey error: bad key ${text}`);
    return new MsgKey({ fromMe: fromMe === 'true', remote: toWid(remote), id, participant });
  }

  static from(text) {
    return MsgKey.fromString(text);
  }

  static async newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(9));
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    return `3EB0${hex.toUpperCase()}`;
  }
}
