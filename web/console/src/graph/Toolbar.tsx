// Buttons above the drawing.

import { useReactFlow } from "@xyflow/react";
import type { ReactNode } from "react";
import type { Editing } from "./useEditing.ts";

export function Toolbar({ editing, readOnly, onTidy }: { editing: Editing; readOnly: boolean; onTidy: () => void }) {
  const flow = useReactFlow();
  return (
    <div className="graph-bar" role="group" aria-label="Drawing">
      {!readOnly && (
        <>
          <Button name="Undo" off={!editing.canUndo} onClick={editing.undo} keys="Control+Z Meta+Z">
            <path d="M6 3 2.5 6.5 6 10M2.5 6.5h7a4 4 0 0 1 0 8H6" />
          </Button>
          <Button name="Redo" off={!editing.canRedo} onClick={editing.redo} keys="Control+Shift+Z Meta+Shift+Z">
            <path d="m10 3 3.5 3.5L10 10M13.5 6.5h-7a4 4 0 0 0 0 8H10" />
          </Button>
          <button type="button" onClick={onTidy}>
            Tidy up
          </button>
        </>
      )}
      <span className="graph-gap" />
      <Button name="Zoom out" onClick={() => void flow.zoomOut()}>
        <path d="M3 8h10" />
      </Button>
      <Button name="Zoom in" onClick={() => void flow.zoomIn()}>
        <path d="M3 8h10M8 3v10" />
      </Button>
      <button type="button" onClick={() => void flow.fitView({ padding: 0.08, maxZoom: 1 })}>
        Show all
      </button>
    </div>
  );
}

// Button shows a picture. While it has nothing to do it stays where it is, for the keyboard.
function Button(props: { name: string; off?: boolean; keys?: string; onClick: () => void; children: ReactNode }) {
  return (
    <button type="button" className="is-picture" title={props.name} aria-label={props.name} aria-disabled={props.off || undefined} aria-keyshortcuts={props.keys} onClick={props.onClick}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {props.children}
      </svg>
    </button>
  );
}
