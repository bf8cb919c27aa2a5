// The page: the program and its tables on one side, what comes of them on the other.

import { openRequest } from "./data.js";
import { jump, makeEditor, showOverview } from "./editor.js";
import { Engine, Stopped } from "./engine.js";
import { examples } from "./examples.js";
import { markdown } from "./markdown.js";
import { showGraph, showRows } from "./results.js";
import { decode, encode } from "./share.js";

const $ = (id) => document.getElementById(id);
const NOW = 1767268800000000; // 2026-01-01T12:00:00Z: a run gives the same rows each day

const state = { text: "", tables: [], epochRows: null, close: true };
let chosen = 0, version = 0, overview = null, tab = "rows", pages = null;

const module = WebAssembly.compileStreaming(fetch(new URL("./flowc.wasm", import.meta.url)));
module.catch((error) => notice(`The compiler cannot be loaded: ${error.message}. Run docs/playground/build.sh, then load this page again.`));
const language = new Engine(module), runner = new Engine(module);

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

const later = (milliseconds, work) => {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
};

/** Asks of the program as it is now. */
async function ask(request) {
  const asked = version;
  try {
    const answer = await language.ask([openRequest(state).request, JSON.stringify(request)]);
    return asked === version ? answer : {};
  } catch {
    return {};
  }
}

const view = makeEditor($("editor"), {
  ask,
  changed() {
    state.text = view.state.doc.toString();
    touched();
  },
  moved: later(250, () => run()),
  format,
});

/** Something is different from now on. */
function touched() {
  version++;
  $("view-rows").classList.add("stale");
  $("status").textContent = "…";
  check();
}

const check = later(120, async () => {
  const asked = version, { request, mistakes } = openRequest(state);
  remember();
  let answer;
  try {
    answer = await language.ask([request]);
  } catch (error) {
    if (asked === version) $("status").textContent = error.message;
    return;
  }
  if (asked !== version) return;
  overview = answer.refused ? { problems: [], tokens: [], hints: [], mistakes: [{ location: "", message: answer.refused }] } : answer;
  overview.mistakes.unshift(...mistakes);
  showOverview(view, overview, apply);
  showProblems();
  showTableMistakes();
  run();
  if (tab === "graph" || tab === "plan") showPlan();
});

/** Runs the program over the tables, and shows the rows. */
const run = later(150, async () => {
  const asked = version, { request } = openRequest(state);
  const wishes = { do: "run", at: view.state.selection.main.head, epoch_rows: state.epochRows, now: NOW, close: state.close };
  let answer;
  const began = performance.now();
  try {
    answer = await runner.ask([request, JSON.stringify(wishes)], { timeout: 2500 });
  } catch (error) {
    if (asked !== version) return;
    const message = error instanceof Stopped ? `The program was ${error.message}: it may never end, or makes too many rows for a page.` : `The program was stopped: it needs more memory than a page has, or met a mistake in flowc itself (${error.message}).`;
    answer = { sinks: [], error: { message } };
  }
  if (asked !== version) return;
  const took = Math.round(performance.now() - began);
  $("status").textContent = answer.error ? "stopped" : overview?.runs === false ? "does not run" : `${took} ms`;
  $("view-rows").classList.toggle("stale", overview?.runs === false);
  showRows($, answer, { runs: overview?.runs !== false, problems: () => choose("problems"), go: (from, to) => jump(view, from, to) });
  document.body.dataset.shown = String(asked);
});

async function showPlan() {
  const answer = await ask({ do: "show" });
  if (answer.graph) {
    showGraph($("view-graph"), answer.graph);
    $("plan").textContent = answer.plan;
  }
  for (const id of ["view-graph", "view-plan"]) $(id).classList.toggle("stale", !answer.graph);
  if (!answer.graph && !$("plan").textContent) $("plan").textContent = "There is a plan as soon as the program has no mistakes.";
}

/** Applies the edits of a fix. */
function apply(fix) {
  view.dispatch({ changes: fix.edits.map(({ from, to, text }) => ({ from, to, insert: text })), userEvent: "input.fix" });
  view.focus();
}

async function format() {
  const edit = await ask({ do: "format" });
  if (edit.text !== undefined) apply({ edits: [edit] });
}

function showProblems() {
  const list = $("view-problems");
  const problems = overview.problems, errors = problems.filter((p) => p.severity === "error");
  $("count").textContent = problems.length + overview.mistakes.length || "";
  $("count").classList.toggle("severe", errors.length > 0);
  const cards = problems.map((problem) => {
    const card = element("div", { className: problem.severity === "error" ? "problem severe" : "problem" });
    const line = view.state.doc.lineAt(Math.min(problem.from, view.state.doc.length));
    const place = element("button", { className: "place", textContent: `line ${line.number}` });
    place.onclick = () => jump(view, problem.from, problem.to);
    const head = element("div");
    head.append(element("strong", { textContent: problem.code }), " ", place);
    card.append(head, element("p", { textContent: problem.message }));
    const actions = element("div", { className: "actions" });
    for (const fix of problem.fixes) {
      const button = element("button", { textContent: fix.title });
      button.onclick = () => apply(fix);
      actions.append(button);
    }
    card.append(actions, pageOf(problem.code));
    return card;
  });
  const mistakes = overview.mistakes.map((mistake) => {
    const card = element("div", { className: "problem severe" });
    card.append(element("p", { textContent: describe(mistake) }));
    return card;
  });
  list.replaceChildren(...(cards.length || mistakes.length ? [...cards, ...mistakes] : [element("p", { className: "empty", textContent: "No mistakes." })]));
}

