// The edit that is being made up: every change of it can be undone.

import { inversionOf, nodeOf, state, update } from "./store.js";
import { changed, chips, core, readWeights } from "./words.js";

const past = [], future = [];
const MOST = 200;

export const fresh = (parent) => ({
  parent: parent.id,
  text: parent.request.prompt ?? "",
  weights: {},
  keep: [], // words to whose places the change is kept
  cross: null,
  self_share: null,
  vary: "",
  editor: "prompt-to-prompt",
  settings: {},
  mask_source: "",
  mask: null, // a canvas that never changes once it is here; white where the image may change
});

// A node's own settings, so that pressing Edit makes it again.
export function restored(node, mask) {
  const own = node.request;
  return {
    parent: node.parent, text: own.prompt ?? "", weights: { ...own.weights }, keep: [...(own.blend_words ?? [])],
    cross: own.cross, self_share: own.self_share, vary: "", editor: own.editor,
    settings: { ...own.settings }, mask_source: own.mask_source || "", mask,
  };
}

export function begin(draft) {
  past.length = future.length = 0;
  update({ draft });
}

export function change(changes) {
  past.push(state.draft);
  if (past.length > MOST) past.shift();
  future.length = 0;
  update({ draft: { ...state.draft, ...changes } });
}

export function undo() {
  if (!past.length) return;
  future.push(state.draft);
  update({ draft: past.pop() });
}

export function redo() {
  if (!future.length) return;
  past.push(state.draft);
  update({ draft: future.pop() });
}

// All that can be undone and redone, to be kept, and to go on from.
export const trail = () => ({ past: [...past], future: [...future] });

export function resume(draft, before, after) {
  past.splice(0, past.length, ...before);
  future.splice(0, future.length, ...after);
  update({ draft });
}

export const canUndo = () => past.length > 0;
export const canRedo = () => future.length > 0;

export const sourceOf = (draft) => nodeOf(draft.parent)?.request.prompt ?? "";
export const chipsOf = (draft) => chips(sourceOf(draft), draft.text);
export const changes = (draft) => chipsOf(draft).filter(changed);

// Typed text: weights in brackets are taken out of it and become weights.
export function type(text) {
  const read = readWeights(text);
  change({ text: read.text, weights: { ...state.draft.weights, ...read.weights } });
}

// Whether anything at all was asked for.
export function isEmpty(draft) {
  return !changes(draft).length && !Object.values(draft.weights).some((weight) => weight !== 1);
}

const unique = (words) => [...new Set(words.filter(Boolean))];
export const wordsOfChip = (chip) => unique([chip.from && core(chip.from), chip.to && core(chip.to)]);

// What is sent to the server; the mask comes apart, as it is a file.
export function bodyOf(draft) {
  const said = { parent: draft.parent, prompt: draft.text.trim() };
  const words = new Set([...chipsOf(draft)].flatMap(wordsOfChip));
  const own = draft.editor === "prompt-to-prompt";
  const weights = Object.fromEntries(Object.entries(draft.weights).filter(([word, weight]) => weight !== 1 && words.has(word)));
  if (own) {
    if (draft.cross !== null) said.cross = draft.cross;
    if (draft.self_share !== null) said.self_share = draft.self_share;
    if (Object.keys(weights).length) said.weights = weights;
    const keep = draft.keep.filter((word) => words.has(word));
    if (keep.length) said.blend_words = keep;
    if (draft.vary) said.vary = draft.vary;
  } else said.editor = draft.editor;
  if (Object.keys(draft.settings).length) said.settings = draft.settings;
  if (draft.mask_source && !draft.mask) said.mask_source = draft.mask_source;
  return said;
}

export const recommended = (draft) => inversionOf(draft.parent)?.facts.recommended ?? { cross: 0.8, self_share: 0.4 };
