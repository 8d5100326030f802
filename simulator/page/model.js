/** Event emitter, observable model and collection, in the manner of WhatsApp's own. */

export class EventEmitter {
  #listeners = new Map();

  on(name, callback, context) {
    const list = this.#listeners.get(name) || [];
    this.#listeners.set(name, [...list, { callback, context }]);
    return this;
  }

  once(name, callback, context) {
    const wrapper = (...args) => {
      this.off(name, wrapper);
      callback.apply(context, args);
    };
    wrapper.original = callback;
    return this.on(name, wrapper, context);
  }

  off(name, callback) {
    const list = this.#listeners.get(name) || [];
    const kept = list.filter(
      (l) => callback && l.callback !== callback && l.callback.original !== callback,
    );
    this.#listeners.set(name, kept);
    return this;
  }

  listenTo(other, name, callback) {
    other.on(name, callback, this);
    return this;
  }

  trigger(name, ...args) {
    for (const { callback, context } of this.#listeners.get(name) || []) {
      this.#call(name, callback, context, args);
    }
    if (name !== 'all') {
      for (const { callback, context } of this.#listeners.get('all') || []) {
        this.#call(name, callback, context, [name, ...args]);
      }
    }
    return this;
  }

  #call(name, callback, context, args) {
    try {
      callback.apply(context || this, args);
    } catch (error) {
      console.error(`[simulator] a listener of ${name} failed`, error);
    }
  }
}

function defineAttribute(prototype, key) {
  Object.defineProperty(prototype, key, {
    configurable: true,
    enumerable: true,
    get() {
      return this.attributes?.[key];
    },
    set(value) {
      this.set(key, value);
    },
  });
}

export class Model extends EventEmitter {
  constructor(attributes = {}) {
    super();
    Object.defineProperty(this, 'attributes', { value: {}, enumerable: false });
    Object.defineProperty(this, 'collections', { value: new Set(), enumerable: false });
    this.set(attributes, { silent: true });
    this.initialize();
  }

  initialize() {}

  get collection() {
    return this.collections?.values().next().value;
  }

  set(key, value, options) {
    const changes = typeof key === 'string' ? { [key]: value } : key;
    const silent = (typeof key === 'string' ? options : value)?.silent;
    const changed = [];
    for (const [name, next] of Object.entries(changes)) {
      if (!(name in this)) defineAttribute(this.constructor.prototype, name);
      const previous = this.attributes[name];
      if (previous === next) continue;
      this.attributes[name] = next;
      changed.push([name, next, previous]);
    }
    if (silent || changed.length === 0) return this;
    for (const [name, next, previous] of changed) {
      this.trigger(`change:${name}`, this, next, previous);
      for (const one of this.collections) one.trigger(`change:${name}`, this, next, previous);
    }
    this.trigger('change', this);
    return this;
  }

  unset(key) {
    return this.set(key, undefined);
  }

  get(key) {
    return this.attributes[key];
  }

  toJSON() {
    return { ...this.attributes };
  }

  serialize() {
    return this.toJSON();
  }
}

/** Make a model class: its proxy name, its attributes, methods and derived values. */
export function defineModel(proxyName, attributes, methods = {}, derived = {}) {
  const Class = class extends Model {};
  Object.defineProperty(Class, 'name', { value: proxyName });
  Class.prototype.proxyName = proxyName;
  for (const key of attributes) defineAttribute(Class.prototype, key);
  Object.assign(Class.prototype, methods);
  for (const [key, get] of Object.entries(derived)) {
    Object.defineProperty(Class.prototype, key, { configurable: true, get });
  }
  return Class;
}

/** The string under which an id is kept. */
export function keyOf(id) {
  if (id == null) return '';
  return typeof id === 'string' ? id : id._serialized || id.toString();
}

export class Collection extends EventEmitter {
  #byKey = new Map();

  get length() {
    return this.#byKey.size;
  }

  get(id) {
    return this.#byKey.get(keyOf(id instanceof Model ? id.id : id));
  }

  assertGet(id) {
    const model = this.get(id);
    if (!model) throw new Error(`${keyOf(id)} is not in this collection`);
    return model;
  }

  add(items, options) {
    return [].concat(items).map((item) => this.#addOne(item, options || {}));
  }

  #addOne(item, options) {
    const model = item instanceof Model ? item : new (this.modelClass || Model)(item);
    const existing = this.get(model);
    if (existing) return existing;
    this.#byKey.set(keyOf(model.id), model);
    model.collections.add(this);
    if (!options.silent) this.trigger('add', model, this, options);
    return model;
  }

  remove(id) {
    const model = this.get(id);
    if (!model) return undefined;
    this.#byKey.delete(keyOf(model.id));
    model.collections.delete(this);
    this.trigger('remove', model, this);
    return model;
  }

  reset() {
    this.#byKey.clear();
    this.trigger('reset');
  }

  async find(id) {
    return this.get(id);
  }

  getModelsArray() {
    return [...this.#byKey.values()];
  }

  get models() {
    return this.getModelsArray();
  }

  get _models() {
    return this.getModelsArray();
  }

  toArray() {
    return this.getModelsArray();
  }

  map(callback) {
    return this.getModelsArray().map(callback);
  }

  filter(callback) {
    return this.getModelsArray().filter(callback);
  }

  forEach(callback) {
    this.getModelsArray().forEach(callback);
  }

  some(callback) {
    return this.getModelsArray().some(callback);
  }

  findFirst(callback) {
    return this.getModelsArray().find(callback);
  }

  last() {
    return this.getModelsArray().at(-1);
  }
}

/** Make a collection class for a model class, with extra methods. */
export function defineCollection(modelClass, methods = {}) {
  const Class = class extends Collection {};
  Class.prototype.modelClass = modelClass;
  Class.model = modelClass;
  Object.assign(Class.prototype, methods);
  return Class;
}
