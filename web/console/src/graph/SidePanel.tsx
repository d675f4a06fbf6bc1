// The panel beside the drawing (below it on a phone): what is chosen, or the policy as a whole.

import type { Ref } from "react";
import type { Palette, PolicyDocument, PolicyNode, Problem, Step } from "../types.ts";
import { Connections } from "./Connections.tsx";
import { NodeFields } from "./NodePanel.tsx";
import { Warning } from "./Part.tsx";
import type { Canvas } from "./useCanvas.ts";
import type { Editing } from "./useEditing.ts";
import { RuleOrder, WholePanel } from "./WholePanel.tsx";
import { detail, kind, signalOf, state, title } from "./words.ts";

interface PanelProps {
  document: PolicyDocument;
  palette: Palette;
  problems: Problem[];
  steps?: Step[];
  readOnly: boolean;
  editing: Editing;
  canvas: Canvas;
  ref: Ref<HTMLElement>;
}

export function SidePanel(props: PanelProps) {
  return (
    <section className="graph-panel" aria-label="What is chosen" tabIndex={-1} ref={props.ref}>
      <Inside {...props} />
    </section>
  );
}

function Inside(props: PanelProps) {
  const { document, palette, problems, readOnly, editing, canvas } = props;
  const [first, ...more] = document.nodes.filter((n) => canvas.chosen.includes(n.id));
  if (first && more.length === 0) return <NodePanel {...props} node={first} key={first.id} />;
  if (first) {
    return (
      <>
        <h2>{more.length + 1} nodes are chosen</h2>
        {!readOnly && <p className="graph-note">A condition or points that you add now is connected with all of them.</p>}
        {!readOnly && <RemoveButton onClick={canvas.onRemove}>Remove them</RemoveButton>}
      </>
    );
  }
  const edge = canvas.edge;
  const [from, to] = [edge && document.nodes.find((n) => n.id === edge.from), edge && document.nodes.find((n) => n.id === edge.to)];
  if (from && to) {
    return (
      <>
        <h2>Connection</h2>
        <p>
          From {title(document, palette, from)} to {title(document, palette, to)}.
        </p>
        {!readOnly && <RemoveButton onClick={canvas.onRemove}>Remove the connection</RemoveButton>}
      </>
    );
  }
  return <WholePanel {...{ document, palette, readOnly }} problems={problems.filter((p) => !p.node)} apply={editing.apply} onShow={canvas.onShow} />;
}

function NodePanel(props: PanelProps & { node: PolicyNode }) {
  const { document, palette, node, readOnly, editing, canvas } = props;
  const problems = props.problems.filter((p) => p.node === node.id);
  const shown = new Set(readOnly ? [] : ["label", "signal", "unknown", "op", "value", "expression", "weight", "how", "decision"]);
  const others = problems.filter((p) => !shown.has(p.field ?? ""));
  const step = props.steps?.find((s) => s.node === node.id);
  const name = title(document, palette, node);
  return (
    <>
      <p className="graph-kicker">{kind(document, node)}</p>
      <h2>{name}</h2>
      {step && (
        <p className="graph-now">
          {sentence(state(step, node)) || "It gave nothing"}
          {step.on_path ? ", and had a part in the decision." : "."} {step.message && `${sentence(step.message)}.`}
        </p>
      )}
      <ul className="graph-problems">
        {others.map((p) => (
          <li key={p.code + p.message}>
            <Warning /> {p.message}
          </li>
        ))}
      </ul>
      {readOnly ? (
        <>
          {signalOf(palette, node) && <p>{signalOf(palette, node)?.help}</p>}
          <ul className="graph-facts">
            {detail(document, palette, node).map((d) => (
              <li key={d} className={node.type === "expression" ? "is-code" : undefined}>
                {d}
              </li>
            ))}
          </ul>
        </>
      ) : (
        <NodeFields {...{ document, palette, node, problems, step }} apply={editing.apply} />
      )}
      <Connections {...{ document, palette, node, readOnly }} onShow={canvas.onShow} onConnect={canvas.onJoin} onDisconnect={canvas.onDisconnect} />
      {node.type === "decide" && <RuleOrder {...{ document, palette, readOnly }} apply={editing.apply} onShow={canvas.onShow} />}
      <div className="graph-row graph-end">
        {!readOnly && <RemoveButton onClick={canvas.onRemove}>Remove</RemoveButton>}
        <button type="button" onClick={canvas.onClear}>
          Close
        </button>
      </div>
    </>
  );
}

function sentence(s: string): string {
  return s.charAt(0).toUpperCase() + s.slice(1);
}

function RemoveButton({ onClick, children }: { onClick: () => void; children: string }) {
  return (
    <button type="button" className="is-bad" onClick={onClick}>
      {children}
    </button>
  );
}
