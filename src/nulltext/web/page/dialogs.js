// What opens over the page: the same as code, and help.

import { address } from "./api.js";
import { IconButton } from "./icons.js";
import { t } from "./lang.js";
import { inversionOf, lineOf, nodeOf, photographOf, state, update } from "./store.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";

export function Dialog() {
  const box = useRef(), which = state.dialog;
  useEffect(() => {
    if (which && !box.current.open) box.current.showModal();
    if (!which && box.current.open) box.current.close();
  }, [which]);
  const close = () => update({ dialog: null });
  const outside = (event) => event.target === box.current && close();
  return html`
    <dialog ref=${box} onClose=${close} onClick=${outside} aria-labelledby="dialog-title">
      ${which && html`<div class="dialog">
        <header><h2 id="dialog-title">${t(which === "code" ? "sameAsCode" : "help")}</h2><span class="space"></span>
          <${IconButton} icon="close" label=${t("close")} onClick=${close} /></header>
        ${which === "code" ? html`<${Code} />` : html`<${Help} />`}
      </div>`}
    </dialog>
  `;
}

function Code() {
  const node = nodeOf(state.current), [tab, setTab] = useState("python"), [copied, setCopied] = useState(false);
  if (node?.kind !== "edit") return null;
  const text = { python: node.facts.python, shell: node.facts.shell, curl: curl(node) }[tab];
  const copy = async () => {
    await navigator.clipboard?.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return html`
    <div class="row tabs" role="group" aria-label=${t("sameAsCode")}>
      ${["python", "shell", "curl"].map((one) => html`<button type="button" class="small" aria-pressed=${String(tab === one)} onClick=${() => setTab(one)}>${{ python: "Python", shell: "CLI", curl: "curl" }[one]}</button>`)}
      <span class="space"></span><button type="button" class="small" onClick=${copy}>${t(copied ? "copied" : "copy")}</button>
    </div>
    <pre class="code" tabindex="0"><code>${text}</code></pre>
  `;
}

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

// The requests that this page has sent for an edit, as a script; masks lie beside it, as the Python calls them.
function curl(node) {
  const image = photographOf(node.id), inversion = inversionOf(node.id), edits = lineOf(node.id).filter((one) => one.kind === "edit");
  const start = (path, own, name, mask = "") => {
    const more = mask && ` --rawfile mask <(base64 < ${mask} | tr -d '\\n')`;
    const filter = JSON.stringify(own).replace(/^\{/, `{${name}: $${name}, ${mask && "mask: $mask, "}`);
    const made = `jq -n --arg ${name} "$${name}"${more} ${quote(filter)}`;
    return `$(wait_for "$(${made} | curl -sb cookies -c cookies "$SERVER/v1/${path}" --json @- | jq -r .job)")`;
  };
  const { size, ...how } = inversion.request;
  if (how.guidance === null) delete how.guidance;
  const said = (request) => Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null && value !== ""));
  return [
    `SERVER=${quote(address("").replace(/\/$/, ""))}`,
    `wait_for() { until curl -sb cookies "$SERVER/v1/jobs/$1" | jq -er 'select(.state == "done").result.nodes[0]'; do sleep 1; done; }`,
    `image=$(curl -sb cookies -c cookies "$SERVER/v1/images" -F image=@${quote(image?.facts.file_name ?? "image.png")} | jq -r .node.id)`,
    `parent=${start("inversions", { ...how, ...(size ? { size: size.join("x") } : {}) }, "image")}`,
    ...edits.map((one, at) => {
      const mask = one.files.mask ? (edits.length > 1 ? `mask-${at + 1}.png` : "mask.png") : "";
      return `parent=${start("edits", said(one.request), "parent", mask)}`;
    }),
    `curl -sb cookies "$SERVER/v1/files/$parent.png" -o edited.png`,
  ].join("\n");
}

const KEYS = ["Ctrl ↵", "Esc", "Ctrl Z", "Ctrl ⇧ Z", "← →"];

function Help() {
  return html`
    <div class="help">
      <ol>${[1, 2, 3, 4, 5].map((step) => html`<li>${t(`help-${step}`)}</li>`)}</ol>
      <h3>${t("keys")}</h3>
      <dl>${KEYS.map((key, at) => html`<div><dt><kbd>${key}</kbd></dt><dd>${t(`key-${at + 1}`)}</dd></div>`)}</dl>
      <p>${t("privacy")}</p>
    </div>
  `;
}
