// What a person can do: each asks the server and brings the page up to date.

import * as api from "./api.js";
import { begin, bodyOf, fresh, isEmpty, restored } from "./draft.js";
import { t } from "./lang.js";
import * as masks from "./mask.js";
import { recall } from "./remember.js";
import { childrenOf, inversionOf, lineOf, nodeOf, photographOf, state, update } from "./store.js";

const JOB = "nulltext-job";
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const fail = (error, about = "") => update({ error: about + (sentence(error.message ?? "") || t("offline")), job: null });

// The job that this tab waits for, also after it is loaded again; null for none.
function keep(job) {
  try {
    sessionStorage.setItem(JOB, JSON.stringify(job));
  } catch {
    // a browser may keep nothing
  }
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(JOB) ?? "null");
  } catch {
    return null;
  }
}

export async function start() {
  try {
    const [models, methods, limits, samples, nodes] = await Promise.all(
      ["models", "methods", "limits", "samples", "history"].map(api.get),
    );
    const inverting = { ...state.inverting, model: models[0].name, method: methods.inverters.default };
    update({ ready: true, models, methods, limits, samples, nodes, inverting });
    const asked = location.hash.slice(1);
    if (nodeOf(asked)) await select(asked);
  } catch (error) {
    update({ ready: true });
    fail(error);
  }
  await recall();
  const waiting = kept();
  if (!waiting) return;
  try {
    await work(waiting.id, waiting.kind, waiting.at);
  } catch (error) {
    if (error.status !== 404) return fail(error);
    keep(null); // it is long over
    update({ job: null });
  }
}

async function full(id) {
  if (!state.full[id]) {
    const node = await api.get(`history/${id}`);
    update({ full: { ...state.full, [id]: node } });
  }
  return state.full[id];
}

async function refresh() {
  update({ nodes: await api.get("history") });
}

const view = { against: null, peek: false, word: null, painting: false, error: "", notice: "" };

// Shows a node, and puts everything back that it was made with.
export async function select(id) {
  try {
    for (const node of lineOf(id)) if (node.kind !== "image") await full(node.id);
    const node = nodeOf(id);
    if (!node) return home();
    history.replaceState(null, "", `#${id}`);
    if (node.kind === "image") {
      const known = childrenOf(id).find((child) => child.kind === "inversion")?.request.prompt;
      const prompt = state.prompts[id] ?? known ?? node.facts.recipe?.prompts?.at(-1) ?? "";
      update({ ...view, current: id, draft: null, mode: "single", prompt });
      return;
    }
    const made = inversionOf(id).request;
    const inverting = {
      model: made.model, method: made.method, steps: made.steps, guidance: made.guidance,
      negative_prompt: made.negative_prompt, fit: made.fit, settings: { ...made.settings },
    };
    const mask = node.files.mask ? await masks.read(api.fileAddress(node.files.mask), node.size) : null;
    begin(node.kind === "edit" ? restored(node, mask) : fresh(node));
    update({ ...view, current: id, inverting, prompt: made.prompt, mode: state.mode });
  } catch (error) {
    fail(error);
  }
}

export function home() {
  history.replaceState(null, "", location.pathname + location.search);
  update({ ...view, current: null, draft: null });
}

// A photograph, or an inversion that was kept.
export async function open(file, prompt = "") {
  update({ error: "", notice: t("opening") });
  try {
    const { node, job } = await api.upload(file, file.name);
    if (job) return await work(job, "open");
    const prompts = prompt ? { ...state.prompts, [node.id]: prompt } : state.prompts;
    update({ nodes: [...state.nodes, node], prompts, notice: "" });
    await select(node.id);
  } catch (error) {
    update({ notice: "" });
    fail(error, `${file.name}: `);
  }
}

export async function openSample(sample) {
  try {
    const answer = await fetch(api.address(`v1/samples/${sample.name}`));
    await open(new File([await answer.blob()], sample.name, { type: "image/png" }), sample.prompt);
  } catch (error) {
    fail(error);
  }
}

async function begun(what, body, kind) {
  const { job } = await api.post(what, body);
  if (state.job) await work(job, kind);
  else await api.remove(`jobs/${job}`); // it was cancelled before it had a number
}

