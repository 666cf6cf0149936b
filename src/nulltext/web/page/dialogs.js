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

// The requests that this page has sent for an edit, as a script.
function curl(node) {
  const image = photographOf(node.id), inversion = inversionOf(node.id), edits = lineOf(node.id).filter((one) => one.kind === "edit");
  const send = (path, body) => `curl -sb cookies -c cookies "$SERVER/v1/${path}" --json ${body}`;
  const lines = [
    `SERVER=${quote(address("").replace(/\/$/, ""))}`,
    `wait_for() { until curl -sb cookies "$SERVER/v1/jobs/$1" | jq -er 'select(.state == "done").result.nodes[0]'; do sleep 1; done; }`,
    `image=$(curl -sb cookies -c cookies "$SERVER/v1/images" -F image=@${quote(image?.facts.file_name ?? "image.png")} | jq -r .node.id)`,
  ];
  const { size, ...how } = inversion.request;
  const body = (own, name, shell) => `"$(jq -n --arg ${name} "$${shell}" ${quote(JSON.stringify(own).replace(/^\{/, `{${name}: $${name}, `))})"`;
  if (how.guidance === null) delete how.guidance;
  lines.push(`inversion=$(wait_for "$(${send("inversions", body({ ...how, ...(size ? { size: size.join("x") } : {}) }, "image", "image"))} | jq -r .job)")`);
  lines.push(`parent=$inversion`);
  for (const one of edits) {
    const own = Object.fromEntries(Object.entries(one.request).filter(([, value]) => value !== null && value !== ""));
    if (one.files.mask) own.mask = "(base64 of mask.png)";
    lines.push(`parent=$(wait_for "$(${send("edits", body(own, "parent", "parent"))} | jq -r .job)")`);
  }
  lines.push(`curl -sb cookies "$SERVER/v1/files/$parent.png" -o edited.png`);
  return lines.join("\n");
}

const KEYS = ["Ctrl ↵", "Esc", "Ctrl Z", "Ctrl ⇧ Z", "← →"];

function Help() {
  return html`
    <div class="help">
      <ol>${[1, 2, 3, 4].map((step) => html`<li>${t(`help-${step}`)}</li>`)}</ol>
      <h3>${t("keys")}</h3>
      <dl>${KEYS.map((key, at) => html`<div><dt><kbd>${key}</kbd></dt><dd>${t(`key-${at + 1}`)}</dd></div>`)}</dl>
      <p>${t("privacy")}</p>
    </div>
  `;
}
