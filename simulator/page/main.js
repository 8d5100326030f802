/** Start: publish the loader, register the modules in waves, then connect. */
import { config } from './config.js';
import { deedHandlers } from './deeds.js';
import { keepDrawn } from './dom.js';
import { faultHandlers } from './faults.js';
import { onMessage, onReceipt } from './incoming.js';
import { publish, register } from './loader.js';
import { actionModules } from './modules_actions.js';
import { coreModules } from './modules_core.js';
import { storeModules } from './modules_stores.js';
import { stubModules } from './modules_stubs.js';
import { restore, sessionHandlers } from './session.js';
import { onAck, onNack } from './send.js';
import { transport } from './transport.js';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Spread the modules over the waves; what clients bind to comes last. */
async function registerInWaves() {
  const modules = Object.entries({
    ...coreModules,
    ...stubModules,
    ...storeModules,
    ...actionModules,
  });
  const size = Math.ceil(modules.length / config.waves);
  for (let start = 0; start < modules.length; start += size) {
    if (start > 0) await pause(config.waveGapMs);
    register(Object.fromEntries(modules.slice(start, start + size)));
  }
}

keepDrawn();
publish();
transport.on({
  ...sessionHandlers,
  ...faultHandlers,
  ...deedHandlers,
  message: onMessage,
  receipt: onReceipt,
  ack: onAck,
  nack: onNack,
});
await Promise.all([registerInWaves(), restore()]);
transport.connect();
transport.startHeartbeat();
