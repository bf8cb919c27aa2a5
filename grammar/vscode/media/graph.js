// The graph's own script: a click or Enter on a node goes to its line, the node of the cursor's line stands out.
(() => {
  const host = acquireVsCodeApi();
  const nodes = [...document.querySelectorAll(".node")];
  const go = (node) => {
    if (node.dataset.line !== undefined) host.postMessage({ line: Number(node.dataset.line) });
  };
  for (const node of nodes) {
    node.addEventListener("click", () => go(node));
    node.addEventListener("keydown", (event) => event.key === "Enter" && go(node));
  }
  window.addEventListener("message", ({ data }) => {
    for (const node of nodes) {
      const current = node.dataset.id === data.current;
      node.classList.toggle("current", current);
      if (current) node.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  });
})();
