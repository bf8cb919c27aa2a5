// The view of a column's lineage: what it comes from and where it goes.

import * as vscode from "vscode";
import { type Lineage, type LineageNode, lineageTree, type Place } from "./lineage-model";
import type { Server } from "./server";

function location(place: Place): vscode.Location {
  const { start, end } = place.range;
  return new vscode.Location(vscode.Uri.parse(place.uri), new vscode.Range(start.line, start.character, end.line, end.character));
}

export class LineageView implements vscode.TreeDataProvider<LineageNode>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private roots: LineageNode[] = [];
  private readonly view: vscode.TreeView<LineageNode>;

  constructor(private readonly server: Server) {
    this.view = vscode.window.createTreeView("flowc.lineage", { treeDataProvider: this });
  }

  /** Shows the column at a place. */
  async show(document: vscode.TextDocument, position: vscode.Position): Promise<void> {
    const asked = { textDocument: { uri: document.uri.toString() }, position: { line: position.line, character: position.character } };
    this.roots = lineageTree(await this.server.ask<Lineage | null>("flowc/lineage", asked));
    if (this.roots.length === 0) {
      void vscode.window.showInformationMessage("There is no column at the cursor.");
      return;
    }
    await vscode.commands.executeCommand("setContext", "flowc.lineage", true);
    this.view.title = `Lineage of ${this.roots[0].label}`;
    this.changed.fire(undefined);
    await this.view.reveal(this.roots[0], { focus: true, select: true });
  }

  getChildren(node?: LineageNode): LineageNode[] {
    return node ? node.children : this.roots;
  }

  getParent(node: LineageNode): LineageNode | undefined {
    return this.roots.find((root) => root.children.includes(node));
  }

  getTreeItem(node: LineageNode): vscode.TreeItem {
    const state = node.children.length > 0 ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.None;
    const item = new vscode.TreeItem(node.label, state);
    item.description = node.description;
    item.iconPath = new vscode.ThemeIcon(node.icon);
    if (node.place) {
      const { uri, range } = location(node.place);
      item.command = { command: "vscode.open", title: "Go to Column", arguments: [uri, { selection: range }] };
    }
    return item;
  }

  dispose(): void {
    this.view.dispose();
    this.changed.dispose();
  }
}