async function work(number, kind, at = state.current) {
  keep({ id: number, kind, at });
  update({ job: { id: number, kind, at, status: { state: "waiting", position: 0 }, preview: null }, notice: "" });
  const mine = () => state.job?.id === number;
  const status = await api.follow(
    number,
    (status) => mine() && update({ job: { ...state.job, status } }),
    (preview) => mine() && update({ job: { ...state.job, preview } }),
  );
  if (!mine()) return null;
  keep(null);
  update({ job: null });
  if (status.state === "failed") throw new Error(status.message);
  if (status.state === "cancelled") {
    update({ notice: t("cancelled") });
    return null;
  }
  await refresh();
  const { nodes } = status.result;
  if (state.current !== at) { // somebody looks at something else meanwhile
    update({ notice: t("madeElsewhere") });
    return nodes;
  }
  await select(nodes[0]);
  if (nodes.length > 1) update({ mode: "grid" });
  else if (state.mode === "grid") update({ mode: "single" });
  return status.result.nodes;
}

export async function invert() {
  const image = photographOf(state.current), how = state.inverting;
  if (!image || state.job || !state.prompt.trim()) return;
  update({ error: "", notice: "", word: null, painting: false, job: { id: null, kind: "invert", at: state.current, status: { state: "waiting", position: 0 } } });
  try {
    const body = { image: image.id, prompt: state.prompt.trim(), ...how };
    if (body.guidance === null) delete body.guidance;
    await begun("inversions", body, "invert");
  } catch (error) {
    fail(error);
  }
}

export async function edit() {
  const draft = state.draft;
  if (!draft || state.job) return;
  if (isEmpty(draft) && draft.editor === "prompt-to-prompt") return update({ error: t("nothingChanged") });
  update({ error: "", notice: "", word: null, painting: false, job: { id: null, kind: "edit", at: state.current, status: { state: "waiting", position: 0 } } });
  try {
    const body = bodyOf(draft);
    if (draft.mask && !masks.isEmpty(draft.mask)) body.mask = masks.encoded(draft.mask);
    await begun("edits", body, "edit");
  } catch (error) {
    fail(error);
  }
}

export async function cancel() {
  const job = state.job;
  if (!job) return;
  keep(null);
  update({ job: null, notice: t("cancelled") });
  try {
    if (job.id) await api.remove(`jobs/${job.id}`);
  } catch {
    // it was over already
  }
}

// From here on edits go on from the one that is shown.
export function goOn() {
  const node = nodeOf(state.current);
  if (node?.kind !== "image") begin(fresh(node));
}

// Back to the photograph, with one word of what it was said to show put right.
export async function describe(word, instead) {
  const { request, parent } = inversionOf(state.current);
  const at = request.prompt.search(new RegExp(`(?<![\\p{L}\\p{N}])${word.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")}(?![\\p{L}\\p{N}])`, "u"));
  if (at < 0) return;
  const prompt = `${request.prompt.slice(0, at)}${instead}${request.prompt.slice(at + word.length)}`;
  update({ prompts: { ...state.prompts, [parent]: prompt.replace(/\s+/g, " ").trim() } });
  await select(parent);
}

export async function startOver() {
  const inversion = inversionOf(state.current);
  if (inversion) await select(inversion.id);
}

export async function rename(id, name) {
  await changed(id, { name });
}

export async function favourite(id) {
  await changed(id, { favourite: !nodeOf(id).favourite });
}

async function changed(id, changes) {
  try {
    const node = await api.patch(`history/${id}`, changes);
    const known = state.full[id] ? { ...state.full, [id]: { ...state.full[id], name: node.name, favourite: node.favourite } } : state.full;
    update({ nodes: state.nodes.map((one) => (one.id === id ? { ...one, ...node } : one)), full: known });
  } catch (error) {
    fail(error);
  }
}

export async function forget(id) {
  const next = nodeOf(nodeOf(id).parent);
  try {
    const gone = new Set(await api.remove(`history/${id}`));
    update({ nodes: state.nodes.filter((node) => !gone.has(node.id)) });
    if (gone.has(state.current)) await (next ? select(next.id) : home());
  } catch (error) {
    fail(error);
  }
}

// Through the history with the arrow keys, in the order in which it is shown.
export async function step(by) {
  const order = ordered().map((node) => node.id), at = order.indexOf(state.current);
  const next = order[Math.min(order.length - 1, Math.max(0, at + by))];
  if (next && next !== state.current) await select(next);
}

// Every image with what was made from it, what goes on from something behind it.
export function ordered() {
  const found = [];
  const walk = (node, depth) => {
    found.push({ ...node, depth });
    for (const child of childrenOf(node.id)) walk(child, depth + 1);
  };
  const ids = new Set(state.nodes.map((node) => node.id));
  for (const node of state.nodes) if (!node.parent || !ids.has(node.parent)) walk(node, 0);
  return found;
}
