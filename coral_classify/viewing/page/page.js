"use strict";
// What the page shows comes as two kinds of server-sent events: "now" four times a second, "hour" when the answer changes.

const $ = (id) => document.getElementById(id);
const page = Array.from(crypto.getRandomValues(new Uint8Array(12)), (n) => n.toString(16)).join("");
let span = 600;             // seconds that the strip shows
let hour = { seen: [], told: [] };
let names = [];             // classes that were added here, and those that the server knows
let clock = 0;              // the server's clock minus ours, in seconds

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;     // never as HTML: labels come from anywhere
  if (className) made.className = className;
  return made;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// ---- the connection

function lamp(text, state) {
  put($("lamp"), text);
  $("lamp").className = "lamp " + state;
}

function look() {
  $("picture").src = "picture?" + Date.now();
}
$("picture").addEventListener("error", () => setTimeout(look, 2000));

let heard = 0;
let wasLost = false;
const events = new EventSource("events");
events.addEventListener("now", (event) => {
  heard = Date.now();
  if (wasLost) look();      // the picture's stream ended with the server
  wasLost = false;
  show(JSON.parse(event.data));
});
events.addEventListener("hour", (event) => {
  hour = JSON.parse(event.data);
  showHour();
});
events.addEventListener("error", () => {
  wasLost = true;
  lamp("the program does not answer", "off");
});
look();
setInterval(showHour, 10000);

// ---- what it says

function bars(list, rows) {
  rows.forEach(([label, score], i) => {
    let item = list.children[i];
    if (!item) {
      item = element("li");
      item.append(element("span", "", "label"), element("span", "", "score"), element("span", undefined, "track"));
      item.children[2].setAttribute("aria-hidden", "true");
      item.children[2].append(element("span", undefined, "fill"));
      item.children[2].firstChild.style.display = "block";
      list.append(item);
    }
    put(item.children[0], label);
    // Some networks have scores that are no shares of 1.
    put(item.children[1], score <= 1 ? (100 * score).toFixed(score < 0.1 ? 1 : 0) + " %" : score.toFixed(2));
    item.children[2].firstChild.style.width = Math.max(0, Math.min(1, score)) * 100 + "%";
  });
  while (list.children.length > rows.length) list.lastChild.remove();
}

function milliseconds(value) {
  return value === undefined || value === null ? "–" : value < 10 ? value.toFixed(1) + " ms" : Math.round(value) + " ms";
}

function since(seconds) {
  if (seconds < 60) return Math.max(0, Math.round(seconds)) + " s";
  if (seconds < 3600) return Math.round(seconds / 60) + " min";
  return (seconds / 3600).toFixed(1) + " h";
}

function time(at) {
  return new Date((at - clock) * 1000).toLocaleTimeString();
}

function show(state) {
  clock = state.at - Date.now() / 1000;
  const stale = state.ago_ms > 5000;
  lamp(state.answered === 0 ? "waiting for the first picture" : stale ? "no new picture for " + since(state.ago_ms / 1000) : "live",
    state.answered && !stale ? "on" : "off");
  put($("camera"), state.camera);
  document.title = (state.held && state.held.label ? state.held.label + " – " : "") + state.camera;
  const held = state.held;
  put($("held"), held === null ? "…" : held.label || "no class is likely");
  put($("since"), held === null ? "" : "for " + since(state.at - held.since));
  $("trouble").hidden = !state.error;
  put($("trouble"), state.error || "");
  bars($("answer"), (state.predictions || []).map((each) => [each.label, each.score]));
  put($("sure"), state.sure === true ? "The model is sure." : state.sure === false ? "The model is not sure." : "");
  put($("device"), state.device || "–");
  put($("reason"), state.device_reason || "");
  put($("rate"), state.per_s + " a second");
  put($("age"), milliseconds(state.frame_age_ms));
  put($("inference"), milliseconds(state.inference_ms));
  const all = state.answered + state.skipped;
  put($("skipped"), state.skipped + (all ? " (" + Math.round(100 * state.skipped / all) + " %)" : ""));
  put($("faults"), String(state.faults));
  warm($("warm-device"), state.device_c);
  warm($("warm-cpu"), state.cpu_c);
  showTeaching(state.teach);
}

function warm(row, degrees) {
  row.hidden = degrees === undefined || degrees === null;
  if (!row.hidden) put(row.lastElementChild, degrees.toFixed(1) + " °C");
}

// ---- the last hour

const colours = new Map();
function colour(label) {
  if (!label) return "transparent";
  if (!colours.has(label)) {      // the golden angle: neighbours in time are far apart in colour
    const n = colours.size;
    colours.set(label, "hsl(" + (10 + n * 137.5) % 360 + " 60% " + [52, 40, 64][Math.floor(n / 8) % 3] + "%)");
  }
  return colours.get(label);
}

