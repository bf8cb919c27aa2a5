// Draws media/icon.png from media/icon.svg: the marketplace takes no SVG.
import { Resvg } from "@resvg/resvg-js";
import { readFileSync, writeFileSync } from "node:fs";

const at = (file) => new URL(`../media/${file}`, import.meta.url);
writeFileSync(at("icon.png"), new Resvg(readFileSync(at("icon.svg")), { fitTo: { mode: "width", value: 256 } }).render().asPng());
