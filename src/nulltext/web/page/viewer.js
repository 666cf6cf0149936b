// The image, as large as there is room, with zoom and pan, what it is compared with, and what lies over it.

import { fileAddress } from "./api.js";
import { change } from "./draft.js";
import { IconButton } from "./icons.js";
import { t } from "./lang.js";
import * as masks from "./mask.js";
import { inversionOf, nodeOf, photographOf, state, update } from "./store.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";

const MOST = 16; // so many times larger than it fits

// Of the viewer, which may not know what selecting does: it is told by who draws the page.
export const on = { choose: () => {} };

export const pictureOf = (node) => fileAddress(node.kind === "image" ? node.files.view : node.files.png);

export function nameOf(node) {
  if (!node) return "";
  if (node.kind === "image") return t("photograph");
  return node.kind === "inversion" ? t("reconstruction") : captionOf(node);
}

// Variants are told apart by what differs, all else by the words that its parent does not have.
export function captionOf(node) {
  if (node.kind === "image") return node.name;
  if (node.kind === "inversion") return unlike(node) || t("inverted");
  if (node.facts.label) return `${t(`vary-by-${node.facts.varied}`)} ${node.facts.label}`;
  const before = new Set((nodeOf(node.parent)?.request?.prompt ?? "").toLowerCase().split(/\s+/));
  const words = (node.request.prompt ?? "").split(/\s+/).filter((word) => !before.has(word.toLowerCase()));
  const own = words.slice(0, 3).join(" ") || t("edit");
  const alike = state.nodes.filter((one) => one.kind === "edit" && one.parent === node.parent && one.request.prompt === node.request.prompt && !one.facts.label);
  const at = alike.findIndex((one) => one.id === node.id);
  return at > 0 ? `${own} ${at + 1}` : own;
}

// What tells an inversion from the one of the same photograph before it: its words, else its steps or its method.
function unlike(node) {
  const all = state.nodes.filter((one) => one.kind === "inversion" && one.parent === node.parent);
  const before = all[all.findIndex((one) => one.id === node.id) - 1];
  if (!before) return "";
  const known = new Set(before.request.prompt.toLowerCase().split(/\s+/));
  const words = node.request.prompt.split(/\s+/).filter((word) => !known.has(word.toLowerCase()));
  if (words.length) return words.slice(0, 3).join(" ");
  return node.request.steps !== before.request.steps ? `${t("steps")}: ${node.request.steps}` : node.request.method === before.request.method ? "" : node.request.method;
}

// What is shown and what it stands against.
export function pair() {
  const shown = nodeOf(state.current);
  const against = shown && shown.kind !== "image" ? nodeOf(state.against) || photographOf(shown.id) : null;
  return { shown, against };
}

// How large the image is where it is fitted into a room.
function useFit(stage, size) {
  const [box, setBox] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const measure = () => {
      const room = stage.current.getBoundingClientRect(), [height, width] = size;
      const scale = Math.min(room.width / width, room.height / height);
      setBox({ width: width * scale, height: height * scale });
    };
    const watch = new ResizeObserver(measure);
    watch.observe(stage.current);
    measure();
    return () => watch.disconnect();
  }, [size[0], size[1], stage.current]);
  return box;
}

export function Viewer() {
  const { shown, against } = pair();
  const [zoom, setZoom] = useState({ scale: 1, x: 0, y: 0 });
  useEffect(() => setZoom({ scale: 1, x: 0, y: 0 }), [photographOf(state.current)?.id]);
  const free = !state.painting && !(state.job && state.job.at === state.current), two = against && state.mode === "side" && free;
  const variants = variantsOf(shown);
  if (variants.length > 1 && state.mode === "grid" && free) return html`
    <div class="viewer"><${Variants} nodes=${variants} /><${ViewBar} zoom=${zoom} setZoom=${setZoom} shown=${shown} against=${against} /></div>`;
  return html`
    <div class="viewer">
      <div class="panes ${two ? "two" : ""}">
        ${two && html`<${Pane} node=${against} zoom=${zoom} setZoom=${setZoom} label=${nameOf(against)} />`}
        <${Pane} node=${shown} against=${against} main=${true} zoom=${zoom} setZoom=${setZoom} label=${two ? nameOf(shown) : ""} />
      </div>
      <${ViewBar} zoom=${zoom} setZoom=${setZoom} shown=${shown} against=${against} />
    </div>
  `;
}

