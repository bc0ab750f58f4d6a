"use strict";

// Renews the elements marked with data-renew by asking for the page again. Without this script the page
// is complete, and is renewed by loading it again. An element stays as it is while the reader has
// selected or focused something in it; nothing is renewed while the page is hidden or paused.
(() => {
  const paced = document.querySelector("[data-renew]:not([data-renew=''])");
  const place = document.getElementById("renewal");
  if (!paced || !place) return;

  const every = Number(paced.dataset.renew) * 1000;
  const button = document.createElement("button");
  const said = document.createElement("span");
  let paused = false;
  let missed = 0;
  said.setAttribute("role", "status");
  button.type = "button";
  button.addEventListener("click", () => {
    paused = !paused;
    tell();
  });
  place.append(said, " ", button);
  tell();

  function tell() {
    button.textContent = paused ? "Renew again" : "Pause";
    said.textContent = paused
      ? "Renewal is paused."
      : missed
        ? "The server did not answer; these figures are out of date."
        : `Renewed every ${every / 1000} s.`;
  }

  function isRead(element) {
    const selected = getSelection();
    return (
      element.contains(document.activeElement) ||
      (selected && !selected.isCollapsed && selected.containsNode(element, true))
    );
  }

  async function renew() {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-renew]")) {
      const fresh = page.getElementById(old.id);
      if (fresh && !isRead(old) && fresh.innerHTML !== old.innerHTML) {
        for (const opened of old.querySelectorAll("details[open][id]")) {
          fresh.querySelector(`#${CSS.escape(opened.id)}`)?.setAttribute("open", "");
        }
        old.replaceChildren(...fresh.childNodes);
      }
    }
    document.documentElement.dataset.renewed = String(1 + Number(document.documentElement.dataset.renewed || 0));
  }

  async function turn() {
    if (!paused && !document.hidden) {
      const before = missed;
      try {
        await renew();
        missed = 0;
      } catch {
        missed += 1;
      }
      if (Boolean(before) !== Boolean(missed)) tell();
    }
    // While the server does not answer, it is asked less and less often.
    setTimeout(turn, every * Math.min(1 + missed, 6));
  }
  setTimeout(turn, every);
})();
