// What stands beside the image: what it shows, or what it shall show, and how.

import { goOn, startOver } from "./actions.js";
import { change, changes, recommended, wordsOfChip } from "./draft.js";
import { Form, Range, Seed } from "./forms.js";
import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { MaskTools } from "./masktools.js";
import { ModelPicker } from "./models.js";
import { Presets } from "./presets.js";
import { PromptEditor, Remarks, useRemarks, WordList } from "./prompt.js";
import { nodeOf, state, update } from "./store.js";
import { Verdict } from "./verdict.js";
import { html } from "./vendor/htm-preact.js";

const square = (node) => node?.size[0] === node?.size[1];
const inverting = (changes) => update({ inverting: { ...state.inverting, ...changes } });

// A photograph: what is in it, and how it is inverted.
export function InvertPanel() {
  const how = state.inverting, node = nodeOf(state.current);
  useRemarks(state.prompt, how.model);
  const write = (prompt) => update({ prompt, prompts: { ...state.prompts, [node.id]: prompt } });
  const recipe = node.facts.recipe;
  return html`
    <section>
      <h2>${t("whatIsInIt")}</h2>
      <label class="field"><span>${t("describeIt")}</span>
        <textarea id="prompt" rows="3" maxlength=${state.limits?.characters ?? 500} value=${state.prompt} spellcheck="false"
          onInput=${(event) => write(event.target.value)}></textarea></label>
      <${Remarks} prompt=${state.prompt} onChange=${write} />
      <${WordList} model=${how.model} />
      <p class="hint">${t("whyInvert")}</p>
      ${recipe && html`<p class="remark"><${Icon} name="file" /> ${t("hasRecipe", { prompts: (recipe.prompts ?? []).join(" → ") })}</p>`}
    </section>
    <${InvertSettings} />
  `;
}

export function InvertSettings() {
  const how = state.inverting, table = state.methods?.inverters.methods ?? {}, method = table[how.method];
  return html`
    <section class="settings">
      <${ModelPicker} name=${how.model} onChange=${(model) => inverting({ model })} />
      <label class="field"><span>${t("method")}</span>
        <select id="method" value=${how.method} onChange=${(event) => inverting({ method: event.target.value, settings: {} })}>
          ${Object.entries(table).map(([word, one]) => html`<option value=${word}>${t(`method-${word}`) === `method-${word}` ? `${word}: ${one.summary}` : t(`method-${word}`)}</option>`)}
        </select></label>
      <${Range} id="steps" label=${t("steps")} value=${how.steps} own=${50} min=${2} max=${state.limits?.steps ?? 100} step=${1} onChange=${(steps) => inverting({ steps })} />
      <label class="field"><span>${t("negative")}</span>
        <input value=${how.negative_prompt} maxlength="500" onChange=${(event) => inverting({ negative_prompt: event.target.value })} /></label>
      ${square(nodeOf(state.current)) ? null : html`<fieldset class="choice"><legend>${t("notSquare")}</legend>
        ${["pad", "crop"].map((fit) => html`<label><input type="radio" name="fit" checked=${how.fit === fit} onChange=${() => inverting({ fit })} /> ${t(`fit-${fit}`)}</label>`)}
      </fieldset>`}
      ${method && html`<${Seed} fields=${method.fields} values=${how.settings} onChange=${(settings) => inverting({ settings })} />`}
      ${method && html`<details class="expert"><summary>${t("expert", { name: method.class })}</summary>
        <p class="hint">${method.summary}</p>
        <label class="field number"><span>guidance</span><input type="number" step="any" min="0" max="30" placeholder=${t("itsOwn")} value=${how.guidance ?? ""}
          onChange=${(event) => inverting({ guidance: event.target.value === "" ? null : Number(event.target.value) })} /></label>
        <${Form} fields=${method.fields} values=${how.settings} without=${["steps", "guidance", "negative_prompt", "seed"]} onChange=${(settings) => inverting({ settings })} />
      </details>`}
    </section>
  `;
}

// An inversion, or an edit of one.
export function EditPanel() {
  const node = nodeOf(state.current), { draft } = state, on = draft.parent === node.id && node.kind === "edit";
  return html`
    ${node.kind === "inversion" && html`<${Verdict} node=${node} />`}
    ${node.kind === "edit" && html`<section class="row">
      <button type="button" id="go-on" class="small" aria-pressed=${String(on)} onClick=${on ? () => startOver() : goOn}><${Icon} name="chain" />${t("goOn")}</button>
      <button type="button" class="small" onClick=${startOver}>${t("startOver")}</button>
    </section>`}
    <${PromptEditor} />
    <${Presets} />
    <${MaskTools} />
    <${EditSettings} />
  `;
}

function EditSettings() {
  const { draft } = state, own = recommended(draft), table = state.methods?.editors.methods ?? {}, editor = table[draft.editor];
  const plain = draft.editor === "prompt-to-prompt";
  const local = draft.keep.length > 0, words = [...new Set(changes(draft).flatMap(wordsOfChip))];
  return html`
    <section class="settings">
      ${plain && html`
        <label class="switch"><input id="local" type="checkbox" checked=${local} disabled=${!local && !words.length} onChange=${() => change({ keep: local ? [] : words })} />
          <span>${t("keepRest")}</span></label>
        <${Range} id="cross" label=${t("composition")} hint=${t("compositionWhy")} value=${draft.cross} own=${own.cross} onChange=${(cross) => change({ cross })} />
        <${Range} id="layout" label=${t("layout")} hint=${t("layoutWhy")} value=${draft.self_share} own=${own.self_share} onChange=${(self_share) => change({ self_share })} />
        <label class="field"><span>${t("variants")}</span>
          <select id="vary" value=${draft.vary} onChange=${(event) => change({ vary: event.target.value })}>
            ${["", "composition", "layout", "strength"].map((one) => html`<option value=${one}>${t(`vary-${one || "one"}`)}</option>`)}
          </select></label>`}
      ${editor && html`<${Seed} fields=${editor.fields} values=${draft.settings} onChange=${(settings) => change({ settings })} />`}
      <details class="expert"><summary>${t("expert", { name: editor?.class ?? "" })}</summary>
        <label class="field"><span>${t("editor")}</span>
          <select id="editor" value=${draft.editor} onChange=${(event) => change({ editor: event.target.value, settings: {} })}>
            ${Object.entries(table).map(([word, one]) => html`<option value=${word}>${word}: ${one.summary}</option>`)}
          </select></label>
        ${editor && html`<${Form} fields=${editor.fields} values=${draft.settings} without=${["cross_attention", "self_attention", "chain", "maps", "seed"]}
          onChange=${(settings) => change({ settings })} />`}
      </details>
    </section>
  `;
}

