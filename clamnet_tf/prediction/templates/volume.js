"use strict";
const slices = JSON.parse(document.getElementById("slices").textContent);
const part = (name) => document.getElementById(name);
const largest = slices.reduce((best, one, place) => (one.pixels > slices[best].pixels ? place : best), 0);
let here = largest;

function show(place) {
  here = Math.max(0, Math.min(slices.length - 1, place));
  const one = slices[here];
  part("picture").src = one.picture;
  one.outlines.forEach((outline, number) => part("mask").children[number].setAttribute("d", outline));
  part("number").textContent = one.number + " of " + slices[slices.length - 1].number;
  part("input").textContent = one.input;
  part("position").textContent = one.position === null ? "unknown" : one.position.toFixed(1) + " mm along the stack";
  part("presence").textContent = one.presence.toFixed(2);
  part("area").textContent = one.pixels ? (one.area === null ? one.pixels + " pixels" : one.area.toFixed(1) + " mm²") : "nothing";
  if (part("slider")) {
    part("slider").value = here;
    const line = part("chart").querySelector(".here");
    const x = ((here + 0.5) * 1000) / slices.length;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
}

function draw() {
  const wide = 1000 / slices.length;
  const most = Math.max(1, ...slices.map((one) => one.pixels));
  const bars = slices.map((one, place) => `<rect class="area" x="${place * wide}" width="${wide}" y="${100 - (96 * one.pixels) / most}" height="${(96 * one.pixels) / most}"/>`);
  const curve = slices.map((one, place) => `${(place + 0.5) * wide},${100 - 96 * one.presence}`);
  part("chart").innerHTML = bars.join("") + `<polyline class="curve" points="${curve.join(" ")}"/><line class="here" y1="0" y2="100"/>`;
  part("chart").addEventListener("pointerdown", (event) => {
    const box = part("chart").getBoundingClientRect();
    show(Math.floor(((event.clientX - box.left) / box.width) * slices.length));
  });
}

function toggle() {
  const bare = part("stage").classList.toggle("bare");
  part("toggle").setAttribute("aria-pressed", String(!bare));
}

part("toggle").addEventListener("click", toggle);
if (part("slider")) {
  draw();
  part("slider").addEventListener("input", () => show(Number(part("slider").value)));
  part("back").addEventListener("click", () => show(here - 1));
  part("on").addEventListener("click", () => show(here + 1));
  part("largest").addEventListener("click", () => show(largest));
  part("stage").addEventListener("wheel", (event) => { event.preventDefault(); show(here + Math.sign(event.deltaY)); }, { passive: false });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "m" || event.key === "M") toggle();
  else if (event.target.type !== "range" && (event.key === "ArrowRight" || event.key === "ArrowDown")) { event.preventDefault(); show(here + 1); }
  else if (event.target.type !== "range" && (event.key === "ArrowLeft" || event.key === "ArrowUp")) { event.preventDefault(); show(here - 1); }
});
show(largest);