/** The page about a diagnostic, loaded when it is opened. */
function pageOf(code) {
  const details = element("details", { className: "page" });
  details.append(element("summary", { textContent: `about ${code}` }));
  details.ontoggle = async () => {
    if (!details.open || details.childElementCount > 1) return;
    pages ??= fetch(new URL("./pages.json", import.meta.url)).then((response) => response.json());
    const text = (await pages.catch(() => ({})))[code] ?? "There is no page about it.";
    details.append(markdown(text));
  };
  return details;
}

const describe = (mistake) => {
  const where = mistake.line ? `schema, line ${mistake.line}: ` : mistake.row ? `row ${mistake.row}: ` : "";
  return `${mistake.location}: ${where}${mistake.message}`;
};

const element = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);

// Tables.

function showTables() {
  chosen = Math.min(chosen, Math.max(0, state.tables.length - 1));
  const tabs = state.tables.map((table, index) => {
    const button = element("button", { textContent: table.location || "(no location)" });
    button.setAttribute("role", "tab");
    button.setAttribute("aria-selected", String(index === chosen));
    button.onclick = () => { chosen = index; showTables(); };
    return button;
  });
  const add = element("button", { textContent: "+ table", title: "Add a sample table" });
  add.onclick = () => {
    state.tables.push({ location: `warehouse/table${state.tables.length + 1}`, schema: "id: long", format: "csv", rows: "id\n1\n" });
    chosen = state.tables.length - 1;
    showTables();
    touched();
  };
  $("table-tabs").replaceChildren(...tabs, add);
  const table = state.tables[chosen];
  $("table").hidden = !table;
  if (!table) return;
  for (const [id, key] of [["location", "location"], ["schema", "schema"], ["rows", "rows"], ["rows-format", "format"]]) {
    if ($(id).value !== table[key]) $(id).value = table[key];
  }
  showTableMistakes();
}

function showTableMistakes() {
  const location = state.tables[chosen]?.location;
  const own = (overview?.mistakes ?? []).filter((mistake) => mistake.location === location);
  $("table-mistakes").textContent = own.map((m) => describe(m).slice(location.length + 2)).join("\n");
}

for (const [id, key] of [["location", "location"], ["schema", "schema"], ["rows", "rows"], ["rows-format", "format"]]) {
  $(id).addEventListener("input", () => {
    state.tables[chosen][key] = $(id).value;
    if (key === "location") $("table-tabs").children[chosen].textContent = $(id).value;
    touched();
  });
}
$("remove-table").onclick = () => {
  state.tables.splice(chosen, 1);
  showTables();
  touched();
};

// Choices.

function choose(name) {
  tab = name;
  for (const one of ["rows", "graph", "plan", "problems"]) {
    $(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
    $(`view-${one}`).hidden = one !== name;
  }
  if (name === "graph" || name === "plan") showPlan();
}
$("tabs").addEventListener("click", (event) => {
  const found = event.target.closest("[role=tab]");
  if (found) choose(found.id.slice(4));
});
$("tabs").addEventListener("keydown", (event) => {
  const all = ["rows", "graph", "plan", "problems"], by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  choose(all[(all.indexOf(tab) + by + all.length) % all.length]);
  $(`tab-${tab}`).focus();
});
$("epoch-rows").addEventListener("input", () => {
  state.epochRows = Math.max(0, Math.floor(Number($("epoch-rows").value))) || null;
  touched();
});
$("close").addEventListener("input", () => {
  state.close = $("close").checked;
  touched();
});
$("format").onclick = format;
$("share").onclick = async () => {
  await remember();
  const done = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
  $("share").textContent = done ? "Copied" : "In the address bar";
  setTimeout(() => ($("share").textContent = "Share"), 1500);
};

const dark = matchMedia("(prefers-color-scheme: dark)");
function paint(theme) {
  document.documentElement.dataset.theme = theme ?? (dark.matches ? "dark" : "light");
}
$("theme").onclick = () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", theme); } catch { /* then it holds for this time */ }
  paint(theme);
};
const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
paint(kept());
dark.addEventListener("change", () => paint(kept()));

// What is shared.

let written = "";
async function remember() {
  const fragment = await encode(state);
  written = "#" + fragment;
  history.replaceState(null, "", written);
}

function take(next) {
  Object.assign(state, { epochRows: null, close: true }, structuredClone(next));
  chosen = 0;
  $("epoch-rows").value = state.epochRows ?? "";
  $("close").checked = state.close;
  showTables();
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: state.text }, selection: { anchor: 0 } });
  state.text = view.state.doc.toString();
  touched();
}

$("example").append(...examples.map((example, index) => element("option", { value: index, textContent: example.title })), element("option", { value: "own", textContent: "(your own)", hidden: true }));
$("example").onchange = () => take(examples[$("example").value]);

async function start() {
  const shared = await decode(location.hash);
  const index = examples.findIndex((example) => example.text === (shared ?? examples[0]).text);
  $("example").value = index < 0 ? "own" : String(index);
  take(shared ?? examples[0]);
}
addEventListener("hashchange", () => location.hash !== written && start());
choose("rows");
start();
