/**
 * What must survive a restart of the browser: keys, the linked device, and messages that were
 * handed over for sending and not yet acknowledged. Kept in IndexedDB, so a lost profile is a
 * lost login.
 */
const DATABASE = 'wawc';
const STORES = ['user', 'outgoing'];

function completed(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function open() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name));
  return completed(request);
}

class LoginStore {
  #database = null;

  async open() {
    this.#database = await open();
  }

  async read(store, key) {
    return completed(this.#database.transaction(store).objectStore(store).get(key));
  }

  async readAll(store) {
    return completed(this.#database.transaction(store).objectStore(store).getAll());
  }

  async write(store, key, value) {
    await this.#change(store, (objects) => objects.put(value, key));
  }

  async remove(store, key) {
    await this.#change(store, (objects) => objects.delete(key));
  }

  /** Forget everything, as a logout does. */
  async clear() {
    for (const store of STORES) await this.#change(store, (objects) => objects.clear());
  }

  #change(store, change) {
    return new Promise((resolve, reject) => {
      const durability = store === 'user' ? 'strict' : 'relaxed';
      const transaction = this.#database.transaction(store, 'readwrite', { durability });
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
      change(transaction.objectStore(store));
    });
  }
}

export const loginStore = new LoginStore();
