#!/usr/bin/env python3
"""Types into a program as an editor does, through a language server's process, and prints how long each keystroke takes to be judged, the processor's time for it, and the memory.

usage: benches/editor/type.py SERVER FILE [KEYSTROKES]     for example: benches/editor/type.py "target/release/flowc lsp" big.flow 1000

A keystroke is a change and a question whose answer needs the whole program checked with it. They are typed at the begin, in the middle and at the end of the
file, behind the names of flows' inputs where there are some: `|> limit 1…` is written and taken back. The processor's time is that of all threads of the server
in user mode, in the middle over the keystrokes of a place: what other processes do hardly changes it.
"""
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time


class Server:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.asked = 0

    def send(self, method, params, **more):
        text = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(text) + text)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def ask(self, method, params):
        self.asked += 1
        self.send(method, params, id=self.asked)
        while (message := self.receive()).get("id") != self.asked:
            pass
        return message.get("result")

    def processor(self):
        """Milliseconds in user mode so far."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return float("nan")
        # Behind the name, which may have blanks, the 12th field is the time in ticks.
        ticks = stat.read_text().rsplit(")", 1)[1].split()[11]
        return int(ticks) * 1000 / os.sysconf("SC_CLK_TCK")

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((line.split(":")[1].strip() for line in lines if line.startswith("VmRSS")), "?")


def main():
    command, file = shlex.split(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    keystrokes = int(sys.argv[3]) if len(sys.argv) > 3 else 300
    text, uri = file.read_text(), file.as_uri()
    server = Server(command)
    server.ask("initialize", {"capabilities": {}, "workspaceFolders": [{"uri": file.parent.as_uri(), "name": "typed"}]})
    server.send("initialized", {})
    document = {"uri": uri, "languageId": "flow", "version": 1, "text": text}
    server.send("textDocument/didOpen", {"textDocument": document})
    lines = text.split("\n")
    inputs = [n for n, line in enumerate(lines) if line.startswith("flow ")] or [len(lines) - 1]
    question = lambda line: {"textDocument": {"uri": uri}, "position": {"line": line, "character": 6}}
    # The tables are read meanwhile.
    server.ask("textDocument/hover", question(0))
    time.sleep(2)
    version = 1
    print(f"{file.name}: {len(lines)} lines, {server.memory()} before")
    for place, line in (("begin", inputs[0]), ("middle", inputs[len(inputs) // 2]), ("end", inputs[-1])):
        column, typed, times = len(lines[line]), "", []
        used = server.processor()
        for n in range(keystrokes):
            whole = " |> limit 1000"
            if typed == whole:
                change, end, typed = "", column + len(typed), ""
                start = column
            else:
                change = whole[len(typed)]
                start = end = column + len(typed)
                typed += change
            version += 1
            began = time.perf_counter()
            edit = {"range": {"start": {"line": line, "character": start}, "end": {"line": line, "character": end}}, "text": change}
            server.send("textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": [edit]})
            server.ask("textDocument/hover", question(line))
            times.append((time.perf_counter() - began) * 1000)
        used = (server.processor() - used) / keystrokes
        edit = {"range": {"start": {"line": line, "character": column}, "end": {"line": line, "character": column + len(typed)}}, "text": ""}
        version += 1
        server.send("textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": [edit]})
        times.sort()
        at = lambda share: times[min(int(len(times) * share), len(times) - 1)]
        print(f"{place:<7} p50 {at(0.5):7.1f} ms   p95 {at(0.95):7.1f} ms   p99 {at(0.99):7.1f} ms   most {times[-1]:7.1f} ms   processor {used:7.1f} ms")
    print(f"{server.memory()} after {3 * keystrokes} keystrokes")
    server.ask("shutdown", None)
    server.send("exit", None)
    server.process.stdin.close()
    sys.exit(server.process.wait())


main()