// The other strengths that were drawn together with a node, itself among them.
const variantsOf = (node) => (node.facts.group ? state.nodes.filter((one) => one.facts.group === node.facts.group) : []);

// Side by side, each with what tells it from the others; choosing one brings its settings.
const Variants = ({ nodes }) => html`
  <div class="panes four" id="variants">${nodes.map((node) => html`
    <button type="button" class="pane choice" aria-current=${String(node.id === state.current)} onClick=${() => on.choose(node.id)}>
      <img src=${pictureOf(node)} alt=${captionOf(node)} draggable=${false} /><span class="tag left">${captionOf(node)}</span></button>`)}
  </div>`;

// Zoom around a place that stays where it is, in pixels from the middle of the pane.
function zoomed(zoom, by, x = 0, y = 0) {
  const scale = Math.min(MOST, Math.max(1, zoom.scale * by));
  if (scale === 1) return { scale: 1, x: 0, y: 0 };
  const share = scale / zoom.scale;
  return { scale, x: x - (x - zoom.x) * share, y: y - (y - zoom.y) * share };
}

// The image never leaves the place that it has where it is fitted.
function within(zoom, fit) {
  const held = (at, side) => Math.min(1, Math.max(-1, at / ((side * (zoom.scale - 1)) / 2 || 1))) * ((side * (zoom.scale - 1)) / 2);
  return { scale: zoom.scale, x: held(zoom.x, fit.width), y: held(zoom.y, fit.height) };
}

const moved = (zoom, x, y) => (zoom.scale > 1 ? { ...zoom, x: zoom.x + x, y: zoom.y + y } : zoom);

function Pane({ node, against, main, zoom, setZoom, label }) {
  const stage = useRef(), fit = useFit(stage, node.size);
  const [at, setAt] = useState(50);
  const gestures = useGestures(stage, zoom, setZoom, fit, node, main);
  const preview = main && state.job?.at === state.current && state.job?.preview;
  const sliding = main && against && state.mode === "slider" && !state.painting && !preview;
  const under = main && against && state.peek ? against : node;
  const style = { width: `${fit.width}px`, height: `${fit.height}px`, transform: `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})` };
  return html`
    <div class="pane ${state.painting && main ? "paints" : ""}" ref=${stage} ...${gestures}>
      <div class="sheet" style=${style}>
        <img class="picture" id=${main ? "picture" : undefined} src=${pictureOf(under)} alt=${main ? t("imageOf", { what: nameOf(under) }) : nameOf(node)} draggable=${false} />
        ${sliding && html`<img class="picture before" src=${pictureOf(against)} alt=${nameOf(against)} draggable=${false} style=${{ clipPath: `inset(0 ${100 - at}% 0 0)` }} />`}
        ${preview && html`<img class="picture preview" src=${preview} alt=${t("preview")} draggable=${false} />`}
        ${main && !preview && html`<${Overlay} node=${node} />`}
        ${sliding && html`<${Handle} at=${at} setAt=${setAt} scale=${zoom.scale} />`}
      </div>
      ${sliding && html`<span class="tag left">${nameOf(against)}</span><span class="tag right">${nameOf(node)}</span>`}
      ${main && state.peek && against && html`<span class="tag left">${nameOf(against)}</span>`}
      ${label && !(main && state.peek) && html`<span class="tag left">${label}</span>`}
      ${preview && html`<span class="tag left">${t("preview")}</span>`}
    </div>
  `;
}

