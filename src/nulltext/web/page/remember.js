// What can be undone outlives a reload: this tab keeps it, within bounds, for the image that is shown.

import { resume, trail } from "./draft.js";
import * as masks from "./mask.js";
import { nodeOf, state } from "./store.js";

const KEY = "nulltext-undo";
const MOST = 50; // so many steps each way
const CHARACTERS = 1_500_000; // a browser takes some five million for a site
const SOON = 250;

const drawn = new WeakMap(); // a mask never changes once it is here, so it is packed once
let timer = null, ready = false;

function packed(mask) {
  if (!drawn.has(mask)) drawn.set(mask, `data:image/png;base64,${masks.encoded(mask)}`);
  return drawn.get(mask);
}

// A draft many times over mostly has the same mask: each is written once, and named by its place.
function written({ past, future }, steps) {
  const found = [];
  const plain = (draft) => {
    if (!draft.mask) return draft;
    const data = packed(draft.mask);
    if (!found.includes(data)) found.push(data);
    return { ...draft, mask: found.indexOf(data) };
  };
  const each = { past: past.slice(-steps).map(plain), future: future.slice(-steps).map(plain), draft: plain(state.draft) };
  return JSON.stringify({ current: state.current, masks: found, ...each });
}

function save() {
  clearTimeout(timer);
  timer = null;
  if (!ready) return;
  try {
    if (!state.draft) return sessionStorage.removeItem(KEY);
    for (let steps = MOST; steps >= 0; steps = steps ? steps >> 1 : -1) {
      const text = written(trail(), steps);
      if (text.length <= CHARACTERS) return sessionStorage.setItem(KEY, text);
    }
    sessionStorage.removeItem(KEY);
  } catch {
    // a browser may keep nothing, or have no room
  }
}

export function remember() {
  clearTimeout(timer);
  timer = setTimeout(save, SOON);
}

// Goes on where the tab was before it was loaded again, if it shows the same image.
export async function recall() {
  const { current } = state;
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (!kept || kept.current !== current || !state.draft) return;
    const drafts = [...kept.past, kept.draft, ...kept.future];
    if (!drafts.every((draft) => nodeOf(draft.parent))) return;
    const canvases = await Promise.all(kept.masks.map((data) => masks.read(data, nodeOf(current).size)));
    const whole = (draft) => ({ ...draft, mask: draft.mask === null ? null : canvases[draft.mask] });
    if (state.current === current) resume(whole(kept.draft), kept.past.map(whole), kept.future.map(whole));
  } catch {
    // what is kept cannot be read: then there is nothing to undo
  } finally {
    ready = true;
  }
}

addEventListener("pagehide", save);
