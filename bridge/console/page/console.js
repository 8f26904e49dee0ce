"use strict";
// Everything that the HSM sends is shown as text (textContent); nothing is parsed as HTML.

const REFRESH = 5000, POINTS = 60, SVG = "http://www.w3.org/2000/svg";
const at = (id) => document.getElementById(id);
const state = { session: null, history: new Map(), before: null, nextKey: null, firstEntry: 0, search: 0 };

// ---- Requests

class Ended extends Error {}

async function ask(name, parameters, posted, automatic) {
  const headers = { "X-Console-Login": sessionStorage.getItem("login") || "" };
  if (automatic) headers["X-Console-Refresh"] = "1";
  if (posted) headers["Content-Type"] = "application/json";
  const query = parameters ? "?" + new URLSearchParams(parameters) : "";
  let answer;
  try {
    answer = await fetch("/api/" + name + query, { method: posted ? "POST" : "GET", headers, body: posted ? JSON.stringify(posted) : null });
  } catch {
    throw new Error("The console does not answer; run hsm console again.");
  }
  const value = await answer.json();
  if (answer.status === 401 && name !== "login") throw new Ended(value.error);
  if (!answer.ok) throw new Error(value.error);
  return value;
}

// Run an action; show its error, and the login again if that is over.
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error instanceof Ended) leave();
    say(error.message);
  }
}

function say(text) { at("message").textContent = text; }

// ---- Elements

function fill(parent, ...children) { parent.replaceChildren(...children.flat()); return parent; }

function element(name, content, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (Array.isArray(content)) made.append(...content); else if (content instanceof Node) made.append(content); else made.textContent = content;
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function cards(parent, pairs) {
  fill(parent, pairs.map(([name, value, kind]) => element("div", [element("dt", name), element("dd", value, kind ? { class: kind } : {})])));
}

function table(parent, names, rows, empty) {
  const head = element("thead", element("tr", names.map((name) => element("th", name, { scope: "col" }))));
  const body = element("tbody", rows.map((cells) => element("tr", cells.map((cell, i) => element("td", cell ?? "", { "data-name": names[i] })))));
  if (!rows.length) body.append(element("tr", element("td", empty, { colspan: names.length })));
  fill(parent, head, body);
}

const yes = (value) => (value ? "yes" : "no");
const seconds = (value) => value === null ? "–" : value < 0.001 ? (value * 1e6).toFixed(0) + " µs" : (value * 1e3).toFixed(1) + " ms";

// ---- Login

async function enter() {
  state.session = await ask("session");
  at("who").textContent = `${state.session.username}, ${state.session.role}`;
  for (const part of [at("who"), at("logout"), document.querySelector("nav")]) part.hidden = false;
  document.querySelector('nav a[href="#audit"]').hidden = !state.session.audit;
    show();
  document.querySelector("nav a[aria-current]").focus();
}

function leave() {
  sessionStorage.removeItem("login");
  state.session = null;
  state.history.clear();
  state.before = null;
  for (const part of [at("who"), at("logout"), document.querySelector("nav")]) part.hidden = true;
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== "view-login";
  for (const part of document.querySelectorAll("main table, main dl, .chart, #verification, #approval-result")) part.replaceChildren();
  for (const form of document.querySelectorAll("form")) form.reset();
  if (at("key-dialog").open) at("key-dialog").close();
  at("username").focus();
}

at("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    say("");
    const given = { key: sessionStorage.getItem("key") || "", username: at("username").value, role: at("role").value, password: at("password").value };
    at("password").value = "";
    const { token } = await ask("login", null, given);
    sessionStorage.setItem("login", token);
    await enter();
  });
});

at("logout").addEventListener("click", () => attempt(async () => {
  try { await ask("logout", null, {}); } finally { leave(); }
}));

// ---- Sections; an id that is no fragment of an address, or the browser would move the focus there

const SECTIONS = { overview, keys: () => findKeys(), users, audit: () => audit(0) };

