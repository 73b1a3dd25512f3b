// The page: follows the appliance's events and asks for what is in its files. No library, no build step.

const $ = (id) => document.getElementById(id);
const MOST_TEXTS = 50;
const SILENT_DBFS = -60;
let csrf = "";
let events = null;
let texts = []; // {time, text}, oldest first

// --- the server ---------------------------------------------------------------------------------------------------

async function call(method, path, body) {
  const headers = { "x-csrf-token": csrf };
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin",
  });
  const answer = await response.json().catch(() => ({ error: response.statusText }));
  if (response.status === 401) disconnected();
  return { status: response.status, ...answer };
}

async function ask(request) {
  const { ok, error, problems } = await call("POST", "/api/do", request)
    .catch(() => ({ error: "no answer; is the device on?" }));
  return { ok, error, problems: problems ?? {} };
}

async function enter(token) {
  const answer = await call("POST", "/api/session", { token }).catch(() => ({ error: "no answer; is the device on?" }));
  if (answer.csrf) {
    csrf = answer.csrf;
    connected();
  } else {
    disconnected();
    $("enter-error").textContent = answer.error;
  }
}

function connected() {
  $("enter").hidden = true;
  $("connected").hidden = $("leave").hidden = false;
  $("token").value = $("enter-error").textContent = "";
  listen();
  loadTexts();
  loadWords();
  loadSettings();
}

function disconnected() {
  events?.close();
  events = null;
  $("connected").hidden = $("leave").hidden = true;
  $("enter").hidden = false;
  show("unknown", "Not connected");
  texts = [];
  drawTexts();
}

// --- what happens -------------------------------------------------------------------------------------------------

const HANDLERS = {
  feed: ({ connected }) => { if (!connected) { show("wrong", "The appliance is not running"); partial("", ""); level(null); } },
  state: state,
  partial: ({ stable, tail }) => partial(stable, tail),
  segment: (event) => { partial("", ""); add(event); drawTexts(); },
  level: ({ dbfs }) => level(dbfs),
  battery: battery,
};

function listen() {
  events?.close();
  events = new EventSource("/api/events");
  events.onmessage = (message) => { const event = JSON.parse(message.data); HANDLERS[event.event]?.(event); };
  events.onerror = () => {
    show("wrong", "No connection to the device");
    if (events?.readyState === EventSource.CLOSED) setTimeout(() => start(), 2000);
  };
}

const ACTIVITY = { starting: "Starting", ready: "Ready", listening: "Listening", finalizing: "Finding the last words" };

function state({ states, status }) {
  const activity = states.find((name) => name in ACTIVITY);
  const wrong = states.filter((name) => !(name in ACTIVITY));
  const why = status.includes(";") ? status.slice(status.indexOf(";") + 1).trim() : "";
  const said = [activity ? ACTIVITY[activity] : "", ...wrong.map((name) => name[0].toUpperCase() + name.slice(1)), why];
  show(wrong.length ? "wrong" : activity, said.filter(Boolean).join(". "));
  if (activity !== "listening" && activity !== "finalizing") partial("", "");
}

function show(kind, text) {
  $("state").dataset.state = kind;
  if ($("state").textContent !== text) $("state").textContent = text;
}

function partial(stable, tail) {
  $("stable").textContent = stable;
  $("tail").textContent = tail;
  $("live").classList.toggle("idle", !stable && !tail);
}

function level(dbfs) {
  $("level").value = Math.max(SILENT_DBFS, dbfs ?? SILENT_DBFS);
  $("dbfs").textContent = dbfs === null ? "" : `${Math.round(dbfs)} dB`;
}

function battery({ watts, volts, percent, celsius }) {
  const parts = [[percent, "%", 0], [watts, "W", 2], [volts, "V", 2], [celsius, "°C", 0]];
  const known = parts.filter(([value]) => value !== null).map(([value, unit, digits]) => `${value.toFixed(digits)} ${unit}`);
  $("battery").textContent = known.length ? known.join(", ") : "Power is not measured.";
}

// --- texts --------------------------------------------------------------------------------------------------------

function add({ time, delete: count, text }) {
  while (count > 0 && texts.length) { // an edit first deletes characters before the cursor
    const last = [...texts[texts.length - 1].text];
    const kept = last.slice(0, Math.max(0, last.length - count)).join("");
    count -= last.length;
    if (kept) texts[texts.length - 1].text = kept;
    else texts.pop();
    if (count <= 0) break;
  }
  if (text) texts.push({ time, text });
  texts = texts.slice(-MOST_TEXTS);
}

