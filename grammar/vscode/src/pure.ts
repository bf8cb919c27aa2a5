// What the extension computes without an editor: its tests read this file alone.

export { layOut, drawn, graphOfPlan, graphOfServer, nodeAt } from "./graph-model";
export type { Graph, GraphNode } from "./graph-model";
export { testsOf, outcomeOf, failureText } from "./test-model";
export { paramWords, expandPath, placeOf } from "./words";
export { tableOf, escapeHtml, previewParams } from "./rows-model";
export { lineageTree } from "./lineage-model";
