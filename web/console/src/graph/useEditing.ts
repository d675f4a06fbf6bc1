// The document as it is edited: each change goes out, and can be taken back.

import { useCallback, useRef, useState } from "react";
import type { PolicyDocument } from "../types.ts";
import { begin, type History, record, redo, same, undo } from "./history.ts";

export interface Editing {
  apply: (next: PolicyDocument, key: string, say?: string) => void;
  undo: () => void;
  redo: () => void;
  canUndo: boolean;
  canRedo: boolean;
  generation: number; // counts how often the document was replaced from outside
  said: string; // the latest thing that happened, for people who do not see it
  say: (text: string) => void;
}

export function useEditing(document: PolicyDocument, onChange?: (next: PolicyDocument) => void): Editing {
  const [history, setHistory] = useState<History>(() => begin(document));
  const [shown, setShown] = useState(document);
  const [said, say] = useState("");
  const [generation, setGeneration] = useState(0);
  let h = history;
  if (document !== shown) {
    setShown(document);
    if (!same(document, history.present)) {
      // It was replaced from outside: what was done before belongs to another document.
      h = begin(document);
      setHistory(h);
      setGeneration(generation + 1);
    }
  }
  // Two edits may come before the next render.
  const now = useRef(h);
  now.current = h;

  const put = useCallback(
    (next: History, text: string) => {
      if (text) say(text);
      if (next === now.current) return;
      const changed = next.present !== now.current.present;
      now.current = next;
      setHistory(next);
      if (changed) onChange?.(next.present);
    },
    [onChange],
  );
  return {
    apply: useCallback((next, key, text = "") => put(record(now.current, next, key, Date.now()), text), [put]),
    undo: useCallback(() => put(undo(now.current), now.current.past.length > 0 ? "Taken back." : "There is nothing to take back."), [put]),
    redo: useCallback(() => put(redo(now.current), now.current.future.length > 0 ? "Done again." : "There is nothing to do again."), [put]),
    canUndo: h.past.length > 0,
    canRedo: h.future.length > 0,
    generation,
    said,
    say,
  };
}
