// Masks and attention maps as canvases: white where the image may change, transparent elsewhere.

const MOST = 768; // as many pixels on the longest side: finer than any edge that a model can follow
const STAMPS = 4; // so many stamps to a brush's width

// Their pixels are read again and again, which the browser wants to know at first.
function make(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d", { willReadFrequently: true });
  return canvas;
}

export function blank([height, width]) {
  const scale = Math.min(1, MOST / Math.max(height, width));
  return make(Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
}

export function copy(canvas) {
  const other = make(canvas.width, canvas.height);
  other.getContext("2d").drawImage(canvas, 0, 0);
  return other;
}

// One stroke of the brush, from one place to another, in the canvas's own pixels.
export function stroke(canvas, from, to, { size, feather, erase }) {
  const context = canvas.getContext("2d"), radius = size / 2;
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  const length = Math.hypot(to.x - from.x, to.y - from.y), steps = Math.max(1, Math.ceil((length * STAMPS) / size));
  for (let step = 0; step <= steps; step++) {
    const x = from.x + ((to.x - from.x) * step) / steps, y = from.y + ((to.y - from.y) * step) / steps;
    const edge = context.createRadialGradient(x, y, Math.max(0, radius - feather), x, y, radius + feather);
    edge.addColorStop(0, "#fff");
    edge.addColorStop(1, feather ? "#fff0" : "#fff");
    context.fillStyle = edge;
    context.beginPath();
    context.arc(x, y, radius + feather, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalCompositeOperation = "source-over";
}

export function inverted(canvas) {
  const other = make(canvas.width, canvas.height), context = other.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, other.width, other.height);
  context.globalCompositeOperation = "destination-out";
  context.drawImage(canvas, 0, 0);
  return other;
}

export function isEmpty(canvas) {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let at = 3; at < data.length; at += 4) if (data[at]) return false;
  return true;
}

// How much of the image a mask lets change, 0 to 1.
export function share(canvas) {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let at = 3; at < data.length; at += 4) sum += data[at];
  return sum / 255 / (canvas.width * canvas.height);
}

// A mask's file, white on black, as a canvas of an image's size.
export async function read(source, size) {
  const image = new Image();
  const url = typeof source === "string" ? source : URL.createObjectURL(source);
  image.src = url;
  try {
    await image.decode();
  } finally {
    if (url !== source) URL.revokeObjectURL(url);
  }
  const canvas = blank(size), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
  for (let at = 0; at < data.length; at += 4) {
    const grey = (0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]) * (data[at + 3] / 255);
    data[at] = data[at + 1] = data[at + 2] = 255;
    data[at + 3] = grey;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// As a PNG in base64, white on black, which is what the server takes.
export function encoded(canvas) {
  const flat = make(canvas.width, canvas.height), context = flat.getContext("2d");
  context.fillRect(0, 0, flat.width, flat.height);
  context.drawImage(canvas, 0, 0);
  return flat.toDataURL("image/png").split(",")[1];
}

// Where a word looks, over the whole photograph; `least` cuts off what is fainter, for a mask.
export function attention(node, word, least = null) {
  const { maps, place } = node.facts, values = maps?.words[word];
  if (!values) return null;
  const small = make(maps.columns, maps.rows), context = small.getContext("2d"), pixels = context.createImageData(maps.columns, maps.rows);
  values.forEach((value, at) => pixels.data.set([255, 255, 255, value], 4 * at));
  context.putImageData(pixels, 0, 0);
  const canvas = blank(node.size), wide = canvas.getContext("2d");
  const [height, width] = node.size, [fittedHeight, fittedWidth] = place.fitted;
  const across = maps.columns / fittedWidth, down = maps.rows / fittedHeight;
  const right = canvas.width / width, below = canvas.height / height;
  const [left, top, end, bottom] = place.content, [partLeft, partTop, partEnd, partBottom] = place.part;
  wide.imageSmoothingQuality = "high";
  wide.drawImage(
    small, left * across, top * down, (end - left) * across, (bottom - top) * down,
    partLeft * right, partTop * below, (partEnd - partLeft) * right, (partBottom - partTop) * below,
  );
  if (least !== null) {
    const all = wide.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 3; at < all.data.length; at += 4) all.data[at] = Math.min(255, Math.max(0, (all.data[at] - 255 * least) * 8));
    wide.putImageData(all, 0, 0);
  }
  return canvas;
}

// All that is not looked at, darkened.
export function spotlight(onto, canvas) {
  onto.width = canvas.width;
  onto.height = canvas.height;
  const context = onto.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, onto.width, onto.height);
  context.globalCompositeOperation = "destination-out";
  for (let time = 0; time < 2; time++) context.drawImage(canvas, 0, 0); // twice, so that faint places are seen as well
}

// Drawn in a colour into a canvas that is seen.
export function show(onto, canvas, colour) {
  onto.width = canvas.width;
  onto.height = canvas.height;
  const context = onto.getContext("2d");
  context.drawImage(canvas, 0, 0);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, onto.width, onto.height);
}
