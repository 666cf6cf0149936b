// The page's state in one place: components read it and are drawn again when it changes.

import { useEffect, useState } from "./vendor/htm-preact.js";

export const state = {
  ready: false,
  models: [],
  downloads: {}, // of models that are not on this machine, by their names
  methods: null,
  limits: null,
  samples: [],
  nodes: [], // all that was made, oldest first
  full: {}, // nodes with all there is to know of them, by id
  current: null, // the id of what is shown
  against: null, // the id of what it is compared with; null is the photograph
  mode: "single", // single, slider or side
  peek: false, // while the other one is held in view
  word: null, // whose attention map lies over the image
  painting: false,
  showMask: false, // whether the mask lies over the image when nobody paints
  brush: { size: 40, feather: 4, erase: false },
  job: null, // {id, kind, status, preview}
  error: "",
  notice: "",
  dialog: null, // code, help, settings of the page
  prompts: {}, // what was written of images that are not inverted yet, by their ids
  prompt: "", // what the photograph shows, before it is inverted
  remarks: { unknown: [], hint: "" }, // on the prompt that is being written
  inverting: { model: "", method: "", steps: 50, guidance: null, negative_prompt: "", fit: "pad", settings: {} },
  draft: null, // the edit that is being made up, see draft.js
};

const listeners = new Set();

export function update(changes) {
  Object.assign(state, typeof changes === "function" ? changes(state) : changes);
  for (const listener of [...listeners]) listener();
}

export function useStore() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = () => redraw((count) => count + 1);
    listeners.add(listener);
    listener(); // what changed between drawing and listening
    return () => listeners.delete(listener);
  }, []);
  return state;
}

export const nodeOf = (id) => (id && (state.full[id] || state.nodes.find((node) => node.id === id))) || null;
export const childrenOf = (id) => state.nodes.filter((node) => node.parent === id);

// A node with all it goes back to, the oldest first.
export function lineOf(id) {
  const line = [];
  for (let node = nodeOf(id); node; node = nodeOf(node.parent)) line.unshift(node);
  return line;
}

export const photographOf = (id) => lineOf(id).find((node) => node.kind === "image") || null;
export const inversionOf = (id) => lineOf(id).find((node) => node.kind === "inversion") || null;