function current() {
  const name = location.hash.slice(1);
  return SECTIONS[name] && (name !== "audit" || state.session.audit) ? name : "overview";
}

function show() {
  if (!state.session) return;
  const name = current();
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== "view-" + name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === "#" + name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  say("");
  attempt(SECTIONS[name]);
}

addEventListener("hashchange", () => { if (location.hash !== "#main") show(); });
setInterval(() => {
  if (state.session && !document.hidden && current() === "overview") attempt(() => overview(true));
}, REFRESH);

// ---- Overview

async function overview(automatic = false) {
  const [{ status, info }, { rows, reason }] = await Promise.all([ask("health", null, null, automatic), ask("operations", null, null, automatic)]);
  cards(at("health"), [
    ["State", status.healthy ? "healthy" : "fault", status.healthy ? "good" : "bad"],
    ["Keys", status.keys], ["Sessions", status.sessions], ["Version", status.version], ["Process", status.pid],
    ["Memory locked", yes(status.memory_locked)], ["State directory", status.home],
    ["Serial number", info["serial-number"] ?? ""],
  ]);
  if (rows === null) {
    fill(at("rates"), reason);
    for (const id of ["times", "rates-legend", "operations"]) at(id).replaceChildren();
    return;
  }
  remember(rows);
  drawRates();
  drawTimes(rows);
  table(at("operations"), ["Operation", "Uses", "Failed", "Half within", "95 of 100 within"],
    rows.map((row) => [row.operation, row.count, row.failures, seconds(row.median), seconds(row.slow)]), "No key has been used yet.");
}

// Counts become rates: the difference to the counts before, by the seconds between them.
function remember(rows) {
  const now = performance.now() / 1000;
  const counts = new Map(rows.map((row) => [row.operation, row.count]));
  if (state.before && now - state.before.now > 0.5) {
    for (const [operation, count] of counts) {
      const rate = Math.max(0, count - (state.before.counts.get(operation) ?? 0)) / (now - state.before.now);
      const points = state.history.get(operation) ?? [];
      points.push({ now, rate });
      state.history.set(operation, points.slice(-POINTS));
    }
  }
  if (!state.before || now - state.before.now > 0.5) state.before = { now, counts };
}

function drawRates() {
  const now = performance.now() / 1000, span = POINTS * REFRESH / 1000;
  const series = [...state.history].sort();
  const most = Math.max(1, ...series.flatMap(([, points]) => points.map((point) => point.rate)));
  const picture = shape("svg", { viewBox: "0 0 640 190", role: "img" });
  const last = series.map(([name, points]) => `${name} ${points.at(-1).rate.toFixed(1)}`).join(", ") || "no use yet";
  picture.append(shape("title", {}, `Uses per second now: ${last}`));
  for (const part of [0, 0.5, 1]) {
    const y = 160 - part * 140;
    picture.append(shape("line", { x1: 48, x2: 635, y1: y, y2: y, class: "axis" }));
    picture.append(shape("text", { x: 42, y: y + 4, "text-anchor": "end" }, (most * part).toFixed(most < 20 ? 1 : 0)));
  }
  picture.append(shape("text", { x: 48, y: 182 }, `${span / 60} minutes ago`), shape("text", { x: 635, y: 182, "text-anchor": "end" }, "now"));
  series.forEach(([, points], i) => {
    const path = points.map((point) => `${Math.max(48, 635 - (now - point.now) / span * 587).toFixed(1)},${(160 - point.rate / most * 140).toFixed(1)}`);
    picture.append(shape("polyline", { points: path.join(" "), class: `line s${i % 6}` }));
    const [x, y] = path.at(-1).split(",");
    picture.append(shape("circle", { cx: x, cy: y, r: 3, class: `s${i % 6}` }));
  });
  fill(at("rates"), picture);
  fill(at("rates-legend"), series.length ? series.flatMap(([name, points], i) => {
    const swatch = shape("svg", { class: "swatch", viewBox: "0 0 8 8", "aria-hidden": "true" });
    swatch.append(shape("rect", { width: 8, height: 8, class: `s${i % 6}` }));
    return [swatch, `${name} ${points.at(-1).rate.toFixed(1)}`];
  }) : ["Rates appear when keys are used, from the second refresh on."]);
}

