// What a node is connected with, and a way to connect it without dragging.

import { useId, useState } from "react";
import type { Palette, PolicyDocument, PolicyNode } from "../types.ts";
import { refusal, gives, takes } from "./rules.ts";
import { kind, title } from "./words.ts";

export interface ConnectionsProps {
  document: PolicyDocument;
  palette: Palette;
  node: PolicyNode;
  readOnly: boolean;
  onShow: (id: string) => void;
  onConnect: (from: string, to: string) => void;
  onDisconnect: (from: string, to: string) => void;
}

export function Connections(props: ConnectionsProps) {
  const { document, node } = props;
  const incoming = document.edges.filter((e) => e.to === node.id);
  const outgoing = document.edges.filter((e) => e.from === node.id);
  return (
    <>
      {takes(node) && <Side {...props} heading="Comes from" edges={incoming} other={(e) => e.from} join={(id) => [id, node.id]} label="Connect from" />}
      {gives(node) && <Side {...props} heading="Goes to" edges={outgoing} other={(e) => e.to} join={(id) => [node.id, id]} label="Connect to" />}
    </>
  );
}

type Edge = { from: string; to: string };

function Side(
  props: ConnectionsProps & { heading: string; label: string; edges: Edge[]; other: (e: Edge) => string; join: (id: string) => [string, string] },
) {
  const { document, palette, edges, other, join, readOnly } = props;
  const id = useId();
  const [chosen, choose] = useState("");
  const name = (n: PolicyNode | undefined, otherwise: string) => (n ? title(document, palette, n) : otherwise);
  const byID = new Map(document.nodes.map((n) => [n.id, n]));
  const possible = readOnly ? [] : document.nodes.filter((n) => !refusal(document, ...join(n.id)));
  const picked = possible.some((n) => n.id === chosen) ? chosen : "";
  return (
    <section className="graph-side">
      <h3>{props.heading}</h3>
      {edges.length === 0 && <p className="graph-note">Nothing yet.</p>}
      <ul className="graph-links">
        {edges.map((e) => {
          const text = name(byID.get(other(e)), other(e));
          return (
            <li key={other(e)}>
              <button type="button" className="graph-link" onClick={() => props.onShow(other(e))}>
                {text}
              </button>
              {!readOnly && (
                <button type="button" className="graph-small" aria-label={`Disconnect ${text}`} onClick={() => props.onDisconnect(e.from, e.to)}>
                  ✕
                </button>
              )}
            </li>
          );
        })}
      </ul>
      {possible.length > 0 && (
        <div className="graph-field">
          <label htmlFor={id}>{props.label}</label>
          <div className="graph-row">
            <select id={id} value={picked} onChange={(e) => choose(e.target.value)}>
              <option value="">Choose a node</option>
              {possible.map((n) => (
                <option key={n.id} value={n.id}>
                  {kind(document, n)}: {title(document, palette, n)}
                </option>
              ))}
            </select>
            <button
              type="button"
              disabled={!picked}
              onClick={() => {
                props.onConnect(...join(picked));
                choose("");
              }}
            >
              Connect
            </button>
          </div>
        </div>
      )}
    </section>
  );
}
