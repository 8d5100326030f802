// Mentions, by the addresses that a group has for its members: their numbers, or their lids. Outside
// the page people go by their numbers, as far as WhatsApp Web knows them.

/** A text that names other users after its at signs; pairs of jids say who is to be who.
 * @param {string} text @param {(readonly [string, string])[]} renamed */
function wafleetRenamed(text, renamed) {
  const user = (/** @type {string} */ jid) => jid.split('@')[0];
  const users = new Map(renamed.map(([from, to]) => [user(from), user(to)]));
  return text.replace(/@(\d+)/g, (all, digits) => (users.has(digits) ? `@${users.get(digits)}` : all));
}

/** The address that a group has for somebody, undefined for who is not in it.
 * @param {Set<string>} members @param {string} jid @returns {Promise<string | undefined>} */
async function wafleetMember(members, jid) {
  const wid = WPP.whatsapp.WidFactory.createWid(jid);
  const known = () => wafleetAddresses(wid).find((one) => members.has(one));
  const address = known();
  if (address) return address;
  // WhatsApp Web need not know yet which lid a number has
  const asked = await WPP.contact.queryWidExists(jid);
  return known() ?? [asked?.wid, asked?.lid].map(String).find((one) => members.has(one));
}

/**
 * A message as its group wants it. Who is not in the group is not mentioned: the text stays as it
 * is. If WhatsApp Web does not know the members, nobody can be told apart, and nothing changes.
 * @template {{key: any, body: string, content: any}} M @param {M} message @returns {Promise<M>}
 */
async function wafleetAddressed(message) {
  const { key, body, content } = message;
  if (!content.mentions?.length || !key.remote.isGroup()) return message;
  const metadata = /** @type {any} */ (await WPP.whatsapp.GroupMetadataStore.find(key.remote));
  const participants = /** @type {any[]} */ (metadata?.participants?.getModelsArray?.() ?? []);
  const members = new Set(participants.map((one) => String(one.id)));
  if (!members.size) return message;
  /** @type {[string, string][]} */
  const renamed = [];
  for (const jid of content.mentions) {
    const address = await wafleetMember(members, jid);
    if (address) renamed.push([jid, address]);
  }
  const mentions = renamed.map(([, address]) => address);
  return { ...message, body: wafleetRenamed(body, renamed), content: { ...content, mentions } };
}