async function loadTexts() {
  const { ok, error } = await ask({ do: "history" });
  texts = [];
  if (ok) ok.edits.forEach(add);
  $("texts-note").textContent = error ?? (ok.kept ? "" : "Nothing is kept on the device: only what is said while this page is open.");
  drawTexts();
}

function drawTexts() {
  const shown = texts.map(({ time, text }) => {
    const when = new Date(time * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
    const copy = button("Copy", () => copyText(text.trim()));
    copy.setAttribute("aria-label", `Copy: ${text.trim().slice(0, 60)}`);
    copy.title = when;
    return item(text.trim() || "⏎", copy);
  });
  reconcile($("texts"), shown);
  $("log").scrollTop = $("log").scrollHeight;
  $("copy-all").disabled = !texts.length;
}

// Only what differs is replaced, so that a screen reader is told of what is new alone.
function reconcile(list, items) {
  const same = (a, b) => a && b && a.firstChild.textContent === b.firstChild.textContent;
  while (list.children.length && items.length && !same(list.children[0], items[0])) list.children[0].remove();
  items.forEach((each, index) => {
    if (same(list.children[index], each)) return;
    list.children[index]?.remove();
    list.insertBefore(each, list.children[index] ?? null);
  });
  while (list.children.length > items.length) list.lastChild.remove();
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text); // only on localhost: other addresses are no "secure context"
  } catch {
    const area = document.createElement("textarea");
    const focused = document.activeElement;
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    focused?.focus();
  }
  say("Copied");
}

// --- words --------------------------------------------------------------------------------------------------------

async function loadWords() {
  const { ok, error } = await ask({ do: "words" });
  if (ok) drawWords(ok);
  else $("word-error").textContent = error;
}

function drawWords({ words, faults }) {
  $("word-error").textContent = faults.join("; ");
  $("words").replaceChildren(...words.map(({ written, sounds_like }) => {
    const remove = button("Remove", () => removeWord(written));
    remove.setAttribute("aria-label", `Remove ${written}`);
    return item(sounds_like ? `${written} (sounds like ${sounds_like})` : written, remove);
  }));
}

async function addWord(event) {
  event.preventDefault();
  const written = $("written");
  const { ok, error } = await ask({ do: "add word", written: written.value, sounds_like: $("sounds-like").value });
  written.setAttribute("aria-invalid", String(!ok));
  if (ok) {
    drawWords(ok);
    say(`${written.value} added`);
    $("add-word").reset();
  } else {
    $("word-error").textContent = error;
  }
  written.focus();
}

async function removeWord(written) {
  const { ok, error } = await ask({ do: "remove word", written });
  if (ok) { drawWords(ok); say(`${written} removed`); } else { $("word-error").textContent = error; }
  $("written").focus();
}

// --- settings -----------------------------------------------------------------------------------------------------

let settings = [];

async function loadSettings() {
  const { ok, error } = await ask({ do: "settings" });
  if (ok) drawSettings(ok.settings);
  else $("settings-note").textContent = error;
}

function drawSettings(rows) {
  settings = rows;
  $("fields").replaceChildren(...rows.map(field));
}

function field(row) {
  const id = `set-${row.key}`;
  const box = element("div", { className: "field" });
  const label = element("label", { htmlFor: id, textContent: row.help.replace(/\.$/, "") });
  const control = row.type === "choice" ? element("select", { id }) : element("input", { id });
  if (row.type === "choice") control.append(...row.choices.map((choice) => element("option", { value: choice, textContent: choice })));
  if (row.type === "bool") { control.type = "checkbox"; control.checked = row.value; }
  else control.value = row.value;
  if (row.type === "int" || row.type === "float") control.inputMode = "decimal";
  control.setAttribute("aria-describedby", `${id}-help ${id}-error`);
  const help = element("p", { id: `${id}-help`, className: "hint", textContent: `${row.key}: ${row.expected}; default ${row.default === "" ? "empty" : row.default}` });
  const problem = element("p", { id: `${id}-error`, className: "error" });
  const line = element("div", { className: row.type === "bool" ? "check" : "both" });
  if (row.type === "bool") line.append(control, label);
  else { box.append(label); line.append(control); if (row.unit) line.append(element("span", { className: "unit", textContent: row.unit })); }
  box.append(line, help, problem);
  if (row.set_here) {
    const reset = button("Undo: as on the card", () => save({ [row.key]: null }));
    reset.setAttribute("aria-label", `Undo ${row.key}: as on the card`);
    box.append(reset);
  }
  return box;
}

