// Puts the page's modules, the examples and the pages about diagnostics together, as plain files in dist/.
import { build } from "esbuild";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";

await mkdir("dist", { recursive: true });
const common = { bundle: true, minify: true, outdir: "dist", target: "es2022", logLevel: "warning", loader: { ".flow": "text" } };
await build({ ...common, entryPoints: { app: "src/app.js" }, format: "esm" });
await build({ ...common, entryPoints: { worker: "src/worker.js" }, format: "iife" });

const pages = {};
for (const file of (await readdir("../errors")).sort()) {
  const code = /^([EWR]\d{4})\.md$/.exec(file)?.[1];
  if (code) pages[code] = await readFile(`../errors/${file}`, "utf8");
}
await writeFile("dist/pages.json", JSON.stringify(pages));
