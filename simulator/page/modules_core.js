/** Modules: identity, connection state, constants, login. */
import { config } from './config.js';
import { MsgKey, toUserWid, toWid, Wid } from './ids.js';
import {
  BackendEventBus,
  Cmd,
  CmdImpl,
  Conn,
  keys,
  LinkDeviceEvents,
  me,
  NetworkStatus,
  Socket,
  Stream,
} from './state.js';
import { transport } from './transport.js';

const same = (names) => Object.fromEntries(names.map((name) => [name, name]));
const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer;

function orThrow(wid) {
  if (!wid) throw new Error('not logged in');
  return wid;
}

const [, primary, secondary, tertiary] = /^(\d+)\.(\d+)\.(\d+)/.exec(config.version);

const SOCKET_STATES = [
  ...['OPENING', 'PAIRING', 'UNPAIRED', 'UNPAIRED_IDLE', 'CONNECTED', 'TIMEOUT', 'CONFLICT'],
  ...['UNLAUNCHED', 'PROXYBLOCK', 'TOS_BLOCK', 'SMB_TOS_BLOCK', 'DEPRECATED_VERSION'],
];
const SOCKET_STREAMS = ['DISCONNECTED', 'SYNCING', 'RESUMING', 'CONNECTED'];
const LOGOUT_REASONS = {
  UserInitiated: 'user_initiated',
  UnknownCompanion: 'unknown_companion',
  AccountLocked: 'account_locked',
  ClientVersionOutdated: 'client_version_outdated',
};

/** Ask for the code that a person types on the phone instead of scanning. */
async function genLinkDeviceCodeForPhoneNumber(phone, push) {
  const frame = { op: 'link_code', phone: String(phone).replace(/\D/g, ''), push: !!push };
  const answer = await transport.request(frame, { beforeLogin: true });
  if (answer.error) throw new Error(`link code refused: ${answer.error}`);
  return answer.code;
}

export const coreModules = {
  WAWebBuildConstants: {
    VERSION_STR: config.version,
    VERSION_BASE: config.version,
    VERSION_PRIMARY: primary,
    VERSION_SECONDARY: secondary,
    VERSION_TERTIARY: tertiary,
    SANITIZED_VERSION_STR: config.version,
    WINDOWS_BUILD: null,
  },
  WAWebIsOfficialClient: { isOfficialClient: false },
  WABase64: {
    encodeB64: (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))),
    decodeB64: (text) => bytes(text),
  },
  WAWebTime: {
    unixTime: () => Math.floor(Date.now() / 1000),
    unixTimeMs: () => Date.now(),
  },
  WAWebWid: { default: Wid },
  WAWebMsgKey: { default: MsgKey },
  WAWebWidFactory: {
    createWid: toWid,
    createUserWid: toUserWid,
    createUserWidOrThrow: toUserWid,
    createWidFromWidLike: toWid,
    isWidlike: (value) =>
      !!value && typeof value === 'object' && typeof value._serialized === 'string',
    asUserWidOrThrow: toWid,
  },
  WAWebSocketConstants: {
    SOCKET_STATE: same(SOCKET_STATES),
    SOCKET_STREAM: same(SOCKET_STREAMS),
    WATCHED_SOCKET_STATE: same(['OPEN', 'CLOSED']),
  },
  WAWebLogoutReasonConstants: {
    LogoutReason: LOGOUT_REASONS,
    LOGOUT_REASON_CODE: {
      CLIENT_FATAL: '0',
      SYNC_FAIL: '1',
      INITIAL_HISTORY_SYNC_TIMEOUT: '2',
      ACCOUNT_LOCKED: '3',
    },
  },
  WAWebLogoutReason: {
    getErrorCodeFromLogoutReason: (reason) => (reason === 'account_locked' ? '3' : '0'),
    setPrevLogoutReasonCode() {},
    getPrevLogoutReasonCode: () => null,
    setPrevCustomLogoutMessage() {},
    getPrevCustomLogoutMessage: () => null,
  },
  WAWebUserPrefsMeUser: {
    getMaybeMePnUser: () => me.wid,
    getMaybeMeLidUser: () => me.lid,
    getMaybeMeUser: () => me.wid,
    getMaybeMeDevicePn: () => me.device && toWid(`${me.device}@c.us`),
    getMe: () => me.wid,
    getMeLidUserOrThrow: () => orThrow(me.lid),
    getMePnUserOrThrow: () => orThrow(me.wid),
    assertGetMe: () => orThrow(me.wid),
  },
  WAWebConnModel: { Conn },
  WAWebStreamModel: { Stream },
  WAWebSocketModel: { Socket },
  WAWebCmd: { Cmd, CmdImpl },
  WAWebNetworkStatus: { default: NetworkStatus },
  WAWebBackendEventBus: { BackendEventBus, BackendEvent: { LOGOUT: 'logout' } },
  WAWebLinkDeviceEvents: { WAWebLinkDeviceEvents: LinkDeviceEvents },
  WAWebAuthStatus: { isLoggedIn: () => !!me.wid },
  WAWebIsRegistered: { isRegistered: () => !!me.wid },
  WAWebSignalStore: {
    waSignalStore: {
      getRegistrationInfo: async () => ({
        registrationId: 1,
        identityKeyPair: { pubKey: bytes(keys.identity) },
      }),
    },
  },
  WAWebUserPrefsNoiseInfo: {
    waNoiseInfo: { get: async () => ({ staticKeyPair: { pubKey: bytes(keys.noise) } }) },
  },
  WAWebAdv: { getADVSecretKey: async () => keys.adv, setADVSignedIdentity() {} },
  WAWebCompanionRegClientUtils: { DEVICE_PLATFORM: '1' },
  WAWebAltDeviceLinkingInit: { async initializeAltDeviceLinking() {} },
  WAWebAltDeviceLinkingApi: { genLinkDeviceCodeForPhoneNumber },
  WAWebHistorySyncProgress: {
    getHistorySyncProgressModel: () => ({
      realProgress: Socket.hasSynced ? 100 : 0,
      remainingPausedSeconds: 0,
    }),
  },
};
