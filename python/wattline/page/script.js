"use strict";
// A reading of the picture under the pointer, and one sensor at a time. Without it the page shows everything.
for (const plot of document.querySelectorAll(".plot[data-points]")) {
  let held = null, reader = null, hair = null;
  const begin = () => {
    held = JSON.parse(plot.dataset.points);
    reader = plot.appendChild(document.createElement("div"));
    hair = plot.appendChild(document.createElement("div"));
    reader.className = "reader";
    hair.className = "hair";
  };
  plot.addEventListener("pointermove", (event) => {
    if (!held) begin();
    const box = plot.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const place = Math.min(Math.floor(share * held.x.length), held.x.length - 1);
    const value = held.y[place];
    reader.textContent = held.x[place] + ": " + (value === null ? "no reading" : value.toLocaleString("en") + " " + held.u);
    hair.style.left = (100 * share).toFixed(2) + "%";
    reader.hidden = hair.hidden = false;
  });
  plot.addEventListener("pointerleave", () => { if (held) reader.hidden = hair.hidden = true; });
}
const choice = document.getElementById("sensor");
if (choice) {
  const show = () => {
    for (const part of document.querySelectorAll(".sensor")) part.hidden = part.id !== choice.value;
  };
  choice.closest("nav").hidden = false;
  choice.addEventListener("change", show);
  show();
}
