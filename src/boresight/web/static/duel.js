// Two models side by side. The server holds all there is to know; this page asks it how far the answers are, shows them
// as plain text, and sends messages and votes.

const EVERY = 150; // milliseconds, while models answer
const id = (name) => document.getElementById(name);
let now = { phase: "", turn: 0 };

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const headers = { "Content-Type": "application/json", Accept: "application/json" };
  const answer = await fetch(path, { ...options, headers });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(read.error ?? `The server answered ${answer.status}.`);
  return read;
}

function problem(text) {
  id("problem").textContent = text;
  id("problem").hidden = !text;
}

function message([role, text]) {
  const made = document.createElement("div"), who = document.createElement("p"), said = document.createElement("div");
  made.className = `message ${role}`;
  [who.className, who.textContent] = ["who", role];
  [said.className, said.textContent] = ["text", text];
  made.append(who, said);
  return made;
}

function show(view) {
  const before = now;
  now = view;
  id("talk").replaceChildren(...view.messages.map(message));
  [id("a").textContent, id("b").textContent] = view.replies;
  id("answers").hidden = view.phase === "asking";
  id("vote").hidden = view.phase !== "voting";
  id("ask").hidden = view.phase !== "asking";
  id("note").textContent = view.phase === "answering" ? "The models are answering …" : view.note;
  id("written").textContent = view.written ? `${view.written} pair${view.written === 1 ? "" : "s"} written` : "";
  if (view.phase === before.phase) return;
  if (view.phase === "asking") id("text").focus();
  if (view.phase === "voting") { id("vote").reset(); id("main").focus({ preventScroll: true }); id("vote").scrollIntoView({ block: "nearest" }); }
}

// Waits until the models have ended; a server that does not answer is asked again.
async function follow() {
  while (now.phase === "answering" || now.phase === "") {
    try {
      show(await call("/state"));
      id("lost").hidden = true;
    } catch (error) {
      id("lost").textContent = `No answer from the server (${error.message})`;
      id("lost").hidden = false;
    }
    if (now.phase === "answering" || now.phase === "") await new Promise((done) => setTimeout(done, EVERY));
  }
}

let sending = false;
async function send(path, body) {
  if (sending) return;
  sending = true;
  problem("");
  id("tally").hidden = true;
  try {
    show(await call(path, body));
    if (path === "/ask") id("text").value = "";
  } catch (error) {
    problem(error.message);
  } finally {
    sending = false;
  }
  follow();
}

const ask = () => { if (id("text").value.trim()) send("/ask", { text: id("text").value }); };
const vote = (key) => send("/vote", { key, turn: now.turn });

function chosen() {
  const key = new FormData(id("vote")).get("key");
  if (key) vote(key);
  else problem("Choose first: 1 to 7, b or x; n goes on without a vote.");
}

async function tell() {
  try {
    const models = await call("/tally", {});
    id("tally").replaceChildren(...models.map(({ model, wins }) => {
      const line = document.createElement("p");
      line.textContent = `${model}: preferred ${wins} of ${now.written}`;
      return line;
    }));
    id("tally").hidden = false;
  } catch (error) {
    problem(error.message);
  }
}

id("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
id("vote").addEventListener("submit", (event) => { event.preventDefault(); chosen(); });
id("none").addEventListener("click", () => vote(""));
id("reset").addEventListener("click", () => send("/reset", {}));
id("tell").addEventListener("click", tell);

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (target === id("text") && key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); return; }
  if (now.phase !== "voting" || event.repeat || event.ctrlKey || event.metaKey || event.altKey || target.matches("textarea")) return;
  const input = /^[1-7bx]$/.test(key) ? id("vote").querySelector(`input[value="${key}"]`) : null;
  if (input) input.checked = true;
  else if (key === "n") vote("");
  else if (key === "Enter" && !target.matches("button, a")) chosen();
  else return;
  event.preventDefault();
});

follow();
