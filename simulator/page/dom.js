/** The little that a person (or a DOM reader) sees: the code while unpaired, then the chats. */
import { Cmd, Conn, keys, Socket } from './state.js';
import { ChatStore } from './stores.js';

const CELLS = 33;
const CELL = 8;

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Draw a pattern that depends on the text; it looks like a code but is not one. */
function draw(canvas, text) {
  canvas.width = canvas.height = CELLS * CELL;
  const context = canvas.getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = '#111b21';
  let seed = 7;
  for (let cell = 0; cell < CELLS * CELLS; cell++) {
    seed = (seed * 31 + text.charCodeAt(cell % text.length) + cell) % 65521;
    if (seed % 2)
      context.fillRect((cell % CELLS) * CELL, Math.floor(cell / CELLS) * CELL, CELL, CELL);
  }
}

function landing() {
  const wrapper = element('div', { class: 'landing-wrapper' });
  if (Conn.ref) {
    const code = [Conn.ref, keys.noise, keys.identity, keys.adv].join(',');
    const canvas = element('canvas', { 'aria-label': 'Scan this QR code to link a device!' });
    draw(canvas, code);
    wrapper.append('Link with your phone', element('div', { 'data-ref': code }, canvas));
  } else if (Socket.state === 'UNPAIRED_IDLE') {
    const button = element('button', {}, 'Click to reload QR code');
    button.addEventListener('click', () => Cmd.refreshQR());
    wrapper.append(button);
  } else {
    wrapper.append('Loading…');
  }
  return wrapper;
}

function chatList() {
  const rows = ChatStore.map((chat) => {
    const row = element('div', { role: 'row' }, chat.name || chat.id.user);
    if (chat.unreadCount > 0)
      row.append(element('span', { class: 'badge' }, `${chat.unreadCount}`));
    return row;
  });
  const pane = element('div', { id: 'pane-side', role: 'grid' }, ...rows);
  return element('div', { id: 'side', tabindex: '-1' }, pane);
}

function render() {
  const loggedIn = !!Conn.connected;
  document.getElementById('root').replaceChildren(loggedIn ? chatList() : landing());
  const unread = ChatStore.filter((chat) => chat.unreadCount > 0).length;
  document.title = loggedIn && unread ? `(${unread}) WhatsApp` : 'WhatsApp';
}

/** Keep the page in step with the state, at most one drawing per turn of the event loop. */
export function keepDrawn() {
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    setTimeout(() => {
      due = false;
      render();
    }, 0);
  };
  Conn.on('change', soon);
  Socket.on('change:state', soon);
  ChatStore.on('add', soon);
  ChatStore.on('change:unreadCount', soon);
  render();
}
