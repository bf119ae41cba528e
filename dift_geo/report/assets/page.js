// Photos, keypoints and matches of a model's page. The data lies in #data, see report/model.py.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = { inlier: "#1fbf8f", against: "#ffb02e", outlier: "#ff5c4d", unseen: "#9aa4b2" };
const STEPS = 65536, INLIER = 1, AGREES = 2, NO_POINT = 255, ONE_PIXEL = 50;
const NARROW = 600; // pixels, below which two photos stand above each other
const element = (id) => document.getElementById(id);
const watchers = []; // told which photo is picked
let picked = -1, shownPair = -1, shownMatches = "all";

function bytes(text) {
  const raw = atob(text), array = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) array[i] = raw.charCodeAt(i);
  return array;
}
const shorts = (text) => new Uint16Array(bytes(text).buffer);
const floats = (text) => new Float32Array(bytes(text).buffer);

const pictures = new Map();
function picture(index) {
  if (!pictures.has(index)) {
    const image = new Image(), src = data.photos[index].src;
    image.src = src || "";
    pictures.set(index, src ? image.decode().then(() => image) : Promise.resolve(null));
  }
  return pictures.get(index);
}

// A canvas as wide as its place, in the screen's own pixels, and its ratio of height to width.
function fitted(canvas, ratio) {
  const wide = canvas.clientWidth || 300, dense = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.max(1, Math.round(wide * ratio * dense));
  return canvas.getContext("2d");
}

function place(context, image, box) {
  if (image) context.drawImage(image, box.x, box.y, box.w, box.h);
  else {
    context.fillStyle = "#808890";
    context.fillRect(box.x, box.y, box.w, box.h);
  }
}

async function drawPhoto() {
  const canvas = element("photo"), photo = data.photos[picked];
  if (!photo) return;
  const index = picked, image = await picture(index);
  if (index !== picked) return; // another one was picked meanwhile
  const context = fitted(canvas, photo.h / photo.w), w = canvas.width, h = canvas.height;
  place(context, image, { x: 0, y: 0, w, h });
  if (element("keypoints").getAttribute("aria-pressed") !== "true") return;
  const xy = shorts(photo.xy), state = bytes(photo.state), radius = Math.max(1.5, w / 350);
  const layers = [["unseen", (s) => s === NO_POINT], ["inlier", (s) => s <= ONE_PIXEL],
    ["against", (s) => s > ONE_PIXEL && s !== NO_POINT]];
  for (const [name, wanted] of layers) {
    context.fillStyle = COLOURS[name];
    context.beginPath();
    for (let i = 0; i < state.length; i++) {
      if (!wanted(state[i])) continue;
      const x = xy[2 * i] / STEPS * w, y = xy[2 * i + 1] / STEPS * h;
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 7);
    }
    context.fill();
  }
}

function pickPhoto(index) {
  const count = data.photos.length;
  picked = (index + count) % count;
  const photo = data.photos[picked], states = bytes(photo.state);
  const seen = states.reduce((sum, s) => sum + (s !== NO_POINT), 0);
  element("photo-name").textContent = photo.name;
  const words = photo.pose ? `${seen} of its keypoints see a point of the model` :
    "not in the model";
  element("photo").setAttribute("aria-label", `${photo.name}: ${words}`);
  for (const button of document.querySelectorAll(".strip button")) {
    const own = Number(button.dataset.photo) === picked;
    button.setAttribute("aria-pressed", String(own));
    if (own) { // not scrollIntoView, which would move the page as well
      const strip = button.parentElement;
      strip.scrollLeft = button.offsetLeft - strip.offsetLeft - strip.clientWidth / 2 + 52;
    }
  }
  for (const tell of watchers) tell(picked);
  return drawPhoto();
}

function boxes(pair, width) {
  const [a, b] = [data.photos[pair.a], data.photos[pair.b]];
  if (width < NARROW) {
    const ha = a.h / a.w, hb = b.h / b.w;
    return { ratio: ha + hb, of: (w) => [{ x: 0, y: 0, w, h: w * ha },
      { x: 0, y: w * ha, w, h: w * hb }] };
  }
  const share = (a.w / a.h) / (a.w / a.h + b.w / b.h); // of the width, at one height
  const ratio = share * a.h / a.w;
  return { ratio, of: (w) => [{ x: 0, y: 0, w: w * share, h: w * ratio },
    { x: w * share, y: 0, w: w * (1 - share), h: w * ratio }] };
}

