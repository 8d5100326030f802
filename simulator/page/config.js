/** What the server told this page; times are milliseconds. */
export const config = JSON.parse(document.getElementById('simulator-config').textContent);
