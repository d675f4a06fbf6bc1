// What was done, to be taken back and done again.

import type { PolicyDocument } from "../types.ts";

export interface History {
  past: PolicyDocument[];
  present: PolicyDocument;
  future: PolicyDocument[];
  key: string; // what the latest edit was of; empty: of nothing that another can join
  at: number; // when, in milliseconds
}

const deepest = 100;
const together = 1500; // edits of one field within this time are taken back at once

export function begin(document: PolicyDocument): History {
  return { past: [], present: document, future: [], key: "", at: 0 };
}

// record adds an edit. Those with the same key that follow each other closely are one.
export function record(h: History, next: PolicyDocument, key: string, at: number): History {
  if (next === h.present) return h;
  const joins = key !== "" && key === h.key && at - h.at < together && h.past.length > 0;
  return { past: joins ? h.past : [...h.past, h.present].slice(-deepest), present: next, future: [], key, at };
}

export function undo(h: History): History {
  const before = h.past.at(-1);
  return before ? { past: h.past.slice(0, -1), present: before, future: [h.present, ...h.future], key: "", at: 0 } : h;
}

export function redo(h: History): History {
  const [after, ...future] = h.future;
  return after ? { past: [...h.past, h.present], present: after, future, key: "", at: 0 } : h;
}

// same says whether two documents have the same content.
export function same(a: PolicyDocument, b: PolicyDocument): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