function showHour() {
  const now = Date.now() / 1000 + clock;
  const strip = $("strip");
  span = hour.seen.length && now - hour.seen[0][0] > 600 ? 3600 : 600;
  put($("from"), span === 600 ? "10 min ago" : "1 h ago");
  put($("middle"), span === 600 ? "5 min" : "30 min");
  const shares = new Map();
  const parts = hour.seen.map(([at, label], i) => {
    const from = Math.max(0, 1 - (now - at) / span);
    const to = i + 1 < hour.seen.length ? Math.max(0, 1 - (now - hour.seen[i + 1][0]) / span) : 1;
    if (to <= 0) return null;
    shares.set(label, (shares.get(label) || 0) + to - from);
    const part = element("i");
    part.style.left = 100 * from + "%";
    part.style.width = "max(" + 100 * (to - from) + "%, 1px)";
    part.style.background = colour(label);
    return part;
  });
  strip.replaceChildren(...parts.filter(Boolean));
  const ranked = [...shares].filter(([label]) => label).sort((a, b) => b[1] - a[1]);
  strip.setAttribute("aria-label", ranked.length === 0 ? "no answer yet" : "mostly " + ranked.slice(0, 5).map(
    ([label, share]) => label + " " + since(share * span)).join(", "));
  $("legend").replaceChildren(...ranked.slice(0, 8).map(([label, share]) => {
    const item = element("li");
    const patch = element("i");
    patch.style.background = colour(label);
    item.append(patch, label + " · " + since(share * span));
    return item;
  }));
  const lines = hour.seen.map(([at, label, score]) => [at, (label || "no class is likely") + (
    label && score <= 1 ? " (" + Math.round(100 * score) + " %)" : "")]).concat(
    hour.told).sort((a, b) => b[0] - a[0]);
  $("list").replaceChildren(...lines.slice(0, 200).map(([at, text]) => element("li", time(at) + "  " + text)));
}

// ---- teaching

async function ask(what, content) {
  try {
    const response = await fetch(what, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content), keepalive: true });
    const answer = await response.json();
    if (!response.ok) note(answer.error);
    return response.ok;
  } catch (error) {
    note("the program does not answer");
    return false;
  }
}

let noted = 0;
function note(text) {
  noted = Date.now();
  put($("teach-note"), text);
}

let holding = null;         // the button, and the timer that says so again
function hold(button) {
  if (holding && holding.button === button) return;
  letGo();
  const say = () => ask("hold", { page, name: button.dataset.name });
  holding = { button, timer: setInterval(say, 1000) };
  button.setAttribute("aria-pressed", "true");
  say();
}

function letGo() {
  if (!holding) return;
  clearInterval(holding.timer);
  holding.button.setAttribute("aria-pressed", "false");
  holding = null;
  ask("release", { page });
}
window.addEventListener("blur", letGo);
window.addEventListener("pagehide", letGo);
document.addEventListener("visibilitychange", () => { if (document.hidden) letGo(); });

function classButton(name) {
  const item = element("li");
  const button = element("button", "", "hold");
  button.type = "button";
  button.dataset.name = name;
  button.setAttribute("aria-pressed", "false");
  button.append(element("span", name), element("small", "hold to show it"));
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    hold(button);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) {
    button.addEventListener(end, () => { if (holding && holding.button === button) letGo(); });
  }
  button.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    if (!event.repeat) hold(button);
  });
  button.addEventListener("keyup", (event) => {
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); letGo(); }
  });
  button.addEventListener("click", (event) => {     // of a screen reader, which can only press: once to begin, once to end
    if (event.detail === 0) { if (holding && holding.button === button) letGo(); else hold(button); }
  });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  const forget = element("button", "✕");
  forget.type = "button";
  forget.setAttribute("aria-label", "forget " + name);
  forget.addEventListener("click", async () => {
    if (Number(button.dataset.pictures || 0) > 0 && !await ask("forget", { name })) return;
    names = names.filter((each) => each !== name);
    item.remove();
    $("name").focus();
  });
  item.append(button, forget);
  return item;
}

$("new").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim().replace(/\s+/g, " ");
  if (!name) return;
  if (!names.includes(name)) {
    names.push(name);
    $("classes").append(classButton(name));
  }
  $("name").value = "";
  note("Hold the button of " + name + " while the camera sees it.");
});

$("save").addEventListener("submit", async (event) => {
  event.preventDefault();
  put($("saved"), "");
  await ask("save", { name: $("file").value });
});

let savedName = "";
function showTeaching(teach) {
  for (const name of Object.keys(teach.classes)) {
    if (!names.includes(name)) {
      names.push(name);
      $("classes").append(classButton(name));
    }
  }
  for (const item of $("classes").children) {
    const button = item.firstChild;
    const pictures = teach.classes[button.dataset.name] || 0;
    button.dataset.pictures = pictures;
    put(button.lastChild, pictures ? pictures + (pictures === 1 ? " picture" : " pictures") : "hold to show it");
  }
  const word = teach.trouble || teach.at_work;
  if (word) put($("teach-note"), word);
  else if (Date.now() - noted > 6000) put($("teach-note"), teach.base ? "Learning on top of " + teach.base + "." : "");
  $("taught").hidden = Object.keys(teach.classes).length === 0;
  bars($("taught-answer"), teach.answer);
  if (teach.saved && savedName !== teach.saved.name) {
    savedName = teach.saved.name;
    $("saved").replaceChildren(
      "Saved as " + teach.saved.name + "." + (teach.saved.expected ? " Expected right on new pictures: " + teach.saved.expected + "." : ""),
      element("code", teach.saved.command));
  }
}
