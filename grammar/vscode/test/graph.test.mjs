// The graph: from a plan and from a server, laid out and drawn.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawn, graphOfPlan, graphOfServer, layOut, nodeAt } from "../dist/pure.mjs";

const text = `source sensor = delta("sensor")
table device = delta("device")

flow clean = sensor
    |> where value > 1
    |> join device on device.id == id
    |> where id < 7
        and id > 1

sink readings = clean -> delta("readings") {
    mode append
}
`;
const plan = {
  inputs: [
    { name: "sensor", kind: "source", location: "delta /sensor", columns: [] },
    { name: "device", kind: "table", location: "delta /device", columns: [] },
  ],
  steps: [
    { number: 1, name: "clean |> where", reads: ["sensor"], operator: "transform", does: ["keeps rows where value > 1"] },
    { number: 2, name: "clean |> join", reads: ["step 1"], operator: "lookup", does: ["a row for each match in `device`"] },
    { number: 3, name: "clean |> where + readings", reads: ["step 2"], operator: "transform", does: ["keeps <rows>"] },
  ],
  sinks: [{ name: "readings", reads: "step 3", location: "delta /readings", mode: "append" }],
};

test("a plan's nodes know their lines", () => {
  const graph = graphOfPlan(plan, text);
  const lines = Object.fromEntries(graph.nodes.map((n) => [n.id, [n.line, n.endLine]]));
  assert.deepEqual(lines["input sensor"], [0, 0]);
  assert.deepEqual(lines["step 1"], [4, 4]);
  assert.deepEqual(lines["step 2"], [5, 5]);
  assert.deepEqual(lines["step 3"], [6, 12]);
  assert.ok(graph.edges.some((e) => e.from === "input device" && e.to === "step 2"));
  assert.equal(nodeAt(graph, 4), "step 1");
  assert.equal(nodeAt(graph, 7), "step 3");
  assert.equal(nodeAt(graph, 9), "sink readings");
  assert.equal(nodeAt(graph, 99), undefined);
});

test("paths are those from the program on", () => {
  const [sensor] = graphOfPlan({ inputs: [{ ...plan.inputs[0], location: "delta /w/x/sensor" }] }, text, "/w").nodes;
  assert.deepEqual(sensor.detail, ["delta x/sensor"]);
});

test("what is read stands above who reads it", () => {
  const { boxes } = layOut(graphOfPlan(plan, text));
  const y = Object.fromEntries(boxes.map((b) => [b.id, b.y]));
  assert.ok(y["input sensor"] < y["step 1"] && y["step 1"] < y["step 2"] && y["step 2"] < y["step 3"] && y["step 3"] < y["sink readings"]);
  assert.equal(y["input device"], y["step 1"]);
  const overlap = boxes.some((a) => boxes.some((b) => a !== b && a.y === b.y && a.x < b.x + b.width && b.x < a.x + a.width));
  assert.ok(!overlap);
});

test("a cycle and an empty graph are drawn, too", () => {
  const nodes = ["a", "b"].map((id) => ({ id, title: id, detail: [], kind: "step" }));
  assert.ok(drawn({ nodes, edges: [{ from: "a", to: "b" }, { from: "b", to: "a" }] }).startsWith("<svg"));
  assert.ok(drawn({ nodes: [], edges: [] }).startsWith("<svg"));
});

test("drawn text is no markup", () => {
  const svg = drawn(graphOfPlan(plan, text));
  assert.ok(svg.includes("keeps &#60;rows&#62;") && !svg.includes("<rows>"));
  assert.equal(svg.match(/class="node /g).length, 6);
});

test("a server's graph is read leniently", () => {
  const range = { start: { line: 3, character: 0 }, end: { line: 5, character: 1 } };
  const columns = ["a", "b", "c", "d", "e"].map((name) => ({ name, type: "long" }));
  const nodes = [{ name: "s", kind: "source", location: { uri: "file:///x", range }, columns }, { name: "f", kind: "flow" }];
  const graph = graphOfServer({ nodes, edges: [{ from: 0, to: 1, output: null }, { from: 0, to: 9 }] });
  assert.deepEqual(graph.nodes[0], { id: "0", title: "s", detail: ["a: long", "b: long", "c: long", "and 2 more"], kind: "source", line: 3, endLine: 5 });
  assert.deepEqual(graph.nodes[1], { id: "1", title: "f", detail: [], kind: "step" });
  assert.deepEqual(graph.edges, [{ from: "0", to: "1" }]);
  assert.deepEqual(graphOfServer(null), { nodes: [], edges: [] });
});
