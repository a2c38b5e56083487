// What the page asks of its server: JSON, and one line of text when something is wrong.

export async function get(path) {
  return answer(await fetch(path, { cache: "no-store" }));
}

export async function post(path, body) {
  return answer(await fetch(path, { method: "POST", body: JSON.stringify(body ?? null) }));
}

async function answer(response) {
  const told = await response.json().catch(() => ({ detail: `the server said ${response.status}` }));
  if (!response.ok) throw Object.assign(new Error(told.detail), { status: response.status });
  return told;
}
