// Forms made from what the server says of a method's settings.

import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { html, useRef } from "./vendor/htm-preact.js";

const shown = (name) => name.replaceAll("_", " ");

// `values` has only what was set; what is empty again is left to the method.
export function Form({ fields, values, onChange, without = [] }) {
  const set = (name, value) => {
    const others = { ...values };
    if (value === null || value === "") delete others[name];
    else others[name] = value;
    onChange(others);
  };
  return html`<div class="form">${fields.filter((one) => !without.includes(one.name)).map((one) => html`
    <${Field} key=${one.name} field=${one} value=${values[one.name]} set=${(value) => set(one.name, value)} />`)}</div>`;
}

function Field({ field, value, set }) {
  const { name, kind, about, choices, least, most } = field;
  const usual = field.default === null ? t("itsOwn") : String(field.default);
  const number = (event) => set(event.target.value === "" ? null : Number(event.target.value));
  return html`
    <label class="field ${kind}">
      <span>${shown(name)}</span>
      ${kind === "switch" && html`<input type="checkbox" checked=${value ?? field.default ?? false} onChange=${(event) => set(event.target.checked)} />`}
      ${kind === "choice" && html`<select value=${value ?? field.default} onChange=${(event) => set(event.target.value)}>
        ${choices.map((one) => html`<option value=${one}>${one}</option>`)}</select>`}
      ${(kind === "whole" || kind === "number") && html`<input type="number" step=${kind === "whole" ? 1 : "any"} min=${least} max=${most}
        placeholder=${usual} value=${value ?? ""} onChange=${number} />`}
      ${kind === "text" && html`<input type="text" maxlength="500" placeholder=${usual} value=${value ?? ""} onChange=${(event) => set(event.target.value)} />`}
      <small>${about}</small>
    </label>
  `;
}

// A finger that begins on it and goes on up or down moves the page: then the value stays what it was.
export function Range({ id, label, value, own, hint, onChange, min = 0, max = 1, step = 0.05 }) {
  const before = useRef(value);
  return html`
    <label class="field slider" for=${id}>
      <span>${label} <output>${value === null ? t("modelsOwn", { value: own }) : value}</output></span>
      <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value ?? own} onInput=${(event) => onChange(Number(event.target.value))}
        onPointerDown=${() => (before.current = value)} onPointerCancel=${() => onChange(before.current)} />
      ${hint && html`<small>${hint}</small>`}
    </label>
  `;
}

// Where a method draws at random: each seed has a result of its own, and the same again the same.
export function Seed({ fields, values, onChange }) {
  const field = fields.find((one) => one.name === "seed");
  if (!field) return null;
  const set = (seed) => {
    const { seed: _, ...others } = values;
    onChange(seed === null ? others : { ...others, seed });
  };
  return html`
    <div class="field">
      <label for="seed"><span>${t("seed")}</span></label>
      <div class="row seed">
        <input id="seed" type="number" step="1" min="0" placeholder=${String(field.default ?? 0)} value=${values.seed ?? ""}
          onChange=${(event) => set(event.target.value === "" ? null : Number(event.target.value))} />
        <button type="button" class="small" onClick=${() => set(1 + Math.floor(Math.random() * 9999))}><${Icon} name="dice" />${t("anotherSeed")}</button>
      </div>
      <small>${t("seedWhy")}</small>
    </div>
  `;
}
