// The Markdown of hovers and of pages about diagnostics, as elements: no text is ever taken for markup.

function inline(parent, text) {
  const pattern = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\([^)]*\)/g;
  let last = 0;
  for (const found of text.matchAll(pattern)) {
    parent.append(text.slice(last, found.index));
    const [whole, code, strong, em, link] = found;
    const element = document.createElement(code ? "code" : strong ? "strong" : em ? "em" : "span");
    element.textContent = code ?? strong ?? em ?? link.replaceAll("`", "");
    parent.append(element);
    last = found.index + whole.length;
  }
  parent.append(text.slice(last));
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

/** An element that shows a text. */
export function markdown(text) {
  const out = document.createElement("div");
  out.className = "markdown";
  const lines = text.split("\n");
  const add = (tag, parent = out) => parent.appendChild(document.createElement(tag));
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (line.startsWith("```")) {
      const code = [];
      while (++i < lines.length && !lines[i].startsWith("```")) code.push(lines[i]);
      add("pre").textContent = code.join("\n");
    } else if (/^#+ /.test(line)) inline(add("h3"), line.replace(/^#+ /, ""));
    else if (/^\s*\|/.test(line)) {
      const table = add("table");
      for (; i < lines.length && /^\s*\|/.test(lines[i]); i++) {
        if (/^[\s|:-]+$/.test(lines[i])) continue;
        const row = add("tr", table);
        for (const cell of cells(lines[i])) inline(add(table.rows.length === 1 ? "th" : "td", row), cell);
      }
      i--;
    } else if (/^\s*- /.test(line)) {
      const list = add("ul");
      for (; i < lines.length && /^\s*- /.test(lines[i]); i++) inline(add("li", list), lines[i].replace(/^\s*- /, ""));
      i--;
    } else if (line.trim()) {
      const words = [line];
      while (i + 1 < lines.length && lines[i + 1].trim() && !/^(```|#|\s*\||\s*- )/.test(lines[i + 1])) words.push(lines[++i]);
      inline(add("p"), words.join(" "));
    }
  }
  return out;
}
