// The page: what stands where, and the keys.

import { cancel, home, open, select, start, step } from "./actions.js";
import { address } from "./api.js";
import { Dialog } from "./dialogs.js";
import { redo, undo } from "./draft.js";
import { History, NodeBar } from "./history.js";
import { IconButton } from "./icons.js";
import { language, languages, speak, t } from "./lang.js";
import { EditPanel, InvertPanel } from "./panels.js";
import { actionOf, Primary } from "./primary.js";
import { remember } from "./remember.js";
import { Start } from "./start.js";
import { nodeOf, state, update, useStore } from "./store.js";
import { html, render, useEffect, useRef } from "./vendor/htm-preact.js";
import { on, Viewer } from "./viewer.js";

function App() {
  useStore();
  useEffect(() => {
    addEventListener("keydown", keys);
    return () => removeEventListener("keydown", keys);
  }, []);
  useEffect(remember, [state.draft, state.current]);
  const node = nodeOf(state.current), editing = node && node.kind !== "image" && state.draft;
  return html`
    <${Top} />
    <main class=${node ? "works" : "begins"} ...${drops}>
      ${node
        ? html`<div class="stage"><${NodeBar} /><${Viewer} /></div>
            <aside class="panel" aria-label=${t("panel")}>
              <div class="panel-body" key=${editing ? state.draft.parent : node.id}>${editing ? html`<${EditPanel} />` : html`<${InvertPanel} key=${node.id} />`}</div>
              <${Primary} />
            </aside>`
        : html`<${Start} />`}
      <${History} />
    </main>
    <${Dialog} />
  `;
}

function Top() {
  const file = useRef();
  const chosen = (event) => {
    if (event.target.files[0]) open(event.target.files[0]);
    event.target.value = "";
  };
  const theme = () => {
    const dark = document.documentElement.dataset.theme === "dark" ||
      (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("nulltext-theme", document.documentElement.dataset.theme);
    } catch {
      // it then holds for this visit
    }
  };
  return html`
    <header class="top">
      <h1><button type="button" class="brand" onClick=${home} title=${t("home")}>nulltext</button></h1>
      <button type="button" id="open" class="small" onClick=${() => file.current.click()}>${t("open")}</button>
      <input ref=${file} id="file" class="hidden" type="file" tabindex="-1" aria-label=${t("open")} accept="image/*,.safetensors,.heic" onChange=${chosen} />
      <span class="space"></span>
      <a class="small link" href=${address("v1/docs")}>API</a>
      <select class="small" aria-label=${t("language")} value=${language()} onChange=${(event) => (speak(event.target.value), update({}))}>
        ${Object.entries(languages).map(([code, words]) => html`<option value=${code}>${words.name}</option>`)}
      </select>
      <${IconButton} icon="help" label=${t("help")} onClick=${() => update({ dialog: "help" })} />
      <${IconButton} icon="sun" label=${t("theme")} onClick=${theme} />
    </header>
  `;
}

// A file may be dropped anywhere.
const drops = {
  onDragOver: (event) => event.preventDefault(),
  onDrop: (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  },
};

const writes = (element) => element.matches("input:not([type=checkbox]):not([type=radio]), textarea, select, [role=slider]");

function keys(event) {
  const meta = event.ctrlKey || event.metaKey;
  if (meta && event.key === "Enter") {
    event.preventDefault();
    document.activeElement?.blur?.(); // what is typed counts
    if (nodeOf(state.current)) actionOf()();
  } else if (event.key === "Escape") {
    if (state.dialog) update({ dialog: null });
    else if (state.job) cancel();
    else if (state.painting || state.word) update({ painting: false, word: null });
  } else if (meta && event.key.toLowerCase() === "z" && state.draft && !event.target.matches("input[type=text], #replacement")) {
    event.preventDefault();
    (event.shiftKey ? redo : undo)();
  } else if (meta && event.key.toLowerCase() === "y" && state.draft) {
    event.preventDefault();
    redo();
  } else if (!meta && !event.altKey && ["ArrowLeft", "ArrowRight"].includes(event.key) && !writes(event.target) && !state.dialog) {
    event.preventDefault();
    step(event.key === "ArrowLeft" ? -1 : 1);
  }
}

on.choose = select;
const app = document.getElementById("app");
app.textContent = "";
render(html`<${App} />`, app);
start();
