// Where the image may change: painted, taken from a word, or from a file.

import { change, chipsOf } from "./draft.js";
import { Icon, IconButton } from "./icons.js";
import { t } from "./lang.js";
import * as masks from "./mask.js";
import { attended } from "./prompt.js";
import { inversionOf, state, update } from "./store.js";
import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { changed } from "./words.js";

const LEAST = 0.35; // a word's place is where it looks at least so much as where it looks most

const brush = (changes) => update({ brush: { ...state.brush, ...changes } });

export function MaskTools() {
  const { draft, painting } = state, { mask } = draft, size = inversionOf(state.current).size;
  const set = (canvas) => change({ mask: canvas && masks.isEmpty(canvas) ? null : canvas });
  const load = async (event) => {
    try {
      if (event.target.files[0]) set(await masks.read(event.target.files[0], size));
    } catch {
      update({ error: t("noImage") });
    }
    event.target.value = "";
  };
  const words = [...new Set(chipsOf(draft).map((chip) => attended(chip)).filter(Boolean))];
  const first = chipsOf(draft).filter(changed).map(attended).find(Boolean);
  const fromWord = (word) => word && set(masks.attention(inversionOf(state.current), word, LEAST));
  const box = useRef();
  useEffect(() => {
    if (painting) box.current.scrollIntoView({ block: "nearest" });
  }, [painting]);
  const erase = (on) => brush({ erase: on });
  return html`
    <section class="mask" ref=${box} aria-labelledby="mask-title">
      <h3 id="mask-title">${t("where")}</h3>
      <div class="row">
        <button type="button" id="paint" class="small" aria-pressed=${String(painting)} onClick=${() => update({ painting: !painting, word: null, mode: painting ? state.mode : "single" })}>
          <${Icon} name="brush" />${t(painting ? "paintDone" : "paint")}</button>
        ${words.length > 0 && html`<select class="small" aria-label=${t("fromWord")} value="" onChange=${(event) => (fromWord(event.target.value), (event.target.value = ""))}>
          <option value="">${t("fromWord")}</option>
          ${words.map((word) => html`<option value=${word}>${word}${word === first ? " ✓" : ""}</option>`)}</select>`}
        <label class="small file"><input type="file" accept="image/*" class="hidden" onChange=${load} /><${Icon} name="open" />${t("fromFile")}</label>
      </div>
      ${painting && html`
        <div class="row tools" role="toolbar" aria-label=${t("brush")}>
          <${IconButton} icon="brush" label=${t("brush")} pressed=${!state.brush.erase} onClick=${() => erase(false)} />
          <${IconButton} icon="eraser" label=${t("eraser")} pressed=${state.brush.erase} onClick=${() => erase(true)} />
          <label class="mini">${t("size")} <input type="range" min="4" max="200" value=${state.brush.size} onInput=${(event) => brush({ size: Number(event.target.value) })} /></label>
          <label class="mini">${t("feather")} <input type="range" min="0" max="60" value=${state.brush.feather} onInput=${(event) => brush({ feather: Number(event.target.value) })} /></label>
        </div>`}
      ${(mask || painting) && html`
        <div class="row">
          ${mask && !painting && html`<button type="button" id="show-mask" class="small" aria-pressed=${String(state.showMask)} onClick=${() => update({ showMask: !state.showMask, word: null })}>
            <${Icon} name="eye" />${t("showMask")}</button>`}
          <button type="button" class="small" onClick=${() => set(masks.inverted(mask ?? masks.blank(size)))}><${Icon} name="invert" />${t("invertMask")}</button>
          ${mask && html`<button type="button" class="small" onClick=${() => set(null)}><${Icon} name="clear" />${t("clearMask")}</button>`}
        </div>`}
      <p class="hint" id="mask-share">${mask ? t("maskShare", { percent: Math.max(1, Math.round(100 * masks.share(mask))) }) : t(draft.keep.length ? "maskWords" : "maskNone")}</p>
    </section>
  `;
}
