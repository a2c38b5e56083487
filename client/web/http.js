// The token, kept in memory only, and requests that carry it.

let token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
if (token) history.replaceState(null, "", location.pathname + location.search);

export function setToken(value) {
  token = value.trim().replace(/^Bearer\s+/i, "");
}

export function request(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  return fetch(path, { ...options, headers });
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits 0.5, 1, 2, 4, 8, 8 … seconds. */
export class BackOff {
  #ms = 500;
  reset() {
    this.#ms = 500;
  }
  async wait() {
    const ms = this.#ms;
    this.#ms = Math.min(8000, 2 * ms);
    await pause(ms);
  }
}
