// The graph of a policy, to be read and edited. It shows the document that it is given, and
// gives out each changed one; it keeps what was done, to take it back.

import "@xyflow/react/dist/style.css";
import "./graph.css";
import { Background, MiniMap, ReactFlow, ReactFlowProvider } from "@xyflow/react";
import { useRef } from "react";
import type { Palette, PolicyDocument, Problem, Step } from "../types.ts";
import { drawEdges } from "./drawing.ts";
import { Part } from "./Part.tsx";
import { PartsList } from "./PartsList.tsx";
import { SidePanel } from "./SidePanel.tsx";
import { Toolbar } from "./Toolbar.tsx";
import { useCanvas } from "./useCanvas.ts";
import { useEditing } from "./useEditing.ts";

export interface GraphProps {
  document: PolicyDocument;
  palette: Palette;
  problems: Problem[];
  steps?: Step[]; // what the nodes gave when the policy was tried
  readOnly?: boolean;
  focus?: { node: string; at: number }; // shows that node, each time that at is another
  onChange?: (next: PolicyDocument) => void;
}

const nodeTypes = { part: Part };

const words = {
  "node.a11yDescription.default": "Press Enter to choose the node, then the arrow keys to move it or Delete to remove it. Its settings are in the panel beside the drawing.",
  "node.a11yDescription.keyboardDisabled": "Press Enter to choose the node.",
  "node.a11yDescription.ariaLiveMessage": ({ direction }: { direction: string }) => `Moved ${direction}.`,
  "minimap.ariaLabel": "Overview of the drawing",
};

export default function Graph(props: GraphProps) {
  return (
    <ReactFlowProvider>
      <Editor {...props} />
    </ReactFlowProvider>
  );
}

function Editor({ document, palette, problems, steps, readOnly = false, focus, onChange }: GraphProps) {
  const editing = useEditing(document, onChange);
  const drawing = useRef<HTMLDivElement>(null);
  const panel = useRef<HTMLElement>(null);
  const canvas = useCanvas({ document, palette, problems, steps, readOnly, focus, editing, drawing, panel });

  return (
    <div className={readOnly ? "graph is-read" : "graph"} onKeyDown={readOnly ? undefined : canvas.onShortcut}>
      <div className="graph-grid">
        {!readOnly && <PartsList palette={palette} full={document.nodes.length >= palette.limits.nodes} onAdd={canvas.onAdd} />}
        <div className="graph-middle">
          <Toolbar editing={editing} readOnly={readOnly} onTidy={canvas.onTidy} />
          <div
            className="graph-drawing"
            ref={drawing}
            tabIndex={-1}
            onKeyDown={readOnly ? undefined : canvas.onKeyDown}
            onDragOver={readOnly ? undefined : canvas.onDragOver}
            onDrop={readOnly ? undefined : canvas.onDrop}
          >
            <ReactFlow
              aria-label={`Drawing of the policy ${document.name}`}
              nodes={canvas.nodes}
              edges={drawEdges({ document, palette, problems, steps }, canvas.edge && `${canvas.edge.from}>${canvas.edge.to}`)}
              nodeTypes={nodeTypes}
              onNodesChange={canvas.onNodesChange}
              onEdgesChange={canvas.onEdgesChange}
              onConnect={canvas.onConnect}
              onConnectEnd={canvas.onConnectEnd}
              onClickConnectEnd={canvas.onConnectEnd}
              isValidConnection={canvas.isValidConnection}
              onPaneClick={() => drawing.current?.focus({ preventScroll: true })}
              nodesDraggable={!readOnly}
              nodesConnectable={!readOnly}
              edgesFocusable={false}
              deleteKeyCode={null}
              zoomOnScroll={false}
              zoomOnDoubleClick={false}
              preventScrolling={false}
              minZoom={0.15}
              maxZoom={1.75}
              fitView
              fitViewOptions={{ padding: 0.08, maxZoom: 1 }}
              ariaLabelConfig={words}
            >
              <Background gap={20} />
              <MiniMap pannable style={{ width: 140, height: 96 }} nodeBorderRadius={12} nodeClassName={(n) => `is-${(n as (typeof canvas.nodes)[number]).data.node.type}`} />
            </ReactFlow>
          </div>
          <p className="graph-say" role="status">
            {editing.said}
          </p>
        </div>
        <SidePanel {...{ document, palette, problems, steps, readOnly, editing, canvas }} ref={panel} />
      </div>
    </div>
  );
}
