// What an inversion is worth, in plain words.

import { Icon } from "./icons.js";
import { t } from "./lang.js";
import { update } from "./store.js";
import { html } from "./vendor/htm-preact.js";

export function Verdict({ node }) {
  if (!node.facts.verdict || !node.facts.place) return null; // a record of another version
  const { grade, lines } = node.facts.verdict;
  return html`
    <section class="verdict ${grade}" aria-labelledby="verdict-title" id="verdict">
      <h2 id="verdict-title"><${Icon} name=${grade === "good" ? "check" : "warn"} /> ${t(`verdict-${grade}`)}</h2>
      <ul>${lines.map((line) => html`<li class=${line.grade}>${sentence(line, node)}</li>`)}</ul>
    </section>
  `;
}

const across = ([height, width]) => `${width} × ${height}`;

function sentence(line, node) {
  const blanks = { decibels: line.decibels === null ? "∞" : line.decibels.toFixed(1), warning: node.facts.warning, fitted: across(node.facts.place.fitted), size: across(node.size) };
  if (line.about !== "words" || !line.words.length) return t(`verdict-${line.about}-${line.grade}`, blanks);
  return html`${t("verdict-words-fair")} ${line.words.map((word) => html`<button type="button" class="small" onClick=${() => update({ word })}>${word}</button> `)}`;
}
