// Sample tables as texts, and as the compiler takes them. Numbers stay texts on the way: a double of JavaScript would cut long ones.

/** The rows of a CSV text, a quoted cell may hold anything; an empty cell that is not quoted is null. */
export function parseCsv(text) {
  const records = [[]];
  let cell = "", quoted = false, was = false;
  const end = () => { records.at(-1).push({ cell, was }); cell = ""; was = false; };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === '"' && cell === "") quoted = was = true;
    else if (c === ",") end();
    else if (c === "\n") { end(); records.push([]); }
    else if (c !== "\r") cell += c;
  }
  end();
  return records.filter((record) => record.length > 1 || record[0].cell !== "" || record[0].was);
}

/** The rows of a table as JSON texts, and what is wrong. */
export function rowsOf(table) {
  const mistakes = [], rows = [];
  if (table.format === "json") {
    table.rows.split("\n").forEach((line, index) => {
      const text = line.trim().replace(/,$/, "");
      if (!text || text === "[" || text === "]") return;
      try {
        if (typeof JSON.parse(text) !== "object" || text[0] !== "{") throw new Error("a row is an object: { \"column\": value }");
        rows.push(text);
      } catch (error) {
        mistakes.push({ location: table.location, message: `line ${index + 1}: ${error.message}` });
      }
    });
    return { rows, mistakes };
  }
  const [head, ...records] = parseCsv(table.rows);
  records.forEach((record, index) => {
    if (record.length > head.length) {
      mistakes.push({ location: table.location, message: `row ${index + 1}: it has ${record.length} cells, and there are ${head.length} columns` });
    }
    const cells = record.slice(0, head.length).flatMap(({ cell, was }, at) => (cell === "" && !was ? [] : [[head[at].cell.trim(), was ? cell : cell.trim()]]));
    rows.push(JSON.stringify(Object.fromEntries(cells)));
  });
  return { rows, mistakes };
}

/** The request that opens a program with its tables, and what is wrong with these. */
export function openRequest(state) {
  const mistakes = [];
  const tables = state.tables.map((table) => {
    const read = rowsOf(table);
    mistakes.push(...read.mistakes);
    return `{"location":${JSON.stringify(table.location)},"schema":${JSON.stringify(table.schema)},"rows":[${read.rows.join(",")}]}`;
  });
  return { request: `{"do":"open","text":${JSON.stringify(state.text)},"tables":[${tables.join(",")}]}`, mistakes };
}
