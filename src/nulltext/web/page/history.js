// What was made, as a strip of pictures: each photograph with its inversions, their edits, and what went on from those.

import { favourite, forget, ordered, rename, select } from "./actions.js";
import { address, fileAddress } from "./api.js";
import { Icon, IconButton } from "./icons.js";
import { t } from "./lang.js";
import { lineOf, nodeOf, state, update } from "./store.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { captionOf, nameOf } from "./viewer.js";

export function History() {
  const strip = useRef();
  useEffect(() => {
    strip.current?.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [state.current, state.nodes.length]);
  const nodes = ordered();
  if (!nodes.length) return null;
  const line = new Set(lineOf(state.current).map((node) => node.id));
  return html`
    <nav class="history" aria-label=${t("history")}>
      <ul ref=${strip}>
        ${nodes.map((node) => html`
          <li key=${node.id} class="node ${node.kind} depth-${Math.min(4, node.depth)} ${line.has(node.id) ? "line" : ""}">
            <button type="button" aria-current=${String(node.id === state.current)} title=${node.name} onClick=${() => select(node.id)}>
              <img src=${fileAddress(node.files.thumb)} alt="" loading="lazy" />
              <span class="caption">${captionOf(node)}</span><span class="hidden">${t(`aria-${node.kind}`, { name: node.name })}</span>
              ${node.favourite && html`<span class="mark"><${Icon} name="star" /></span>`}
            </button>
          </li>
        `)}
      </ul>
    </nav>
  `;
}

// What can be done with the one that is shown.
export function NodeBar() {
  const node = nodeOf(state.current);
  const [naming, setNaming] = useState(false), [sure, setSure] = useState(false), field = useRef();
  useEffect(() => (setNaming(false), setSure(false)), [state.current]);
  useLayoutEffect(() => {
    field.current?.focus(); // before the next key
    field.current?.select();
  }, [naming]);
  if (!node) return null;
  const save = (event) => {
    event.preventDefault();
    rename(node.id, event.target.elements.name.value.trim() || node.name);
    setNaming(false);
  };
  return html`
    <div class="node-bar" onKeyDown=${(event) => sure && event.key === "Escape" && (event.stopPropagation(), setSure(false))}>
      ${naming
        ? html`<form onSubmit=${save}><input name="name" maxlength="200" aria-label=${t("newName")} value=${node.name}
            ref=${field} onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), setNaming(false))} />
            <button type="submit" class="small">${t("save")}</button></form>`
        : html`<button type="button" class="name" title=${t("rename")} onClick=${() => setNaming(true)}>
            <b>${node.kind === "edit" ? t("edit") : nameOf(node)}</b><span>${node.name}</span></button>`}
      <span class="space"></span>
      <${IconButton} icon="star" class="star" label=${t("favourite")} pressed=${node.favourite} onClick=${() => favourite(node.id)} />
      <${Downloads} node=${node} />
      ${node.kind === "edit" && html`<${IconButton} icon="code" label=${t("sameAsCode")} onClick=${() => update({ dialog: "code" })} />`}
      ${sure
        ? html`<button type="button" class="small danger" onClick=${() => forget(node.id)}>${t("deleteSure")}</button>
            <${IconButton} icon="close" label=${t("keep")} onClick=${() => setSure(false)} />`
        : html`<${IconButton} icon="clear" label=${t("delete")} onClick=${() => setSure(true)} />`}
    </div>
  `;
}

function Downloads({ node }) {
  const stem = (node.name || node.kind).replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40);
  const [inversion] = lineOf(node.id).filter((one) => one.kind === "inversion");
  const edits = lineOf(node.id).filter((one) => one.kind === "edit"); // their masks are called as the code calls them
  const files = [
    node.files.png && [node.files.png, `${stem}.png`, t("theImage")],
    node.files.original && [node.files.original, node.facts.file_name, t("theImage")],
    inversion && [inversion.files.safetensors, `${stem}.safetensors`, t("theInversion")],
    ...edits.map((one, at) => one.files.mask && [one.files.mask, edits.length > 1 ? `mask-${at + 1}.png` : "mask.png", t("theMask")]),
  ].filter(Boolean);
  const menu = useRef(), close = () => menu.current.removeAttribute("open");
  useEffect(() => {
    const elsewhere = (event) => menu.current?.open && !menu.current.contains(event.target) && close();
    addEventListener("pointerdown", elsewhere, true);
    return () => removeEventListener("pointerdown", elsewhere, true);
  }, []);
  const leave = (event) => {
    if (event.key !== "Escape" || !menu.current.open) return;
    event.stopPropagation();
    close();
    menu.current.querySelector("summary").focus();
  };
  return html`
    <details class="menu" ref=${menu} onKeyDown=${leave}>
      <summary class="icon-button" aria-label=${t("download")} title=${t("download")}><${Icon} name="download" /></summary>
      <ul>
        ${files.map(([number, name, words]) => html`<li><a href=${fileAddress(number)} download=${name} onClick=${close}>${words}</a></li>`)}
        ${node.kind !== "image" && html`<li><a href=${address(`v1/history/${node.id}/archive`)} download="nulltext.zip" onClick=${close}>${t("theWhole")}</a></li>`}
      </ul>
    </details>
  `;
}
