// Rows as tables, and the graph as a picture. All texts are put in as texts.

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const numeric = /^(byte|short|integer|long|float|double|decimal)/;

function rowsTable({ columns, rows, total }) {
  if (!columns?.length) return element("p", { className: "empty", textContent: "no columns" });
  const head = element("tr", {}, ...columns.map((c) => element("th", { title: c.comment ?? "" }, c.name, element("small", { textContent: c.type }))));
  const cell = (text, index) => {
    if (text === "null") return element("td", { className: "null", textContent: "null" });
    const shown = text.startsWith('"') ? JSON.parse(text) : text;
    return element("td", { className: numeric.test(columns[index].type) ? "number" : "", textContent: shown, title: shown.length > 60 ? shown : "" });
  };
  const body = rows.map((row) => element("tr", {}, ...row.map(cell)));
  const table = element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  const more = total > rows.length ? [element("p", { className: "empty", textContent: `and ${total - rows.length} more` })] : [];
  return element("div", {}, table, ...more);
}

const count = (n) => (n === 1 ? "1 row" : `${n} rows`);

function failure(error, go) {
  const parts = [`${error.code ? error.code + ": " : ""}${error.message}`];
  if (error.row?.length) parts.push("row: " + error.row.map(([name, value]) => `${name} = ${value}`).join(", "));
  if (error.help) parts.push(error.help);
  const box = element("div", { className: "error", textContent: parts.join("\n") });
  if (error.from !== undefined && go) {
    const link = element("button", { textContent: "show where" });
    link.onclick = () => go(error.from, error.to);
    box.append(" ", link);
  }
  return box;
}

/** The rows of a run. */
export function showRows($, answer, { runs, problems, go }) {
  const notes = [];
  if (!runs) {
    const link = element("button", { textContent: "see what is wrong" });
    link.onclick = problems;
    notes.push(element("p", { className: "empty" }, "The program does not run as it is. ", link));
  }
  if (answer.error) notes.push(failure(answer.error, go));
  if (answer.cut) notes.push(element("p", { className: "empty", textContent: "The run was ended after 500 epochs." }));
  $("rows-error").replaceChildren(...notes);
  const here = answer.here;
  const shown = here && element("div", { className: "here" },
    element("h2", {}, here.title, element("small", { textContent: here.error ? "" : `at the cursor, ${count(here.total ?? 0)}` })),
    here.error ? failure(here.error) : rowsTable(here));
  $("here").replaceChildren(...(shown ? [shown] : []));
  if (runs || answer.sinks.length) {
    $("sinks").replaceChildren(...answer.sinks.map((sink) => element("section", { className: "sink" },
      element("h2", {}, `sink ${sink.name}`, element("small", { textContent: count(sink.total) })), rowsTable(sink))));
  }
  $("summary").replaceChildren(...summary(answer.summary));
}

/** What rules and windows came to. */
function summary(found) {
  if (!found) return [];
  const rules = (found.expectations ?? []).map((rule) => [rule.flow, rule.name, rule.passed, rule.failed, rule.dropped, rule.quarantined, rule.repaired]);
  const late = (found.steps ?? []).filter((step) => step.late > 0).map((step) => `${count(step.late)} came too late for ${step.name}`);
  const malformed = (found.sources ?? []).filter((source) => source.malformed > 0).map((source) => `${count(source.malformed)} of ${source.name} malformed`);
  const parts = [];
  if (rules.length) {
    const head = element("tr", {}, ...["flow", "rule", "passed", "failed", "dropped", "quarantined", "repaired"].map((name) => element("th", { textContent: name })));
    const body = rules.map((row) => element("tr", {}, ...row.map((cell) => element("td", { textContent: cell ?? "" }))));
    parts.push(element("h2", { textContent: "rules" }), element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, head, ...body)));
  }
  const epochs = `${found.epochs} ${found.epochs === 1 ? "epoch" : "epochs"}`;
  parts.push(element("p", { className: "empty", textContent: [epochs, ...late, ...malformed].join(", ") }));
  return parts;
}

const allowed = new Set(["svg", "g", "path", "text", "tspan", "polygon", "rect", "line", "polyline", "ellipse", "defs", "marker"]);

/** Puts a picture in. It is drawn of names that others may have chosen: only shapes and texts of it are kept. */
export function showGraph(place, source) {
  const parsed = new DOMParser().parseFromString(source, "image/svg+xml").documentElement;
  if (parsed.nodeName !== "svg") return;
  for (const node of [...parsed.querySelectorAll("*")]) {
    if (!allowed.has(node.nodeName)) node.remove();
    for (const { name } of [...node.attributes]) if (/^on|href/i.test(name)) node.removeAttribute(name);
    recolour(node);
  }
  place.replaceChildren(document.importNode(parsed, true));
  const svg = place.firstElementChild;
  if (!svg.getAttribute("viewBox")) svg.setAttribute("viewBox", `0 0 ${parseFloat(svg.getAttribute("width"))} ${parseFloat(svg.getAttribute("height"))}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "The graph of the program");
}

/** The picture's colours as those of the page, so that it is light or dark with it. */
function recolour(node) {
  const of = (colour) => {
    const c = colour?.toLowerCase();
    return { "#add8e6ff": "var(--source)", "#ffffe0ff": "var(--table)", "#90ee90ff": "var(--sink)", "#ffffffff": "var(--step)", "#000000ff": "var(--text)", black: "var(--text)", "#000000": "var(--text)" }[c];
  };
  for (const name of ["fill", "stroke"]) {
    const found = of(node.getAttribute(name));
    if (found) node.style[name] = found;
  }
  if (node.nodeName === "text" || node.nodeName === "tspan") node.style.fill = "var(--text)";
}
