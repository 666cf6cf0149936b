// The HTTP API as functions. Addresses are relative to this file, so that they hold below any path of a proxy.

const base = new URL("../", import.meta.url);

export const address = (path) => new URL(path, base).href;
export const fileAddress = (name) => address(`v1/files/${name}`);

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const form = body instanceof FormData;
  let answer;
  try {
    answer = await fetch(address(`v1/${path}`), {
      method,
      body: body === undefined || form ? body : JSON.stringify(body),
      headers: body === undefined || form ? {} : { "content-type": "application/json" },
    });
  } catch {
    throw new Refused("", 0); // no network, or the server is gone
  }
  const told = (answer.headers.get("content-type") || "").includes("json") ? await answer.json() : null;
  if (!answer.ok) throw new Refused(told?.detail ?? `${answer.status} ${answer.statusText}`, answer.status);
  return told;
}

export const get = (path) => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const patch = (path, body) => ask("PATCH", path, body);
export const remove = (path) => ask("DELETE", path);

export function upload(file, name = file.name) {
  const form = new FormData();
  form.append("image", file, name);
  return ask("POST", "images", form);
}

// Follows a job to its end; where a proxy does not pass events on, it is asked for instead.
export function follow(job, onStatus, onPreview) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(address(`v1/jobs/${job}/events`));
    const over = (status) => ["done", "failed", "cancelled"].includes(status.state);
    const take = (status) => {
      onStatus(status);
      if (over(status)) {
        source.close();
        resolve(status);
      }
    };
    source.addEventListener("status", (event) => take(JSON.parse(event.data)));
    source.addEventListener("preview", (event) => onPreview(event.data));
    source.onerror = async () => {
      source.close();
      try {
        for (;;) {
          const status = await get(`jobs/${job}`);
          take(status);
          if (over(status)) return;
          await new Promise((next) => setTimeout(next, 500));
        }
      } catch (error) {
        reject(error);
      }
    };
  });
}