function drawTimes(rows) {
  const timed = rows.filter((row) => row.slow !== null);
  const most = Math.max(1e-6, ...timed.map((row) => row.slow));
  const picture = shape("svg", { viewBox: `0 0 640 ${Math.max(1, timed.length) * 30 + 6}`, role: "img" });
  picture.append(shape("title", {}, timed.map((row) => `${row.operation}: half within ${seconds(row.median)}, 95 of 100 within ${seconds(row.slow)}`).join("; ") || "no times yet"));
  if (!timed.length) picture.append(shape("text", { x: 8, y: 22 }, "No use has been timed yet."));
  timed.forEach((row, i) => {
    const y = i * 30 + 6, width = (value) => Math.max(2, value / most * 440);
    picture.append(shape("text", { x: 70, y: y + 16, "text-anchor": "end" }, row.operation));
    picture.append(shape("rect", { x: 78, y, width: width(row.slow), height: 22, rx: 3, class: "s0 slow" }));
    picture.append(shape("rect", { x: 78, y: y + 5, width: width(row.median), height: 12, rx: 2, class: "s0" }));
    picture.append(shape("text", { x: 86 + width(row.slow), y: y + 16 }, seconds(row.slow)));
  });
  fill(at("times"), picture);
}

// ---- Keys

let listed = [];

async function findKeys(first = 0) {
  const mine = ++state.search;
  const found = await ask("keys", { text: at("search").value.trim(), first });
  if (mine !== state.search) return;
  listed = first ? [...listed, ...found.keys] : found.keys;
  state.nextKey = found.next;
  table(at("key-table"), ["Label", "Reference", "Class", "Type", "Kept", "Leaves the HSM"], listed.map((key) => {
    const open = element("button", key.LABEL || "(no label)", { type: "button", class: "plain" });
    open.addEventListener("click", () => attempt(() => openKey(key)));
    const known = "OBJECT_CLASS" in key;
    return [open, key.reference, key.OBJECT_CLASS, key.KEY_TYPE, known ? (key.TOKEN ? "token key" : "session key") : "", known ? yes(key.EXTRACTABLE) : ""];
  }), "No key matches.");
  at("more-keys").hidden = found.next === null;
}

async function openKey({ reference, LABEL }) {
  const { key } = await ask("key", { reference });
  at("key-title").textContent = LABEL || reference;
  const names = Object.keys(key ?? {}).sort();
  fill(at("key-attributes"), names.flatMap((name) => [element("dt", name.toLowerCase().replaceAll("_", " ")), element("dd", text(key[name]))]));
  at("key-dialog").showModal();
}

function text(value) {
  if (typeof value === "boolean") return yes(value);
  return value !== null && typeof value === "object" ? (Array.isArray(value) ? value.map(text).join(", ") : JSON.stringify(value)) : String(value ?? "–");
}

let waiting;
at("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => attempt(() => findKeys()), 250); });
at("more-keys").addEventListener("click", () => attempt(() => findKeys(state.nextKey)));
at("key-close").addEventListener("click", () => at("key-dialog").close());

// ---- Users and quorum

async function users() {
  const { users: all, values, tokens } = await ask("users");
  table(at("user-table"), ["Name", "Role", "Locked", "Second factor", "Approves"],
    all.map((user) => [user.username, user.role, yes(user.locked), yes(user.mfa), yes(user.quorum)]), "No users");
  cards(at("quorum-values"), Object.entries(values).map(([service, value]) => [service, value > 1 ? `${value} approvals` : "no approval"]));
  table(at("token-table"), ["User", "Service", "Approvals", "Ends in"], tokens.map((token) => [
    token.username, token.service + (token["key-reference"] ? ` ${token["key-reference"]}` : ""),
    "approvals-required" in token ? `${token["number-of-approvals"]} of ${token["approvals-required"]}` : `${token["minimum-token-count"]} tokens`,
    "token-timeout-seconds" in token ? `${token["token-timeout-seconds"]} s` : "",
  ]), "No token waits for approvals.");
}

const bytes = (base64) => Uint8Array.from(atob(base64.replace(/\s/g, "")), (character) => character.charCodeAt(0));
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));

