// One node as it is drawn.

import { Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { memo } from "react";
import type { PolicyNode, Problem, Step } from "../types.ts";
import { gives, takes } from "./rules.ts";
import { short } from "./words.ts";

export type PartNode = Node<
  { node: PolicyNode; kind: string; title: string; detail: string[]; problems: Problem[]; step?: Step },
  "part"
>;

export const Part = memo(function Part({ data, isConnectable }: NodeProps<PartNode>) {
  const { node, step, problems } = data;
  const [into, out] = [takes(node), gives(node)];
  const said = short(step, node);
  const classes = ["graph-part", `is-${node.type}`];
  if (node.decision) classes.push(`is-${node.decision}`);
  if (step?.on_path) classes.push("is-lit");
  if (problems.length > 0) classes.push("is-wrong");
  return (
    <div className={classes.join(" ")}>
      {into && (
        <Handle
          type="target"
          position={Position.Left}
          className={`graph-handle takes-${into}`}
          isConnectable={isConnectable}
          title={into === "number" ? "takes a number" : "takes a truth"}
        />
      )}
      <p className="graph-part-kind">
        <span>{data.kind}</span>
        {said && <span className={`graph-state ${stateClass(step)}`}>{said}</span>}
      </p>
      <p className="graph-part-title">{data.title}</p>
      {data.detail.length > 0 && (
        <p className={node.type === "expression" ? "graph-part-detail is-code" : "graph-part-detail"}>{data.detail.join(" · ")}</p>
      )}
      {step?.message && node.type !== "signal" && <p className="graph-part-detail">{step.message}</p>}
      {problems.map((p) => (
        <p className="graph-part-problem" key={p.code + p.message}>
          <Warning /> <span>{p.message}</span>
        </p>
      ))}
      {out && (
        <Handle
          type="source"
          position={Position.Right}
          className={`graph-handle gives-${out}`}
          isConnectable={isConnectable}
          title={out === "number" ? "gives a number" : "gives a truth"}
        />
      )}
    </div>
  );
});

function stateClass(step: Step | undefined): string {
  if (!step?.sure) return "is-unsure";
  return step.holds || step.number ? "is-true" : "is-false";
}

export function Warning() {
  return (
    <svg className="graph-icon" viewBox="0 0 16 16" role="img" aria-label="Problem">
      <path d="M8 1.5 15.3 14.5H.7z" />
      <path className="graph-icon-mark" d="M8 6v4.2M8 12v.9" />
    </svg>
  );
}
