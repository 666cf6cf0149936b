// The prompt as a tool: every word is a chip that can be replaced, removed, weighed, kept to its place and looked at.

import { post } from "./api.js";
import { canRedo, canUndo, change, chipsOf, redo, type, undo, wordsOfChip } from "./draft.js";
import { Icon, IconButton } from "./icons.js";
import { t } from "./lang.js";
import { inversionOf, state, update } from "./store.js";
import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { changed, core, pieces, tokens, withWord } from "./words.js";

// What the server has to say of a prompt, a moment after the last key.
export function useRemarks(prompt, model) {
  useEffect(() => {
    if (!prompt.trim() || !model) return update({ remarks: { unknown: [], hint: "" } });
    let left = false;
    const timer = setTimeout(async () => {
      try {
        const remarks = await post("prompts", { prompt, model });
        if (!left) update({ remarks });
      } catch {
        if (!left) update({ remarks: { unknown: [], hint: "" } }); // said when it is used
      }
    }, 200);
    return () => {
      left = true;
      clearTimeout(timer);
    };
  }, [prompt, model]);
}

// Words that the model does not know, with those that it does.
export function Remarks({ prompt, onChange }) {
  const { unknown, hint } = state.remarks;
  if (!unknown.length || unknown.at(-1).end > prompt.length) return hint ? html`<p class="remark">${hint}</p>` : null;
  return html`
    <div class="remark" role="status" id="remarks">
      <p class="marked">${pieces(prompt, unknown).map((one) => (one.unknown ? html`<mark>${one.text}</mark>` : one.text))}</p>
      ${unknown.slice(0, 4).map((one) => {
        const word = prompt.slice(one.start, one.end);
        return html`<p><${Icon} name="warn" /> ${t("unknownWord", { word })} ${one.nearest.map((near) => html`
          <button type="button" class="small" onClick=${() => onChange(prompt.slice(0, one.start) + near + prompt.slice(one.end))}>${near}</button>`)}</p>`;
      })}
    </div>
  `;
}

export const WordList = ({ model }) => {
  const words = state.models.find((one) => one.name === model)?.words;
  if (!words) return null;
  return html`<details class="quiet"><summary>${t("knownWords", { count: words.length })}</summary><p class="words">${words.join(" · ")}</p></details>`;
};

// Which characters of a prompt each of its words has.
function spans(prompt) {
  const found = [];
  let at = 0;
  for (const token of tokens(prompt)) {
    at = prompt.indexOf(token, at);
    found.push([at, (at += token.length)]);
  }
  return found;
}

export function PromptEditor() {
  const { draft } = state, model = inversionOf(draft.parent)?.request.model;
  const [open, setOpen] = useState(null), field = useRef(), words = useRef();
  const close = () => {
    const at = open;
    setOpen(null);
    requestAnimationFrame(() => document.activeElement === document.body && words.current?.children[Math.min(at, words.current.children.length - 1)]?.focus());
  };
  useRemarks(draft.text, model);
  useEffect(() => setOpen(null), [draft.parent, state.current]);
  const chips = chipsOf(draft), places = spans(draft.text);
  const unknown = (chip) => chip.to !== null && state.remarks.unknown.some((one) => {
    const [start, end] = places[chip.at] ?? [0, 0];
    return one.start < end && start < one.end;
  });
  const chosen = open !== null ? chips[open] : null;
  return html`
    <section class="prompt" aria-labelledby="prompt-title">
      <div class="heading"><h2 id="prompt-title">${t("whatShallItShow")}</h2><span class="space"></span>
        <${IconButton} icon="undo" label=${t("undo")} disabled=${!canUndo()} onClick=${undo} />
        <${IconButton} icon="redo" label=${t("redo")} disabled=${!canRedo()} onClick=${redo} /></div>
      <p class="hint">${t("clickAWord")}</p>
      <div class="chips" ref=${words} role="group" aria-label=${t("wordsOfThePrompt")}>
        ${chips.map((chip, at) => html`<${Chip} chip=${chip} key=${at} unknown=${unknown(chip)} open=${open === at}
          onClick=${() => (setOpen(open === at ? null : at), update({ word: null }))} />`)}
      </div>
      ${chosen && html`<${ChipEditor} chip=${chosen} key=${open} model=${model} close=${close} />`}
      <label class="field"><span>${t("orType")}</span>
        <textarea id="target" ref=${field} rows="2" maxlength=${state.limits?.characters ?? 500} value=${draft.text} spellcheck="false"
          onInput=${(event) => change({ text: event.target.value })} onBlur=${(event) => type(event.target.value)}></textarea>
      </label>
      <${Remarks} prompt=${draft.text} onChange=${(text) => change({ text })} />
      <${WordList} model=${model} />
    </section>
  `;
}