// The line between before and after; it is as wide on the screen whatever the zoom.
function Handle({ at, setAt, scale }) {
  const move = (event) => {
    const box = event.currentTarget.parentElement.getBoundingClientRect();
    setAt(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  };
  const keys = (event) => {
    const by = { ArrowLeft: -2, ArrowRight: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    setAt((before) => Math.min(100, Math.max(0, before + by)));
  };
  const held = (event) => event.currentTarget.hasPointerCapture(event.pointerId) && move(event);
  const hold = (event) => {
    event.stopPropagation();
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  return html`
    <div class="handle" role="slider" tabindex="0" aria-label=${t("compareAt")} aria-valuemin="0" aria-valuemax="100"
      aria-valuenow=${Math.round(at)} style=${{ left: `${at}%`, transform: `translateX(-50%) scaleX(${1 / scale})` }}
      onPointerDown=${hold} onPointerMove=${held} onKeyDown=${keys}><i></i></div>
  `;
}

// The mask, and where a word looks.
function Overlay({ node }) {
  const canvas = useRef(), mask = state.draft?.mask, word = state.word, inversion = inversionOf(node.id);
  const map = word && inversion ? masks.attention(inversion, word) : null;
  useLayoutEffect(() => {
    const colour = getComputedStyle(canvas.current).color;
    if (map) masks.spotlight(canvas.current, map);
    else if (mask && (state.painting || state.showMask)) masks.show(canvas.current, mask, colour);
    else canvas.current.width = canvas.current.height = 1;
  });
  return html`<canvas id="overlay" class="overlay ${map ? "map" : ""}" ref=${canvas} aria-hidden="true"></canvas>`;
}

// Wheel, fingers and mouse: they zoom and move the image, or paint.
function useGestures(stage, zoom, setZoom, fit, node, main) {
  const held = useRef(new Map()), line = useRef(null), pinch = useRef(null);
  const live = useRef();
  live.current = { zoom, fit };
  const go = (change) => setZoom((now) => within(change(now), live.current.fit));
  // The middle between two fingers, from the middle of the pane, and how far they are apart.
  const spread = () => {
    const [one, other] = [...held.current.values()], box = stage.current.getBoundingClientRect();
    const x = (one.clientX + other.clientX) / 2 - box.left - box.width / 2, y = (one.clientY + other.clientY) / 2 - box.top - box.height / 2;
    return { x, y, far: Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY)) };
  };
  useEffect(() => {
    const wheel = (event) => {
      event.preventDefault();
      const box = stage.current.getBoundingClientRect();
      const x = event.clientX - box.left - box.width / 2, y = event.clientY - box.top - box.height / 2;
      go((now) => zoomed(now, Math.exp(-event.deltaY / 400), x, y));
    };
    const element = stage.current;
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);
  const place = (event, canvas) => {
    const box = stage.current.querySelector(".sheet").getBoundingClientRect();
    const scale = canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
  };
  const paint = (event) => {
    const now = place(event, line.current.canvas), { brush } = state;
    const scale = now.scale * parseFloat(getComputedStyle(document.documentElement).fontSize) / 16; // as large as all else is
    const own = { ...brush, size: brush.size * scale, feather: brush.feather * scale };
    masks.stroke(line.current.canvas, line.current.last ?? now, now, own);
    line.current.last = now;
    const overlay = stage.current.querySelector("#overlay");
    masks.show(overlay, line.current.canvas, getComputedStyle(overlay).color);
  };
  return {
    onPointerDown: (event) => {
      if (event.target.closest(".handle")) return;
      stage.current.setPointerCapture(event.pointerId);
      held.current.set(event.pointerId, event);
      if (state.painting && main && held.current.size === 1 && event.button === 0) {
        line.current = { canvas: state.draft.mask ? masks.copy(state.draft.mask) : masks.blank(node.size) };
        paint(event);
      } else line.current = null; // a second finger: they zoom
      pinch.current = held.current.size === 2 ? { zoom: live.current.zoom, from: spread() } : null;
    },
    onPointerMove: (event) => {
      const before = held.current.get(event.pointerId);
      if (!before) return;
      held.current.set(event.pointerId, event);
      if (line.current) return paint(event);
      if (pinch.current) {
        // From where it began, not from event to event: the fingers' events come one after the other.
        const { zoom: first, from } = pinch.current, to = spread();
        go(() => zoomed({ ...first, x: first.x + to.x - from.x, y: first.y + to.y - from.y }, to.far / from.far, to.x, to.y));
      } else if (held.current.size === 1) go((now) => moved(now, event.clientX - before.clientX, event.clientY - before.clientY));
    },
    onPointerUp: (event) => {
      held.current.delete(event.pointerId);
      pinch.current = null;
      if (!line.current) return;
      const { canvas } = line.current;
      line.current = null;
      change({ mask: canvas });
    },
    onPointerCancel: (event) => {
      held.current.delete(event.pointerId);
      line.current = pinch.current = null;
    },
    onDblClick: () => !state.painting && go((now) => (now.scale > 1 ? { scale: 1, x: 0, y: 0 } : zoomed(now, 2.5))),
  };
}

function ViewBar({ zoom, setZoom, shown, against }) {
  const peek = (on) => () => update({ peek: on });
  const key = (on) => (event) => (event.key === " " || event.key === "Enter") && (event.preventDefault(), update({ peek: on }));
  const mode = (name) => () => update({ mode: name, peek: false });
  const others = shown.kind === "image" ? [] : choices(shown);
  return html`
    <div class="view-bar" role="toolbar" aria-label=${t("view")}>
      ${against && html`
        <${IconButton} icon="single" label=${t("modeSingle")} pressed=${state.mode === "single"} onClick=${mode("single")} />
        <${IconButton} icon="slider" label=${t("modeSlider")} pressed=${state.mode === "slider"} onClick=${mode("slider")} />
        <${IconButton} icon="side" label=${t("modeSide")} pressed=${state.mode === "side"} onClick=${mode("side")} />
        ${variantsOf(shown).length > 1 && html`<${IconButton} icon="grid" label=${t("modeGrid")} pressed=${state.mode === "grid"} onClick=${mode("grid")} />`}
        <${IconButton} icon="hold" label=${t("holdToCompare")} pressed=${state.peek} onPointerDown=${peek(true)} onPointerUp=${peek(false)}
          onPointerLeave=${peek(false)} onKeyDown=${key(true)} onKeyUp=${key(false)} />
        <label class="against"><span>${t("against")}</span>
          <select value=${against.id} aria-label=${t("against")} onChange=${(event) => update({ against: event.target.value })}>
            ${others.map((node) => html`<option value=${node.id}>${nameOf(node)}</option>`)}
          </select>
        </label>
      `}
      <span class="space"></span>
      <${IconButton} icon="minus" label=${t("zoomOut")} disabled=${zoom.scale <= 1} onClick=${() => setZoom((now) => zoomed(now, 1 / 1.5))} />
      <output class="zoom" aria-label=${t("zoom")}>${Math.round(zoom.scale * 100)} %</output>
      <${IconButton} icon="plus" label=${t("zoomIn")} onClick=${() => setZoom((now) => zoomed(now, 1.5))} />
      <${IconButton} icon="fit" label=${t("zoomFit")} disabled=${zoom.scale <= 1} onClick=${() => setZoom({ scale: 1, x: 0, y: 0 })} />
    </div>
  `;
}

// Everything of the same photograph that something can be compared with.
function choices(shown) {
  const photograph = photographOf(shown.id);
  const same = state.nodes.filter((node) => node.id !== shown.id && photographOf(node.id)?.id === photograph?.id);
  return same.sort((a, b) => a.created - b.created);
}
