// Starts the playground, or says why it does not: it has to be built first, and a page that was opened as a file may load nothing.
(async () => {
  const say = (text) => {
    const notice = document.getElementById("notice");
    notice.textContent = text;
    notice.hidden = false;
  };
  if (location.protocol === "file:") {
    say("A browser loads no WebAssembly for a page that was opened as a file. Serve this folder, for example: python3 -m http.server, and open http://localhost:8000/.");
    return;
  }
  try {
    await import("./dist/app.js");
  } catch {
    say("The playground was not built. Run docs/playground/build.sh, then load this page again.");
  }
})();
