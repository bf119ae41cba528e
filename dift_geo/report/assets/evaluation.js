// An evaluation's page: methods to show, and pictures to open. All else is there without scripts.
"use strict";
const element = (id) => document.getElementById(id);

function toggle(button) {
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  for (const one of document.querySelectorAll(`[data-method="${button.dataset.toggle}"]`)) {
    one.classList.toggle("hidden", !shown);
  }
}

function open(button) {
  const small = button.querySelector("img");
  element("large-picture").src = small.src;
  element("large-picture").alt = small.alt;
  element("large-name").textContent = small.alt;
  element("large-words").textContent = button.dataset.picture;
  element("large").showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toggle], [data-picture]");
  if (!button) return;
  if (button.dataset.toggle) toggle(button);
  else open(button);
});
element("close").addEventListener("click", () => element("large").close());