function typed(row, control) {
  if (row.type === "bool") return control.checked;
  const text = control.value.trim();
  if (row.type !== "int" && row.type !== "float") return text;
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text; // what is no number is told by the device
}

function changed() {
  const changes = {};
  for (const row of settings) {
    const value = typed(row, $(`set-${row.key}`));
    if (value !== row.value) changes[row.key] = value;
  }
  return changes;
}

async function save(changes) {
  if (!Object.keys(changes).length) { $("settings-note").textContent = "Nothing was changed."; return; }
  const { ok, error, problems } = await ask({ do: "change settings", changes });
  for (const row of settings) {
    const why = problems[row.key] ?? "";
    $(`set-${row.key}`).setAttribute("aria-invalid", String(Boolean(why)));
    $(`set-${row.key}-error`).textContent = why;
  }
  $("settings-note").textContent = ok ? "Saved." : error;
  if (ok) drawSettings(ok.settings);
  else $(`set-${Object.keys(problems)[0]}`)?.focus();
}

// --- power and doctor ---------------------------------------------------------------------------------------------

async function plot() {
  const { ok, error } = await busy($("plot"), () => ask({ do: "power" }));
  if (!ok) { $("battery").textContent = error; return; }
  $("power").hidden = false;
  $("power-plot").src = `data:image/svg+xml,${encodeURIComponent(ok.svg)}`;
  $("power-table").textContent = ok.table || "No measurements in the last 12 hours.";
}

async function examine() {
  $("doctor-note").textContent = "Looking; this takes some seconds…";
  const { ok, error } = await busy($("examine"), () => ask({ do: "doctor" }));
  $("doctor").replaceChildren();
  if (!ok) { $("doctor-note").textContent = error; return; }
  const all = Object.values(ok.groups).flat();
  const faults = all.filter(({ state }) => state === "fault").length;
  $("doctor-note").textContent = faults ? `${faults} of ${all.length} checks found a fault.` : `${all.length} checks, no fault.`;
  for (const [title, checks] of Object.entries(ok.groups)) {
    const list = element("dl", {});
    for (const { name, state, detail, advice } of checks) {
      const term = element("dt", {});
      term.append(element("span", { className: state, textContent: state }), ` ${name}`);
      list.append(term, element("dd", { textContent: advice ? `${detail}. → ${advice}` : detail }));
    }
    $("doctor").append(element("h3", { textContent: title }), list);
  }
}

async function busy(control, work) {
  control.disabled = true;
  try { return await work(); } finally { control.disabled = false; control.focus(); }
}

// --- small things -------------------------------------------------------------------------------------------------

function element(name, properties) { return Object.assign(document.createElement(name), properties); }

function button(text, press) { return Object.assign(element("button", { type: "button", textContent: text }), { onclick: press }); }

function item(text, control) {
  const li = element("li", {});
  li.append(element("span", { textContent: text }), control);
  return li;
}

function say(text) { $("said").textContent = ""; setTimeout(() => { $("said").textContent = text; }, 50); }

async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token !== null) {
    history.replaceState(null, "", location.pathname); // it stays in no history and on no screen
    await enter(token);
    return;
  }
  const answer = await call("GET", "/api/session").catch(() => ({}));
  if (answer.csrf) { csrf = answer.csrf; connected(); }
  else if (answer.status !== 401) { show("wrong", "No connection to the device"); setTimeout(() => start(), 2000); }
}

$("enter").onsubmit = (event) => { event.preventDefault(); enter($("token").value.trim()); };
$("leave").onclick = async () => { await call("DELETE", "/api/session", {}); disconnected(); $("token").focus(); };
$("copy-all").onclick = () => copyText(texts.map(({ text }) => text).join("").trim());
$("add-word").onsubmit = addWord;
$("settings").onsubmit = (event) => { event.preventDefault(); save(changed()); };
$("plot").onclick = plot;
$("examine").onclick = examine;
window.addEventListener("hashchange", () => start());
partial("", "");
start();
