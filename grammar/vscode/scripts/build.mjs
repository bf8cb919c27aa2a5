// Bundles the extension, and brings in what it shares with other editors: the TextMate grammar and the licence.
import { build } from "esbuild";
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
mkdirSync(here("syntaxes"), { recursive: true });
copyFileSync(here("../flow.tmLanguage.json"), here("syntaxes/flow.tmLanguage.json"));
copyFileSync(here("../../LICENSE"), here("LICENSE"));

const shared = { bundle: true, platform: "node", target: "node20", sourcemap: false, minify: true, logLevel: "warning" };
await build({ ...shared, entryPoints: [here("src/extension.ts")], outfile: here("dist/extension.js"), format: "cjs", external: ["vscode"] });
// What knows nothing of the editor, for its tests.
await build({ ...shared, entryPoints: [here("src/pure.ts")], outfile: here("dist/pure.mjs"), format: "esm", minify: false });