// kinds: bits of `state` -> what the match is drawn as; null where it is not wanted
function kindOf(state, known, wanted) {
  const inlier = Boolean(state & INLIER);
  if (wanted === "none" || (wanted === "inliers" && !inlier)) return null;
  if (wanted === "outliers" && inlier) return null;
  if (!inlier) return "outlier";
  return known && !(state & AGREES) ? "against" : "inlier";
}

async function drawPair(canvas, row, wanted, wide) {
  const pair = data.pairs[row];
  const images = await Promise.all([picture(pair.a), picture(pair.b)]);
  const layout = boxes(pair, wide ? NARROW : canvas.clientWidth);
  const context = fitted(canvas, layout.ratio), ends = layout.of(canvas.width);
  images.forEach((image, side) => place(context, image, ends[side]));
  const xy = shorts(pair.xy), state = bytes(pair.state), thick = Math.max(1, canvas.width / 900);
  for (const kind of ["outlier", "inlier", "against"]) {
    context.strokeStyle = context.fillStyle = COLOURS[kind];
    context.lineWidth = thick;
    context.globalAlpha = 0.75;
    context.setLineDash(kind === "outlier" ? [5 * thick, 4 * thick] : []);
    context.beginPath();
    for (let i = 0; i < state.length; i++) {
      if (kindOf(state[i], pair.agreement !== null, wanted) !== kind) continue;
      context.moveTo(ends[0].x + xy[4 * i] / STEPS * ends[0].w,
        ends[0].y + xy[4 * i + 1] / STEPS * ends[0].h);
      context.lineTo(ends[1].x + xy[4 * i + 2] / STEPS * ends[1].w,
        ends[1].y + xy[4 * i + 3] / STEPS * ends[1].h);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
}

function openPair(row) {
  const pair = data.pairs[row], drawn = bytes(pair.state).length;
  shownPair = row;
  element("pair-name").textContent =
    `${data.photos[pair.a].name} · ${data.photos[pair.b].name}`;
  const share = pair.agreement === null ? "" :
    ` ${Math.round(100 * pair.agreement)} % of the inliers agree with the model.`;
  const some = drawn < pair.matches ? ` ${drawn} of them are drawn.` : "";
  const words = `${pair.inliers} inliers of ${pair.matches} matches.${share}${some}`;
  element("pair-words").textContent = words;
  element("pair-canvas").setAttribute("aria-label", words);
  if (!element("pair").open) element("pair").showModal();
  return drawPair(element("pair-canvas"), row, shownMatches);
}

function showMatches(which) {
  shownMatches = which;
  for (const button of document.querySelectorAll("[data-show]")) {
    button.setAttribute("aria-pressed", String(button.dataset.show === which));
  }
  return drawPair(element("pair-canvas"), shownPair, which);
}

function whenSeen(elements, act) {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      observer.unobserve(entry.target);
      act(entry.target);
    }
  }, { rootMargin: "300px" });
  elements.forEach((one) => observer.observe(one));
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-photo], [data-pair], [data-show]");
  if (!target) return;
  if (target.dataset.show) showMatches(target.dataset.show);
  else if (target.dataset.pair) openPair(Number(target.dataset.pair));
  else {
    pickPhoto(Number(target.dataset.photo));
    if (!target.closest(".strip")) element("model-title").scrollIntoView({ behavior: "smooth" });
  }
});
element("close").addEventListener("click", () => element("pair").close());
element("keypoints").addEventListener("click", (event) => {
  const pressed = event.target.getAttribute("aria-pressed") === "true";
  event.target.setAttribute("aria-pressed", String(!pressed));
  drawPhoto();
});
let waiting = 0;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    drawPhoto();
    if (element("pair").open) drawPair(element("pair-canvas"), shownPair, shownMatches);
  }, 150);
});
whenSeen(document.querySelectorAll("[data-draw]"), (canvas) =>
  drawPair(canvas, Number(canvas.dataset.draw), "all", true));
whenSeen(document.querySelectorAll("[data-thumb]"), (image) => {
  const { src } = data.photos[Number(image.dataset.thumb)];
  if (src) image.src = src;
  else image.className = "none";
});