// The token is the SHA-256 hash of the approval's data, so a signature of the data is one of the token.
async function sign(file, pem) {
  const approval = JSON.parse(await file.text());
  if (!state.session.approves[approval.service]) throw new Error(`A user of the role ${state.session.role} cannot approve the service ${approval.service}.`);
  const data = bytes(approval.approval_data);
  if (base64(await crypto.subtle.digest("SHA-256", data)) !== base64(bytes(approval.token))) throw new Error("The file was changed: its token is not the hash of its data.");
  const encoded = /-----BEGIN PRIVATE KEY-----([\s\S]+?)-----END PRIVATE KEY-----/.exec(await pem.text());
  if (!encoded) throw new Error("The key file has no BEGIN PRIVATE KEY; openssl pkcs8 -topk8 -nocrypt converts it.");
  const key = await crypto.subtle.importKey("pkcs8", bytes(encoded[1]), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"]);
  const signature = base64(await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, data));
  const { username, role } = state.session;
  approval.signatures = [...approval.signatures.filter((one) => one.username !== username), { username, role, signature }];
  return approval;
}

at("approval-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    say("");
    at("approval-result").replaceChildren();
    const file = at("approval-file").files[0];
    const approval = await sign(file, at("key-file").files[0]).catch((error) => { throw new Error(error.message || "The files cannot be read."); });
    at("key-file").value = "";
    const address = URL.createObjectURL(new Blob([JSON.stringify(approval, null, 2) + "\n"], { type: "application/json" }));
    const name = file.name.replace(/(\.json)?$/, `-${state.session.username}.json`);
    const link = element("a", `Save ${name}`, { href: address, download: name });
    fill(at("approval-result"), `Signed for ${approval.service}; the file has ${approval.signatures.length} signatures. `, link, " and give it to the user who requested the token.");
    link.focus();
  });
});

// ---- Audit log

let entries = [];

async function audit(before) {
  const found = await ask("audit", { before });
  entries = before ? [...entries, ...found.entries.reverse()] : found.entries.reverse();
  state.firstEntry = found.first;
  table(at("audit-table"), ["Number", "Time", "Command", "User", "Key", "Result"], entries.map((entry) => [
    entry.sequence, new Date(entry.time / 1000).toLocaleString("sv"), entry.opcode, entry.user_name || "",
    [entry.secret_handle, entry.public_handle].filter((handle) => handle).join(" "),
    element("span", entry.response === 0 ? "done" : `refused, code ${entry.response}`, { class: entry.response === 0 ? "good" : "bad" }),
  ]), "No entries");
  at("earlier").hidden = found.first === 0;
}

at("earlier").addEventListener("click", () => attempt(() => audit(state.firstEntry)));
at("verify-form").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    say("");
    fill(at("verification"), "Verifying …");
    const result = await ask("verify", null, { anchor: at("anchor").value.trim() }).catch((error) => { at("verification").replaceChildren(); throw error; });
    const good = !result.findings.length;
    fill(at("verification"),
      element("p", good ? `${result.entries} entries, all as they were written.` : `${result.findings.length} findings in ${result.entries} entries:`, { class: good ? "good" : "bad" }),
      element("ul", result.findings.map((finding) => element("li", `${finding.sequence ?? "log"}: ${finding.text}`))),
      element("p", `Anchor to keep: ${result.anchor}`));
  });
});

// ---- Start: the access key leaves the address, so that no history and no picture of the screen has it.

if (/^#[\w-]{20,}$/.test(location.hash)) {
  sessionStorage.setItem("key", location.hash.slice(1));
  history.replaceState(null, "", "/#overview");
}
if (sessionStorage.getItem("login")) attempt(enter); else at("username").focus();
