// The editor: CodeMirror with the compiler behind it. Colours, hints and mistakes come from the same answer; hover and completion are asked for.

import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, snippet } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab, toggleComment } from "@codemirror/commands";
import { bracketMatching, indentUnit } from "@codemirror/language";
import { forceLinting, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { EditorSelection, EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, WidgetType, drawSelection, highlightActiveLine, hoverTooltip, keymap, lineNumbers } from "@codemirror/view";
import { markdown } from "./markdown.js";

const setOverview = StateEffect.define();

class Hint extends WidgetType {
  constructor(hint) { super(); this.hint = hint; }
  eq(other) { return other.hint.text === this.hint.text; }
  toDOM() {
    const span = document.createElement("span");
    span.className = this.hint.type ? "hint type" : "hint";
    span.textContent = this.hint.text;
    if (this.hint.more) span.title = this.hint.more;
    span.setAttribute("aria-hidden", "true");
    return span;
  }
}

/** Colours and hints; they move with the text until the next answer. */
const decorations = StateField.define({
  create: () => Decoration.none,
  update(value, transaction) {
    value = value.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setOverview)) continue;
      const { tokens, hints, problems } = effect.value, end = transaction.newDoc.length;
      const ranges = tokens.filter(([from, to]) => from < to && to <= end).map(([from, to, kind]) => Decoration.mark({ class: `tok-${kind}` }).range(from, to));
      for (const hint of hints) if (hint.at <= end) ranges.push(Decoration.widget({ widget: new Hint(hint), side: 1 }).range(hint.at));
      for (const p of problems) if (p.unnecessary && p.from < p.to && p.to <= end) ranges.push(Decoration.mark({ class: "tok-unused" }).range(p.from, p.to));
      value = Decoration.set(ranges, true);
    }
    return value;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** A snippet of the language server's protocol as one of CodeMirror's. */
function template(text) {
  let out = "", fields = 0;
  const plain = (c) => (c === "{" || c === "}" ? "\\" + c : c);
  for (let i = 0; i < text.length; i++) {
    const field = /^\$(?:(\d+)|\{(\d+)(?::([^}]*))?\})/.exec(text.slice(i));
    if (text[i] === "\\" && i + 1 < text.length) out += plain(text[++i]);
    else if (field) {
      fields++;
      out += `\${${field[1] ?? field[2]}${field[3] ? ":" + field[3] : ""}}`;
      i += field[0].length - 1;
    } else out += plain(text[i]);
  }
  return { text: out, fields };
}

const kinds = { column: "property", field: "property", relation: "class", sink: "class", parameter: "variable", function: "function", type: "type", keyword: "keyword", connector: "namespace", file: "text", folder: "text" };

function option(found) {
  const { text, fields } = template(found.insert);
  const plain = text.replace(/\\([{}])/g, "$1");
  return {
    label: found.label,
    detail: found.detail || undefined,
    type: kinds[found.kind] ?? "text",
    info: found.doc ? () => markdown(found.doc) : undefined,
    apply: fields ? snippet(text) : plain,
  };
}

/**
 * Makes the editor. `ask`: of the program as it is at that moment; `changed`: the text is another one; `moved`: the cursor is elsewhere; `fixed`: of a mistake's fixes.
 */
export function makeEditor(parent, { ask, changed, moved, format }) {
  const complete = async (context) => {
    const word = context.matchBefore(/[\w`]*/), before = context.state.sliceDoc(Math.max(0, context.pos - 1), context.pos);
    if (!context.explicit && word.from === word.to && !/[.("/|> ]/.test(before)) return null;
    if (!context.explicit && before === " " && !/(\|>|where|extend|select|by|join|->|=|on|,)\s$/.test(context.state.sliceDoc(Math.max(0, context.pos - 12), context.pos))) return null;
    const { options } = await ask({ do: "complete", at: context.pos });
    if (context.aborted || !options?.length) return null;
    return { from: options[0].from, options: options.map(option), validFor: /^[\w`]*$/ };
  };
  const hover = hoverTooltip(async (_, at) => {
    const found = await ask({ do: "hover", at });
    if (!found.text) return null;
    return { pos: found.from, end: found.to, above: true, create: () => ({ dom: markdown(found.text) }) };
  }, { hoverTime: 250 });
  const define = (view) => {
    ask({ do: "definition", at: view.state.selection.main.head }).then((found) => found.from !== undefined && jump(view, found.from, found.to));
    return true;
  };
  const view = new EditorView({
    parent,
    state: EditorState.create({
      extensions: [
        lineNumbers(), history(), drawSelection(), bracketMatching(), closeBrackets(), highlightActiveLine(), highlightSelectionMatches(), lintGutter(), decorations, hover,
        autocompletion({ override: [complete], icons: true }), indentUnit.of("    "), EditorView.lineWrapping,
        EditorState.languageData.of(() => [{ commentTokens: { line: "#" } }]),
        EditorView.contentAttributes.of({ "aria-label": "Program", spellcheck: "false", autocapitalize: "off" }),
        keymap.of([
          { key: "Tab", run: acceptCompletion }, { key: "F12", run: define }, { key: "Shift-Alt-f", run: () => (format(), true) }, { key: "Mod-/", run: toggleComment },
          ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap, indentWithTab,
        ]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed();
          else if (update.selectionSet) moved();
        }),
        theme,
      ],
    }),
  });
  return view;
}

/** Shows what is known of the text as it is now. */
export function showOverview(view, overview, fix) {
  const end = view.state.doc.length;
  const diagnostics = overview.problems.map((problem) => ({
    from: Math.min(problem.from, end),
    to: Math.min(Math.max(problem.to, problem.from), end),
    severity: problem.severity,
    source: problem.code,
    message: problem.message,
    actions: problem.fixes.map((one) => ({ name: one.title, apply: () => fix(one) })),
  }));
  view.dispatch(setDiagnostics(view.state, diagnostics));
  view.dispatch({ effects: setOverview.of(overview) });
  forceLinting(view);
}

/** Puts the cursor somewhere, and shows it. */
export function jump(view, from, to) {
  const end = view.state.doc.length;
  view.dispatch({ selection: EditorSelection.single(Math.min(from, end), Math.min(to, end)), effects: EditorView.scrollIntoView(Math.min(from, end), { y: "center" }) });
  view.focus();
}

const theme = EditorView.theme({
  "&": { backgroundColor: "var(--back)", color: "var(--text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--back)", color: "var(--dim)", border: "none" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent) 7%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "transparent" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "color-mix(in srgb, var(--accent) 25%, transparent) !important" },
  ".cm-completionDetail": { color: "var(--dim)", fontStyle: "normal" },
});
