// Which model: what each takes that is not on this machine, and its download, which nobody begins but who asks for it.

import * as api from "./api.js";
import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { state, update } from "./store.js";
import { html, useEffect } from "./vendor/htm-preact.js";

const AGAIN = 700; // milliseconds between two looks at a download

const downloadOf = (name) => state.downloads[name] ?? null;
const told = (name, download) => update({ downloads: { ...state.downloads, [name]: download } });
const path = (name) => `downloads?model=${encodeURIComponent(name)}`;

async function look(name) {
  try {
    const download = await api.get(path(name));
    told(name, download);
    if (download.state === "here") update({ models: await api.get("models") });
  } catch (error) {
    told(name, { model: name, state: "unknown", message: error.message || t("offline") });
  }
}

async function start(name) {
  try {
    told(name, await api.post("downloads", { model: name }));
  } catch (error) {
    told(name, { ...downloadOf(name), state: "failed", message: error.message || t("offline") });
  }
}

async function stop(name) {
  try {
    await api.remove(path(name));
  } catch {
    // it is over, or somebody else's
  }
  await look(name);
}

export const sizeOf = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.max(1, Math.round(bytes / 1e3))} kB`);

export function ModelPicker({ name, onChange }) {
  const model = state.models.find((one) => one.name === name), away = model && !model.here;
  const running = downloadOf(name)?.state === "running";
  useEffect(() => {
    if (!away) return undefined;
    if (!downloadOf(name)) look(name);
    const timer = running && setInterval(() => look(name), AGAIN);
    return () => clearInterval(timer);
  }, [name, away, running]);
  return html`
    <div class="field">
      <label for="model"><span>${t("model")}</span></label>
      <select id="model" value=${name} onChange=${(event) => onChange(event.target.value)}>
        ${state.models.map((one) => html`<option value=${one.name}>${one.name}${one.here ? "" : ` (${t("notHere")})`}</option>`)}
      </select>
      ${model?.embedded && html`<small>${t("toyWorld")}</small>`}
      ${away && html`<${Download} name=${name} download=${downloadOf(name)} />`}
    </div>
  `;
}

function Download({ name, download }) {
  if (!download) return html`<small role="status">${t("askingHub")}</small>`;
  const { state: how, bytes, done, message } = download, share = bytes ? Math.min(1, done / bytes) : 0;
  if (how === "running") return html`
    <div class="progress" id="download">
      <div class="bar"><i style=${{ width: `${100 * share}%` }}></i><span role="status">${t("downloading", { done: sizeOf(done), bytes: sizeOf(bytes) })}</span></div>
      <button type="button" class="small" onClick=${() => stop(name)}>${t("cancel")}</button>
      <progress class="hidden" max="1" value=${share} aria-label=${t("progress")}></progress>
    </div>`;
  return html`
    ${message && html`<small role="alert" class="away" id="download-error">${message}</small>`}
    ${how === "unknown"
      ? html`<button type="button" class="small" onClick=${() => look(name)}>${t("askAgain")}</button>`
      : html`<button type="button" id="fetch" class="small strong" onClick=${() => start(name)}><${Icon} name="download" />${t("downloadIt", { bytes: sizeOf(bytes) })}</button>
          <small>${t("toFetch")}</small>`}
  `;
}
