// What an inversion is worth, in plain words.

import { describe } from "./actions.js";
import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { state, update } from "./store.js";
import { html } from "./vendor/htm-preact.js";

export function Verdict({ node }) {
  if (!node.facts.verdict || !node.facts.place) return null; // a record of another version
  const { grade, lines } = node.facts.verdict;
  return html`
    <section class="verdict ${grade}" aria-labelledby="verdict-title" id="verdict">
      <h2 id="verdict-title"><${Icon} name=${grade === "good" ? "check" : "warn"} /> ${t(`verdict-${grade}`)}</h2>
      <ul>${worstFirst(lines).map((line) => html`<li class=${line.grade}><div>${sentence(line, node)}</div></li>`)}</ul>
    </section>
  `;
}

const GRADES = ["poor", "fair", "good"];
const worstFirst = (lines) => [...lines].sort((one, other) => GRADES.indexOf(one.grade) - GRADES.indexOf(other.grade));
const across = ([height, width]) => `${width} × ${height}`;

function sentence(line, node) {
  const blanks = { decibels: line.decibels === null ? "∞" : line.decibels.toFixed(1), warning: node.facts.warning, fitted: across(node.facts.place.fitted), size: across(node.size) };
  if (!line.words.length) return t(`verdict-${line.about}-${line.grade}`, blanks);
  if (line.about === "agreement") return html`${t(`verdict-agreement-${line.grade}`)} <span class="row">${line.words.map((word, at) => html`<${Doubt} word=${word} instead=${line.instead[at]} />`)}</span>`;
  return html`${t(line.grade === "fair" ? "verdict-words-fair" : "verdict-words-everywhere")} <span class="row">${line.words.map((word) => html`
    <button type="button" class="small" aria-pressed=${String(state.word === word)} onClick=${() => update({ word: state.word === word ? null : word })}><${Icon} name="eye" />${word}</button>`)}</span>`;
}

// A word that CLIP would rather have otherwise: one press goes back to the description with it.
const Doubt = ({ word, instead }) => html`
  <button type="button" class="small doubt" title=${t("describeAnew")} onClick=${() => describe(word, instead)}>
    <s>${word}</s>${instead && html` → <span>${instead}</span>`}<span class="hidden">, ${t("describeAnew")}</span></button>
`;
