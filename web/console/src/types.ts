// What the console's API speaks (internal/console, internal/risk).

export type Verdict = "allow" | "step_up" | "deny";
export type NodeType = "signal" | "condition" | "expression" | "weight" | "combine" | "decide";

export interface PolicyNode {
  id: string;
  type: NodeType;
  label?: string;
  signal?: string;
  params?: Record<string, number | string[]>;
  unknown?: "neutral" | "raises";
  op?: "any" | "all" | "not" | "count" | "at_least";
  value?: number;
  expression?: string;
  weight?: number;
  how?: "sum" | "max";
  decision?: Verdict;
  x: number;
  y: number;
}
export interface Edge { from: string; to: string }
export interface PolicyDocument {
  format: number;
  name: string;
  description?: string;
  nodes: PolicyNode[];
  edges: Edge[];
  otherwise: Verdict;
}

export interface Problem { node?: string; edge?: Edge; field?: string; code: string; message: string }
export interface Change { kind: "added" | "removed" | "changed"; node?: string; text: string }

export interface Reading { signal: string; outcome: "fired" | "clear" | "cannot_tell"; evidence: string; value?: number }
export interface Step { node: string; holds?: boolean; number?: number; sure: boolean; on_path: boolean; message?: string }
export interface Result {
  decision: Verdict;
  score: number | null;
  reasons: string[] | null;
  readings: Reading[] | null;
  steps?: Step[];
  rule?: string;
  failed?: string;
}

export interface Param { name: string; title: string; help: string; kind: "number" | "list"; unit: string; number?: number; min?: number; max?: number; list?: string[] }
export interface Signal { name: string; title: string; help: string; asks: string; weight: number; lowers: boolean; unit: string; params: Param[] }
export interface Preset { name: string; title: string; description: string; document: PolicyDocument }
export interface Palette {
  signals: Signal[];
  presets: Preset[];
  limits: { nodes: number; edges: number; expression: number; score: number; weight: number };
  expression?: { variables: { name: string; type: string; help: string }[] };
}
