// The task page. The server sends each task as a form; the form's fields are the answer, and there is no other state of
// it. Everything is done by keys as well; what is written is saved as a draft, here at once and on the server soon after.

const root = document.getElementById("labeller");
const { mode, base, person } = root.dataset;
const review = mode === "review";
const token = document.querySelector("meta[name=csrf]").content;
const WAIT_TO_SAVE = 700, LOOK_AGAIN = 20000, NO_TASK = null;

let task = NO_TASK; // { id, form, key, kind, count, typed, timers }
let clock = { since: performance.now(), worked: 0 };
let sending = false;
let afterFeedback = "";

const one = (selector, from = root) => from.querySelector(selector);
const all = (selector, from = root) => [...from.querySelectorAll(selector)];

// A key of our own for each answer, so that one that is sent twice counts once.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

// ---- time on task: while the page can be seen ----
const worked = () => (clock.worked + (document.hidden ? 0 : performance.now() - clock.since)) / 1000;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clock.worked += performance.now() - clock.since;
  clock.since = performance.now();
});

// ---- the server ----
class Refused extends Error {
  constructor(status, body) {
    super(body.error ?? `The server answered ${status}.`);
    this.status = status;
    this.reason = body.reason;
  }
}

async function post(path, body = {}, options = {}) {
  const answer = await fetch(path, {
    method: "POST", body: JSON.stringify(body), ...options,
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": token },
  });
  const read = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, read);
  return read;
}

function connection(lost) {
  const note = document.getElementById("lost");
  note.hidden = !lost;
  note.textContent = lost ? "No answer from the server. What you did is kept here and sent when it is back." : "";
}

