/**
 * A stand-in for Meta's module loader: `__d`, `require`, `importNamespace`, `ErrorGuard` and the
 * `__debug` module whose `modulesMap` lists what is registered so far.
 */
import { config } from './config.js';

const registry = Object.create(null);
const missing = new Set(config.missingModules);

function define(name, dependencies, factory) {
  if (!missing.has(name)) {
    registry[name] = { factory, dependencies, exports: undefined, loaded: false };
  }
}

/** The exports of a module. Calls go through here, so that wrappers set by a client are used. */
export function load(name) {
  const module = registry[name];
  if (!module) throw new Error(`Requiring unknown module "${name}"`);
  if (!module.loaded) {
    module.loaded = true;
    const holder = { exports: {} };
    module.factory(window, load, load, load, holder, holder.exports);
    module.exports = holder.exports;
  }
  return module.exports;
}

/** Register a table of modules: name to exports. */
export function register(table) {
  for (const [name, exports] of Object.entries(table)) {
    define(name, [], (_global, _require, _default, _namespace, module) => {
      module.exports = exports;
    });
  }
}

/** Make the loader visible; clients watch for `__d` and `require`, which come last. */
export function publish() {
  Object.defineProperty(registry, '__debug', {
    enumerable: false,
    value: { loaded: true, exports: { modulesMap: registry }, factory() {} },
  });
  window.ErrorGuard = {
    skipGuardGlobal() {},
    applyWithGuard: (f, self, args) => f.apply(self, args),
  };
  window.importNamespace = load;
  window.importDefault = (name) => {
    const exports = load(name);
    return exports && exports.__esModule ? exports.default : exports;
  };
  window.requireLazy = (names, callback) => callback(...names.map(load));
  window.__d = define;
  window.require = load;
}