function Chip({ chip, unknown, open, onClick }) {
  const { draft } = state, [word] = wordsOfChip({ from: null, to: chip.to ?? chip.from });
  const weight = draft.weights[word] ?? 1, kept = wordsOfChip(chip).some((one) => draft.keep.includes(one));
  const kind = chip.to === null ? "gone" : chip.from === null ? "new" : changed(chip) ? "changed" : "";
  const said = [kind && t(`chip-${kind}`), unknown && t("notKnown"), kept && t("keptHere")].filter(Boolean).join(", ");
  return html`
    <button type="button" class="chip ${kind} ${unknown ? "unknown" : ""} ${open ? "open" : ""}" aria-expanded=${String(open)} onClick=${onClick}>
      ${chip.to !== null && chip.from !== null && changed(chip) && html`<s>${chip.from}</s>`}
      ${chip.to === null ? html`<s>${chip.from}</s>` : html`<span>${chip.to}</span>`}
      ${weight !== 1 && html`<small>×${weight}</small>`}
      ${kept && html`<${Icon} name="pin" />`}
      ${said && html`<span class="hidden">, ${said}</span>`}
    </button>
  `;
}

// One word: what it becomes, how strong it is, where it may act, and where it looks.
function ChipEditor({ chip, model, close }) {
  const { draft } = state, words = wordsOfChip(chip), word = core(chip.to ?? chip.from), input = useRef(), box = useRef();
  const known = state.models.find((one) => one.name === model)?.words ?? [];
  const [replacement, setReplacement] = useState(chip.to ?? "");
  useEffect(() => {
    box.current.scrollIntoView({ block: "nearest" });
    input.current.focus({ preventScroll: true });
    input.current.select();
  }, []);
  const replace = (text) => (change({ text: withWord(draft.text, chip, text) }), close());
  const submit = (event) => {
    event.preventDefault();
    replace(replacement.trim());
  };
  const kept = words.some((one) => draft.keep.includes(one));
  const keep = () => change({ keep: kept ? draft.keep.filter((one) => !words.includes(one)) : [...new Set([...draft.keep, ...words])] });
  const weigh = (event) => change({ weights: { ...draft.weights, [word]: Number(event.target.value) } });
  const seen = attended(chip);
  const weight = draft.weights[word] ?? 1;
  return html`
    <div class="chip-editor" ref=${box} role="group" aria-label=${t("theWord", { word: chip.to ?? chip.from })}
      onKeyDown=${(event) => event.key === "Escape" && (event.stopPropagation(), close())}>
      <form onSubmit=${submit}>
        <label class="field"><span>${t("replaceBy", { word: chip.from ?? chip.to })}</span>
          <input id="replacement" ref=${input} list="known-words" autocomplete="off" spellcheck="false" maxlength="64" value=${replacement}
            onInput=${(event) => setReplacement(event.target.value)} /></label>
        <datalist id="known-words">${known.map((one) => html`<option value=${one} />`)}</datalist>
        <button type="submit" class="small strong">${t("replace")}</button>
      </form>
      <div class="row">
        ${chip.to !== null && html`<button type="button" class="small" onClick=${() => replace("")}>${t("remove")}</button>`}
        ${chip.from !== null && changed(chip) && html`<button type="button" class="small" onClick=${() => replace(chip.from)}>${t("putBack")}</button>`}
        <button type="button" class="small" aria-pressed=${String(kept)} onClick=${keep}><${Icon} name="pin" />${t("keepHere")}</button>
        ${seen && html`<button type="button" class="small" aria-pressed=${String(state.word === seen)}
          onClick=${() => update({ word: state.word === seen ? null : seen })}><${Icon} name="eye" />${t("showWhere")}</button>`}
      </div>
      ${chip.to !== null && html`<label class="field slider"><span>${t("strength")} <output>×${weight}</output></span>
        <input type="range" min="-2" max="6" step="0.25" value=${weight} onChange=${weigh} onPointerCancel=${(event) => (event.target.value = weight)} /></label>`}
    </div>
  `;
}

// The word of the source prompt that a chip stands for, as the maps have it; null if there is no map.
export function attended(chip) {
  const maps = inversionOf(state.current)?.facts.maps?.words ?? {}, word = chip.from && core(chip.from);
  return (word && Object.keys(maps).find((one) => one.toLowerCase() === word)) || null;
}

