// The explorer's page: points that were picked, and what each photo answered to them.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const COLOURS = ["#ffd400", "#35d0ff", "#ff7ad9", "#7dff6b", "#ff9340", "#b79cff"];
const STEP = 0.01;
const kept = [...data.kept];
let active = kept.length - 1, asking = 0;
const canvases = [...document.querySelectorAll("[data-image]")];
const crosses = data.photos.map(() => ({ x: 0.5, y: 0.5 }));
const pictures = data.photos.map(async ({ src }) => {
  const image = new Image();
  image.src = src || "";
  await image.decode().catch(() => {});
  return image;
});

function heatOf(answer) {
  const raw = atob(answer.heat), small = document.createElement("canvas");
  small.width = answer.columns;
  small.height = answer.rows;
  const context = small.getContext("2d"), pixels = context.createImageData(small.width, small.height);
  for (let i = 0; i < raw.length; i++) {
    const v = raw.charCodeAt(i) / 255; // black, red, yellow, white: brightness rises throughout
    pixels.data.set([765 * v, 765 * v - 255, 765 * v - 510, 110 + 100 * v], 4 * i);
  }
  context.putImageData(pixels, 0, 0);
  return small;
}

function ring(context, x, y, colour, filled, label) {
  const radius = Math.max(6, context.canvas.width / 90);
  for (const [style, width] of [["#000", 5], [colour, 2.5]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.stroke();
  }
  context.fillStyle = colour;
  if (filled) {
    context.beginPath();
    context.arc(x, y, radius / 2.2, 0, 7);
    context.fill();
  }
  context.font = `bold ${2 * radius}px sans-serif`;
  context.strokeStyle = "#000";
  context.lineWidth = 3;
  context.strokeText(label, x + 1.4 * radius, y);
  context.fillText(label, x + 1.4 * radius, y);
}

async function draw(index) {
  const canvas = canvases[index], photo = data.photos[index], image = await pictures[index];
  const dense = Math.min(window.devicePixelRatio || 1, 2), wide = canvas.clientWidth || 300;
  canvas.width = Math.round(wide * dense);
  canvas.height = Math.round(wide * dense * photo.h / photo.w);
  const context = canvas.getContext("2d"), { width: w, height: h } = canvas;
  if (image.naturalWidth) context.drawImage(image, 0, 0, w, h);
  const point = kept[active], words = document.querySelector(`[data-answer="${index}"]`);
  words.textContent = "";
  if (point && point.image !== index) {
    const answer = point.found[index];
    context.drawImage(heatOf(answer), 0, 0, w, h);
    words.textContent = `best place: ${answer.score.toFixed(3)}, ${answer.mutual ? "" : "not "}mutual`;
  }
  kept.forEach((one, row) => {
    const own = one.image === index, place = own ? one : one.found[index];
    ring(context, place.x * w, place.y * h, COLOURS[row % COLOURS.length],
      own || place.mutual, String(row + 1));
  });
  if (document.activeElement === canvas) {
    const { x, y } = crosses[index];
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.strokeRect(x * w - 6, y * h - 6, 12, 12);
  }
  canvas.setAttribute("aria-label", `${photo.name} ${words.textContent}`);
}

function drawAll() {
  const bar = element("points");
  bar.replaceChildren(...kept.map((one, row) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Point ${row + 1}`;
    button.setAttribute("aria-pressed", String(row === active));
    button.addEventListener("click", () => { active = row; drawAll(); });
    return button;
  }));
  const point = kept[active];
  if (point) {
    element("words").textContent = `Point ${active + 1} of ${data.photos[point.image].name}, ` +
      `${point.projected ? "with" : "without"} a projection.`;
  }
  return Promise.all(canvases.map((_, index) => draw(index)));
}

function question(image, x, y) {
  const numeric = (id) => element(id).value === "" ? null : Number(element(id).value);
  return { image, x, y, backend: element("backend").value, reading: element("reading").value,
    t: numeric("t"), layer: numeric("layer"), projected: element("projected").checked };
}

const post = (place, body) => fetch(place, { method: "POST", body: JSON.stringify(body),
  headers: { "Content-Type": "application/json" } });

async function ask(image, x, y, row) {
  const own = ++asking;
  element("words").textContent = "Looking …";
  try {
    const reply = await post("/look", question(image, x, y));
    if (own !== asking) return;
    if (!reply.ok) {
      element("words").textContent = await reply.text();
      return;
    }
    kept[row] = await reply.json();
    active = row;
    await drawAll();
  } catch (error) {
    element("words").textContent = `The program does not answer: ${error.message}`;
  }
}

async function askAgain() {
  for (let row = 0; row < kept.length; row++) {
    await ask(kept[row].image, kept[row].x, kept[row].y, row);
  }
}

async function share() {
  const reply = await post("/page", kept.map((one) => question(one.image, one.x, one.y)));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await reply.blob());
  link.download = "explore.html";
  link.click();
}

canvases.forEach((canvas, index) => {
  const cross = crosses[index];
  if (data.live) {
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      cross.x = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      cross.y = Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
      ask(index, cross.x, cross.y, kept.length);
    });
  }
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (move) {
      cross.x = Math.min(1, Math.max(0, cross.x + STEP * move[0]));
      cross.y = Math.min(1, Math.max(0, cross.y + STEP * move[1]));
      draw(index);
    } else if (event.key === "Enter" && data.live) ask(index, cross.x, cross.y, kept.length);
    else return;
    event.preventDefault();
  });
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => draw(index));
});
if (data.live) {
  element("backend").value = data.view.backend;
  element("how").addEventListener("submit", (event) => event.preventDefault());
  element("how").addEventListener("change", askAgain);
  element("share").addEventListener("click", share);
  element("clear").addEventListener("click", () => {
    kept.length = 0;
    active = -1;
    element("words").textContent = "No point is picked.";
    drawAll();
  });
}
window.addEventListener("resize", drawAll);
drawAll();
