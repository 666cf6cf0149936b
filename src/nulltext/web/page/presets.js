// Settings by kind of change: the winners of a sweep over held-out scenes, `nulltext bench presets --limit 6 --steps 10`.

import { change, changes, recommended, wordsOfChip } from "./draft.js";
import { t } from "./lang.js";
import { state } from "./store.js";
import { html } from "./vendor/htm-preact.js";

// The first two are shares of the steps; null is what the model recommends.
const PRESETS = {
  colour: { cross: null, self_share: null, local: true },
  material: { cross: 0.8, self_share: 0.2, local: true },
  thing: { cross: 0.8, self_share: 0.4, local: true },
  place: { cross: 0.8, self_share: 0.6, local: false },
  weather: { cross: 0.4, self_share: 0.8, local: false },
  style: { cross: 0.4, self_share: 0.6, local: false },
};

const share = (value, own) => `${Math.round(100 * (value ?? own))} %`;

function why({ cross, self_share, local }, draft) {
  const own = recommended(draft), where = local ? "local" : draft.mask ? "masked" : "everywhere";
  return t(`preset-${where}`, { composition: share(cross, own.cross), layout: share(self_share, own.self_share) });
}

// Which one a draft has, whether it was pressed or comes from an edit that was made with it.
function chosen(draft) {
  const own = recommended(draft), whole = ({ cross, self_share }) => `${cross ?? own.cross} ${self_share ?? own.self_share}`;
  return Object.keys(PRESETS).find((name) => whole(PRESETS[name]) === whole(draft) && PRESETS[name].local === draft.keep.length > 0);
}

export function Presets() {
  const { draft } = state;
  if (draft.editor !== "prompt-to-prompt") return null;
  const own = chosen(draft), words = [...new Set(changes(draft).flatMap(wordsOfChip))];
  const take = (name, { cross, self_share, local }) => change({ cross, self_share, keep: local ? words : [] });
  return html`
    <section aria-labelledby="presets-title"><h3 id="presets-title">${t("kindOfChange")}</h3>
      <div class="row">${Object.entries(PRESETS).map(([name, preset]) => html`
        <button type="button" class="small" id=${`preset-${name}`} aria-pressed=${String(own === name)} title=${why(preset, draft)} onClick=${() => take(name, preset)}>${t(`preset-${name}`)}</button>`)}
      </div>
      ${own && html`<p class="hint">${why(PRESETS[own], draft)}</p>`}
    </section>
  `;
}
