// Looks at the server again and again, and puts what has changed into the page.
"use strict";
(() => {
  const every = 1000 * Number(document.body.dataset.every || 3);
  const banner = document.getElementById("banner");
  let tag = "";
  let cells = null;

  function keepOpen(before, after) {
    for (const details of after.querySelectorAll("details[data-key]")) {
      const same = before.querySelector(`details[data-key="${CSS.escape(details.dataset.key)}"]`);
      if (same && same.open) details.open = true;
    }
  }

  function put(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    for (const after of page.querySelectorAll("[data-live]")) {
      const before = document.getElementById(after.id);
      if (!before || before.innerHTML === after.innerHTML) continue;
      if (before.contains(document.activeElement) && document.activeElement !== document.body) continue;
      keepOpen(before, after);
      before.replaceChildren(...after.childNodes);
    }
    const count = page.body.dataset.cells;
    if (cells !== null && count !== cells) document.dispatchEvent(new Event("cells-changed"));
    cells = count;
  }

  async function look() {
    try {
      const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {} });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag") || "";
        put(await answer.text());
      } else if (answer.status !== 304) {
        throw new Error(`the server answers ${answer.status}`);
      }
      banner.hidden = true;
    } catch (error) {
      banner.textContent = `No answer (${error.message}). What you see is older; looking again.`;
      banner.hidden = false;
    }
    setTimeout(look, every);
  }
  cells = document.body.dataset.cells;
  setTimeout(look, every);
})();
