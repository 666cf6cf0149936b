// Icons, drawn as lines in the colour of the text beside them.

import { html } from "./vendor/htm-preact.js";

const paths = {
  open: "M4 7h6l2 2h8v10H4zM12 17v-6m-3 3 3-3 3 3",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  brush: "M9 15c-3 0-3 4-6 4 2 2 8 2 8-2zM10 14 20 4l1 1-9 11z",
  eraser: "M4 15 14 5l6 6-8 8H8zM9 10l6 6M8 19h12",
  undo: "M9 7 4 12l5 5M4 12h10a5 5 0 0 1 0 10h-2",
  redo: "M15 7l5 5-5 5M20 12H10a5 5 0 0 0 0 10h2",
  invert: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  clear: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  star: "M12 3l2.7 5.8 6.3.8-4.6 4.4 1.2 6.3L12 17.2 6.4 20.3l1.2-6.3L3 9.6l6.3-.8z",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7S2 12 2 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  pin: "M12 21s7-6 7-11a7 7 0 0 0-14 0c0 5 7 11 7 11zM12 8a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5M14 4l-4 16",
  download: "M12 4v11m-4-4 4 4 4-4M4 20h16",
  single: "M4 5h16v14H4z",
  slider: "M4 5h16v14H4zM12 3v18M9 12H6m9 0h3",
  grid: "M3 4h8v7H3zM13 4h8v7h-8zM3 13h8v7H3zM13 13h8v7h-8z",
  side: "M3 5h8v14H3zM13 5h8v14h-8z",
  hold: "M4 5h16v14H4zM8 15l3-4 2 2 3-4",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  close: "M6 6l12 12M18 6 6 18",
  help: "M9 9a3 3 0 1 1 4 3c-1 .5-1 1-1 2m0 3h.01M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.5 1.5M17.5 17.5 19 19M5 19l1.5-1.5M17.5 6.5 19 5",
  moon: "M20 14A8 8 0 1 1 10 4a6 6 0 0 0 10 10z",
  chain: "M9 15l6-6M10 7l2-2a4 4 0 0 1 6 6l-2 2M14 17l-2 2a4 4 0 0 1-6-6l2-2",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  check: "M5 12l5 5 9-10",
  warn: "M12 3 2 20h20zM12 10v4m0 3h.01",
};

export const Icon = ({ name }) => html`
  <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${paths[name]} /></svg>
`;

export const IconButton = ({ icon, label, pressed, onClick, disabled, class: kind = "", ...rest }) => html`
  <button type="button" class="icon-button ${kind}" aria-label=${label} title=${label} disabled=${disabled}
    aria-pressed=${pressed === undefined ? undefined : String(pressed)} onClick=${onClick} ...${rest}>
    <${Icon} name=${icon} />
  </button>
`;
