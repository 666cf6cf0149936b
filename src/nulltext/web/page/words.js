// Prompts as words: cut, compared with another prompt, and put together again.

const WEIGHTED = /\(([^()[\]:]+):\s*(-?\d*\.?\d+)\s*\)/g;

export const core = (token) => token.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "").toLowerCase();
export const tokens = (prompt) => prompt.split(/\s+/).filter(Boolean);

// (word:1.3) as the web UIs write it: the plain words, and the weights that were meant.
export function readWeights(prompt) {
  const weights = {};
  const text = prompt.replace(WEIGHTED, (_, words, weight) => {
    for (const word of tokens(words)) if (core(word)) weights[core(word)] = Math.min(10, Math.max(-4, Number(weight)));
    return words.trim();
  });
  return { text, weights };
}

// The longest common run of words, as pairs of places.
function common(old, now) {
  const rows = old.length + 1, columns = now.length + 1;
  const length = Array.from({ length: rows }, () => new Array(columns).fill(0));
  for (let i = old.length - 1; i >= 0; i--)
    for (let j = now.length - 1; j >= 0; j--)
      length[i][j] = core(old[i]) === core(now[j]) ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
  const pairs = [];
  for (let i = 0, j = 0; i < old.length && j < now.length; )
    if (core(old[i]) === core(now[j])) pairs.push([i++, j++]);
    else if (length[i + 1][j] >= length[i][j + 1]) i++;
    else j++;
  return pairs;
}

// Chips: every word of the new prompt and every one that went, in order. `from` is the old word or null, `to` the new
// one or null, `at` its place among the new prompt's words.
export function chips(source, target) {
  const old = tokens(source), now = tokens(target), found = [];
  let i = 0, j = 0;
  for (const [a, b] of [...common(old, now), [old.length, now.length]]) {
    while (i < a && j < b) found.push({ from: old[i++], to: now[j], at: j++ });
    while (i < a) found.push({ from: old[i++], to: null, at: j });
    while (j < b) found.push({ from: null, to: now[j], at: j++ });
    if (a < old.length) found.push({ from: old[i++], to: now[j], at: j++ });
  }
  return found;
}

export const changed = (chip) => chip.from === null || chip.to === null || core(chip.from) !== core(chip.to);

// The prompt with a chip's word replaced, removed ("") or put back.
export function withWord(target, chip, word) {
  const now = tokens(target);
  now.splice(chip.at, chip.to === null ? 0 : 1, ...tokens(word));
  return now.join(" ");
}

// Where a prompt says something that is not known: pieces of text, each with what was found of it.
export function pieces(prompt, unknown) {
  const found = [];
  let at = 0;
  for (const one of unknown) {
    if (one.start > at) found.push({ text: prompt.slice(at, one.start) });
    found.push({ text: prompt.slice(one.start, one.end), unknown: one });
    at = one.end;
  }
  if (at < prompt.length) found.push({ text: prompt.slice(at) });
  return found;
}