// Tries until the server answers, whatever it says; the answer's key makes that safe.
async function insist(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 15000)) {
    try {
      const read = await post(path, body);
      connection(false);
      return read;
    } catch (error) {
      if (error instanceof Refused && ![429, 502, 503, 504].includes(error.status)) {
        connection(false);
        throw error;
      }
      connection(true);
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

// ---- the form as an answer, and back ----
function ranks() {
  return all("select[name=rank]", task.form).map((select) => (select.value ? Number(select.value) : null));
}

function answerNow() {
  const answer = { seconds: Math.round(worked() * 10) / 10 };
  const choice = one("[name=choice]:checked", task.form)?.value;
  if (choice === "both_bad" || choice === "cannot_judge") answer.verdict = choice;
  else if (choice !== undefined) answer.preference = Number(choice);
  else if (task.kind === "ranking" && ranks().some(Boolean)) answer.ranks = ranks();
  const criteria = all("[data-question]:not([data-question=''])", task.form)
    .map((question) => [question.dataset.question, one(":checked", question)?.value])
    .filter(([, value]) => value !== undefined);
  if (criteria.length) answer.criteria = Object.fromEntries(criteria.map(([name, value]) => [name, Number(value)]));
  const flags = {};
  for (const box of all("[name=flag]:checked", task.form)) (flags[box.dataset.place] ??= []).push(box.value);
  if (Object.keys(flags).length) answer.flags = flags;
  const comment = one("[name=comment]", task.form).value;
  if (comment.trim()) answer.comment = comment;
  const edited = all("[name=edited]", task.form).find((area) => area.value.trim() && area.value !== original(area));
  if (edited) answer.edited = { place: Number(edited.dataset.place), text: edited.value };
  return answer;
}

const original = (area) => (one(".raw", area.closest(".candidate")) ?? one(".text", area.closest(".candidate"))).textContent;

function fill(answer) {
  const choice = answer.verdict === "tie" ? "0" : answer.verdict ?? answer.preference;
  if (choice !== undefined) check(one(`[name=choice][value="${choice}"]`, task.form));
  (answer.ranks ?? []).forEach((rank, place) => { one(`select[data-place="${place}"]`, task.form).value = rank ?? ""; });
  for (const [name, step] of Object.entries(answer.criteria ?? {})) {
    check(one(`[name="criterion ${CSS.escape(name)}"][value="${step}"]`, task.form));
  }
  for (const [place, flags] of Object.entries(answer.flags ?? {})) {
    for (const flag of flags) check(one(`[name=flag][data-place="${place}"][value="${CSS.escape(flag)}"]`, task.form));
  }
  if (answer.comment) {
    one("[name=comment]", task.form).value = answer.comment;
    one(".note", task.form).open = true;
  }
  if (answer.edited) {
    const area = one(`[name=edited][data-place="${answer.edited.place}"]`, task.form);
    area.value = answer.edited.text;
    area.closest("details").open = true;
  }
}

function check(input) {
  if (input) input.checked = true;
}

// ---- drafts: in this tab at once, on the server soon ----
const draftName = () => `draft ${person} ${base} ${task.id}`; // others may log in in this tab

function changed() {
  mark();
  if (review) return;
  try { sessionStorage.setItem(draftName(), JSON.stringify(answerNow())); } catch { /* then the server's draft has to do */ }
  clearTimeout(task.saving);
  task.saving = setTimeout(save, WAIT_TO_SAVE);
  one("#saved").textContent = "";
}

async function save(options = {}) {
  const of = task;
  if (!of || review || sending) return;
  clearTimeout(of.saving);
  of.saving = undefined;
  try {
    await post(`/api/tasks/${of.id}/draft`, { answer: answerNow() }, options);
    connection(false);
    if (of === task) one("#saved").textContent = "draft saved";
  } catch (error) {
    if (of !== task) return;
    if (!(error instanceof Refused)) connection(true);
    else if (error.reason === "lease_lost") problem(`${error.message} Send your answer all the same: it counts if a place is free.`);
    else if (error.status === 401) loggedOut();
  }
}

addEventListener("pagehide", () => { if (task?.saving !== undefined) save({ keepalive: true }); });

// ---- what the form shows of itself ----
function mark() {
  const answer = answerNow();
  const best = new Set();
  if (answer.preference < 0) best.add(0);
  if (answer.preference > 0) best.add(1);
  (answer.ranks ?? []).forEach((rank, place) => { if (rank === 1) best.add(place); });
  all(".candidate").forEach((card, place) => card.classList.toggle("best", best.has(place)));
  const order = one("#order");
  if (order) order.textContent = toldOrder(answer.ranks ?? []);
  const asked = all("[data-question]");
  asked.forEach((question, place) => { question.hidden = place !== task.at; });
  for (const button of all("[data-go]")) {
    const place = Number(button.dataset.go);
    button.classList.toggle("given", one(":checked", asked[place]) !== null);
    if (place === task.at) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
  }
}

// Questions are asked one by one: after each answer the next one that has none yet.
function askNext() {
  const asked = all("[data-question]");
  const open = asked.findIndex((question, place) => place > task.at && !one(":checked", question));
  if (one(":checked", asked[0]) && open > 0) task.at = open;
}

function toldOrder(found) {
  const groups = [];
  found.forEach((rank, place) => { if (rank) (groups[rank] ??= []).push(place + 1); });
  return groups.filter(Boolean).map((group) => group.join(" = ")).join(" > ");
}

function problem(text) {
  const note = one("#problem");
  if (!note) return;
  note.textContent = text;
  note.hidden = !text;
}

function loggedOut() {
  problem("You are logged out. Your draft is kept in this tab: log in in another one, then load this page again.");
}

// ---- a ranking typed as numbers, best first ----
function typeRank(key) {
  if (key === "Backspace") task.typed.pop();
  else if (key === "=") { if (task.typed.length && task.typed.at(-1) !== "=") task.typed.push("="); }
  else if (!task.typed.includes(Number(key))) task.typed.push(Number(key));
  const placed = task.typed.filter((item) => item !== "=");
  const left = Array.from({ length: task.count }, (_, n) => n + 1).filter((n) => !placed.includes(n));
  const sequence = left.length === 1 && key !== "Backspace" ? [...task.typed, left[0]] : task.typed;
  const found = {};
  let rank = 0;
  sequence.forEach((item, n) => {
    if (item === "=") return;
    if (sequence[n - 1] !== "=") rank += 1;
    found[item] = rank || 1;
  });
  for (const select of all("select[name=rank]")) select.value = found[Number(select.dataset.place) + 1] ?? "";
  for (const verdict of all("[name=choice]:checked")) verdict.checked = false;
  changed();
}

// ---- sending ----
function complete(answer) {
  if (answer.verdict !== undefined || answer.preference !== undefined) return "";
  if (task.kind === "pair") return "Choose one first: 1 to 7, b or x.";
  return answer.ranks?.every(Boolean) ? "" : "Give every response a rank first: type their numbers, best first.";
}

async function act(work) {
  if (sending) return;
  sending = true;
  problem("");
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) loggedOut();
    else if (error.reason === "lease_lost") { forget(); tell(error.message); show((await insist(`${base}/next`)).next); }
    else if (error.reason === "nothing_to_undo") tell(error.message);
    else problem(error.message);
    if (!one("#problem")) tell(error.message);
  } finally {
    sending = false;
  }
}

const tell = (text) => { document.getElementById("told").textContent = text; };

function forget() {
  try { sessionStorage.removeItem(draftName()); } catch { /* nothing was kept */ }
  clearTimeout(task?.saving);
}

function send() {
  const answer = answerNow();
  const missing = complete(answer);
  if (missing) { problem(missing); return; }
  act(async () => {
    clearTimeout(task.saving);
    const read = await insist(review ? base : `${base}/${task.id}/answer`, { key: task.key, answer });
    forget();
    if (review) { location.assign(read.next); return; }
    tell(`Sent.${read.suggestion ? ` An AI had answered: ${read.suggestion}.` : ""}`);
    if (read.feedback) {
      afterFeedback = read.next;
      end();
      root.innerHTML = read.feedback; // escaped by the server's templates; the content policy lets no script in it run
      one("#on").focus();
    } else show(read.next);
  });
}

