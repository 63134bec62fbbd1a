// Parts of a page that keep themselves fresh: <section id="…" data-live="/address" data-every="2">.
// The server sends the part as HTML; it is put in place only where it differs, and not while somebody is selecting text
// in it. What was folded out stays so, and the focus stays where it was.

const shown = new WeakMap();

function keepState(part) {
  const open = [...part.querySelectorAll("details[id]")].filter((one) => one.open).map((one) => one.id);
  const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
  return () => {
    for (const id of open) part.querySelector(`details[id="${CSS.escape(id)}"]`)?.setAttribute("open", "");
    if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  };
}

function isInUse(part) {
  const selection = document.getSelection();
  const typing = part.contains(document.activeElement) && document.activeElement.matches("select, input, textarea");
  return typing || (selection && !selection.isCollapsed && part.contains(selection.anchorNode));
}

function connection(lost) {
  const note = document.getElementById("lost");
  if (!note || note.hidden === !lost) return;
  note.hidden = !lost;
  note.textContent = lost
    ? `No answer from the server. What you see is from ${new Date().toLocaleTimeString()}; it goes on by itself when the server is back.`
    : "";
}

export async function refresh(part) {
  if (isInUse(part)) return;
  const answer = await fetch(part.dataset.live, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const html = await answer.text();
  if (shown.get(part) === html || isInUse(part)) return;
  shown.set(part, html);
  const restore = keepState(part);
  part.innerHTML = html; // escaped by the server's templates; the content policy lets no script in it run
  restore();
}

// Calls `work` every `seconds`, while the page can be seen; after failures it waits longer, up to 30 seconds.
export function every(seconds, work) {
  let failures = 0;
  const turn = async () => {
    if (!document.hidden) {
      try {
        await work();
        failures = 0;
        connection(false);
      } catch {
        failures += 1;
        if (failures > 1) connection(true);
      }
    }
    setTimeout(turn, Math.min(30, seconds * 2 ** Math.min(failures, 5)) * 1000);
  };
  turn();
}

for (const part of document.querySelectorAll("[data-live]")) {
  every(Number(part.dataset.every) || 2, () => refresh(part));
}
