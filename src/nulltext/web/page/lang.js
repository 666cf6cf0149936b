// The language of the page: one file each, the reader's own choice first.

import de from "./lang/de.js";
import en from "./lang/en.js";

export const languages = { en, de };

const kept = () => {
  try {
    return localStorage.getItem("nulltext-language");
  } catch {
    return null; // a browser may keep nothing
  }
};
const first = kept() || navigator.language.slice(0, 2);
let words = languages[first] || en;
document.documentElement.lang = words === de ? "de" : "en";

// A sentence with its blanks filled in: t("left", {seconds: 3}).
export function t(name, blanks = {}) {
  const said = words[name] ?? en[name] ?? name;
  return said.replace(/\{(\w+)\}/g, (_, blank) => blanks[blank] ?? "");
}

export const language = () => (words === de ? "de" : "en");

export function speak(code) {
  words = languages[code] || en;
  document.documentElement.lang = code;
  try {
    localStorage.setItem("nulltext-language", code);
  } catch {
    // it then holds for this visit
  }
}