const skip = () => task && !review && act(async () => {
  const read = await insist(`${base}/${task.id}/skip`, {});
  forget();
  tell("Skipped; u brings it back.");
  show(read.next);
});

const undo = () => !review && act(async () => {
  const read = await insist(`${base}/undo`);
  if (task) forget();
  tell("Taken back: this is your last answer. Change it and send it again.");
  show(read.next);
});

// ---- showing a task ----
function end() {
  clearInterval(task?.beat);
  clearTimeout(task?.saving);
  task = NO_TASK;
}

function show(html) {
  end();
  afterFeedback = "";
  if (html) root.innerHTML = html; // as above
  const element = one(".task");
  one("#undo")?.addEventListener("click", undo);
  if (!element) {
    setTimeout(() => { if (!task && !sending && !afterFeedback && one(".waiting")) look(); }, LOOK_AGAIN);
    return;
  }
  const { task: id, kind, count, draft, lease } = element.dataset;
  task = { id, kind, count: Number(count), form: one("form"), key: newKey(), typed: [], at: 0 };
  clock = { since: performance.now(), worked: 0 };
  restore(draft);
  task.form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  task.form.addEventListener("input", (event) => { if (event.target.name === "rank") task.typed = []; takeSide(event.target); changed(); });
  one("#skip")?.addEventListener("click", skip);
  one("#plain").addEventListener("click", plain);
  for (const input of all(".scale input")) input.addEventListener("click", (event) => { if (event.detail) { askNext(); mark(); } });
  for (const button of all("[data-go]")) button.addEventListener("click", (event) => { task.at = Number(button.dataset.go); mark(); letGo(event); });
  for (const details of all(".edit")) details.addEventListener("toggle", () => startEdit(details));
  if (!review) task.beat = setInterval(() => { if (!document.hidden) save(); }, 1000 * Math.min(60, Number(lease) / 3));
  if (html) { scrollTo(0, 0); document.getElementById("main").focus({ preventScroll: true }); }
  mark();
  performance.mark("task shown"); // from the start of the navigation: what the tests hold to a second
}

// A ranking and "all bad" exclude each other.
function takeSide(input) {
  if (input.name === "rank") for (const verdict of all("[name=choice]:checked")) verdict.checked = false;
  if (input.name === "choice" && task.kind === "ranking") { task.typed = []; for (const select of all("select[name=rank]")) select.value = ""; }
}

function restore(draft) {
  let kept = null;
  try { kept = sessionStorage.getItem(draftName()); } catch { /* the server's draft has to do */ }
  const answer = JSON.parse(kept ?? (draft || "{}"));
  fill(answer);
  clock.worked = 1000 * (answer.seconds ?? 0);
}

function startEdit(details) {
  const area = one("textarea", details);
  if (details.open && !area.value) area.value = original(area);
  if (details.open) area.focus();
}

// A button that was clicked gives the focus back, so that Enter sends; by the keyboard it keeps it.
function letGo(event) {
  if (event.detail) event.currentTarget.blur();
}

function plain(event) {
  if (event instanceof Event) letGo(event);
  const button = one("#plain");
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  for (const raw of all(".raw")) { raw.hidden = !on; raw.previousElementSibling.hidden = on; }
}

// ---- keys ----
function choose(value) {
  const isStep = value.length <= 2;
  const input = one(`input[value="${value}"]`, isStep ? all("[data-question]")[task.at] : one(".verdicts"));
  if (!input) return;
  input.checked = true;
  takeSide(input);
  if (isStep) askNext();
  changed();
}

const KEYS = {
  b: () => choose("both_bad"), x: () => choose("cannot_judge"), s: skip, u: undo, m: () => plain(),
  c: () => { one(".note").open = true; one("#comment").focus(); },
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const writing = target.matches("textarea, input:not([type=radio], [type=checkbox])");
  if (writing && key === "Escape") target.blur();
  if (task && writing && key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); return; }
  if (event.repeat && !writing && key !== "Backspace" && key !== "Tab") return; // a key held down is one answer
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!task) {
    if (key === "u" && !afterFeedback) undo();
    return;
  }
  if (target.matches("select") && key !== "Enter") return;
  if (key === "Enter" && !target.matches("button, a, summary")) { event.preventDefault(); send(); return; }
  if (task.kind === "pair" && /^[1-7]$/.test(key)) choose(String(Number(key) - 4));
  else if (task.kind === "ranking" && (key === "=" || key === "Backspace" || (/^[1-9]$/.test(key) && Number(key) <= task.count))) typeRank(key);
  else if (KEYS[key.toLowerCase()]) KEYS[key.toLowerCase()]();
  else return;
  event.preventDefault();
});

root.addEventListener("click", (event) => {
  if (event.target.closest("#on")) show(afterFeedback);
});

const look = () => act(async () => show((await insist(`${base}/next`)).next));
if (review) show("");
else look();
