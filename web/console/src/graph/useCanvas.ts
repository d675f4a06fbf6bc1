// What happens on the drawing: choosing, moving, joining, adding, removing.

import { applyNodeChanges, type EdgeChange, type FinalConnectionState, type NodeChange, useNodesInitialized, useReactFlow } from "@xyflow/react";
import { type DragEvent, type KeyboardEvent, type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Edge } from "../types.ts";
import { add, connect, move, type Part, remove } from "./edit.ts";
import { type Drawn, drawNodes } from "./drawing.ts";
import { tidy } from "./layout.ts";
import { groups } from "./offer.ts";
import type { PartNode } from "./Part.tsx";
import { dragType } from "./PartsList.tsx";
import { refusal } from "./rules.ts";
import type { Editing } from "./useEditing.ts";
import { title } from "./words.ts";

interface CanvasProps extends Drawn {
  readOnly: boolean;
  focus?: { node: string; at: number };
  editing: Editing;
  drawing: RefObject<HTMLDivElement | null>;
  panel: RefObject<HTMLElement | null>;
}

export type Canvas = ReturnType<typeof useCanvas>;

const size = { width: 220, height: 76 }; // of a node that is not measured yet

// When a node was last shown because of the property focus. It outlives the drawing: who comes
// back to it later is not sent there again.
let focused: number | undefined;

export function useCanvas({ document, palette, problems, steps, readOnly, focus, editing, drawing, panel }: CanvasProps) {
  const flow = useReactFlow<PartNode>();
  const [nodes, setNodes] = useState<PartNode[]>(() => drawNodes({ document, palette, problems, steps }, []));
  const [edge, setEdge] = useState<Edge>();
  const latest = useRef(nodes);
  const put = useCallback((next: PartNode[]) => {
    latest.current = next;
    setNodes(next);
  }, []);

  useLayoutEffect(() => put(drawNodes({ document, palette, problems, steps }, latest.current)), [document, palette, problems, steps, put]);

  const chosen = nodes.filter((n) => n.selected).map((n) => n.id);
  const name = (id: string) => {
    const node = document.nodes.find((n) => n.id === id);
    return node ? title(document, palette, node) : id;
  };
  // A node that was added just now is not drawn yet: it is chosen once it is.
  const awaited = useRef("");
  const choose = useCallback(
    (ids: string[]) => {
      setEdge(undefined);
      put(latest.current.map((n) => (!!n.selected === ids.includes(n.id) ? n : { ...n, selected: ids.includes(n.id) })));
    },
    [put],
  );

  // reveal brings a node into view if it is not.
  const reveal = useCallback(
    (id: string) => {
      const node = latest.current.find((n) => n.id === id);
      const box = drawing.current?.getBoundingClientRect();
      if (!node || !box) return;
      const { x, y, zoom } = flow.getViewport();
      const [width, height] = [node.measured?.width ?? size.width, node.measured?.height ?? size.height];
      const [left, top] = [node.position.x * zoom + x, node.position.y * zoom + y];
      const seen = left >= 0 && top >= 0 && left + width * zoom <= box.width && top + height * zoom <= box.height;
      if (seen && zoom >= 0.5) return;
      const duration = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 200;
      void flow.setCenter(node.position.x + width / 2, node.position.y + height / 2, { zoom: Math.max(zoom, 0.7), duration });
    },
    [flow, drawing],
  );
  useEffect(() => {
    const id = awaited.current;
    if (!id || !latest.current.some((n) => n.id === id)) return;
    awaited.current = "";
    choose([id]);
    reveal(id);
  }, [nodes, choose, reveal]);

  const ready = useNodesInitialized();
  const began = useRef(false);
  useEffect(() => {
    if (!ready || began.current) return;
    began.current = true;
    // Where all of it would be too small to read, it begins at the beginning.
    if (flow.getZoom() >= 0.4) return;
    const { x, y } = flow.getNodesBounds(latest.current);
    void flow.setViewport({ x: 16 - x * 0.6, y: 16 - y * 0.6, zoom: 0.6 });
  }, [ready, flow]);
  useEffect(() => {
    if (!focus || !ready || focused === focus.at) return;
    focused = focus.at;
    if (!latest.current.some((n) => n.id === focus.node)) return;
    choose([focus.node]);
    reveal(focus.node);
    drawing.current?.querySelector<HTMLElement>(`.react-flow__node[data-id="${CSS.escape(focus.node)}"]`)?.focus();
  }, [focus, ready, choose, reveal, drawing]);

  const generation = useRef(editing.generation);
  useEffect(() => {
    if (generation.current === editing.generation) return;
    generation.current = editing.generation;
    void flow.fitView({ padding: 0.08, maxZoom: 1 });
  }, [editing.generation, flow]);

  const toPanel = () => panel.current?.focus({ preventScroll: true });
  const took = (from: string, to: string) => editing.say(refusal(document, from, to) ?? "");
  const onJoin = (from: string, to: string) => {
    const next = connect(document, from, to);
    if (next === document) return took(from, to);
    editing.apply(next, "", `${name(from)} is connected to ${name(to)}.`);
  };
  const onAdd = (part: Part, called: string, place?: { x: number; y: number }) => {
    const added = add(document, part, chosen, place);
    awaited.current = added.id;
    editing.apply(added.document, "", `${called} was added${added.joined.length > 0 ? `, connected with ${added.joined.map(name).join(", ")}` : ""}.`);
  };
  const onRemove = () => {
    if (chosen.length === 0 && !edge) return;
    const what = chosen.length > 1 ? `${chosen.length} nodes were removed.` : chosen[0] ? `${name(chosen[0])} was removed.` : "The connection was removed.";
    editing.apply(remove(document, chosen, edge && chosen.length === 0 ? [edge] : []), "", what);
    setEdge(undefined);
  };

  return {
    nodes,
    edge,
    chosen,
    onAdd,
    onJoin: (from: string, to: string) => {
      onJoin(from, to);
      toPanel();
    },
    onDisconnect: (from: string, to: string) => {
      editing.apply(remove(document, [], [{ from, to }]), "", `${name(from)} is not connected to ${name(to)} any more.`);
      toPanel();
    },
    onShow: (id: string) => {
      choose([id]);
      reveal(id);
      toPanel();
    },
    onClear: () => {
      choose([]);
      toPanel();
    },
    onRemove: () => {
      onRemove();
      toPanel();
    },
    onTidy: () => {
      const sizes = new Map(latest.current.map((n) => [n.id, { width: n.measured?.width ?? size.width, height: n.measured?.height ?? size.height }]));
      editing.apply(tidy(document, sizes), "", "The drawing is tidied up.");
      requestAnimationFrame(() => void flow.fitView({ padding: 0.08, maxZoom: 1 }));
    },
    onNodesChange: (changes: NodeChange<PartNode>[]) => {
      const next = applyNodeChanges(changes.filter((c) => c.type !== "remove"), latest.current);
      put(next);
      if (changes.some((c) => c.type === "select" && c.selected)) setEdge(undefined);
      const settled = new Set(changes.flatMap((c) => (c.type === "position" && !c.dragging ? [c.id] : [])));
      if (settled.size === 0 || readOnly) return;
      const places = new Map(next.filter((n) => settled.has(n.id)).map((n) => [n.id, n.position]));
      editing.apply(move(document, places), `move ${[...settled].join()}`);
    },
    onEdgesChange: (changes: EdgeChange[]) => {
      for (const c of changes) {
        if (c.type !== "select") continue;
        const of = document.edges.find((e) => `${e.from}>${e.to}` === c.id);
        setEdge((now) => (c.selected ? of : now === of ? undefined : now));
      }
    },
    onConnect: (c: { source: string; target: string }) => onJoin(c.source, c.target),
    onConnectEnd: (_: MouseEvent | TouchEvent, state: FinalConnectionState) => {
      if (state.isValid || !state.fromNode || !state.toNode) return;
      const [a, b] = [state.fromNode.id, state.toNode.id];
      if (state.fromHandle?.type === "target") took(b, a);
      else took(a, b);
    },
    isValidConnection: (c: { source: string; target: string }) => !refusal(document, c.source, c.target),
    onKeyDown: (e: KeyboardEvent) => {
      if ((e.key !== "Delete" && e.key !== "Backspace") || (chosen.length === 0 && !edge)) return;
      e.preventDefault();
      onRemove();
      drawing.current?.focus({ preventScroll: true });
    },
    onShortcut: (e: KeyboardEvent) => {
      const field = e.target instanceof HTMLInputElement || e.target instanceof HTMLTextAreaElement; // they have an undo of their own
      if (field || !(e.ctrlKey || e.metaKey) || e.altKey) return;
      const key = e.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      e.preventDefault();
      if (key === "y" || e.shiftKey) editing.redo();
      else editing.undo();
    },
    onDragOver: (e: DragEvent) => {
      if (!e.dataTransfer.types.includes(dragType)) return;
      e.preventDefault();
      e.dataTransfer.dropEffect = "copy";
    },
    onDrop: (e: DragEvent) => {
      const called = e.dataTransfer.getData(dragType);
      const offer = groups(palette).flatMap((g) => g.offers).find((o) => o.name === called);
      if (!offer || document.nodes.length >= palette.limits.nodes) return;
      e.preventDefault();
      const at = flow.screenToFlowPosition({ x: e.clientX, y: e.clientY });
      onAdd(offer.part, offer.name, { x: at.x - size.width / 2, y: at.y - size.height / 2 });
    },
  };
}
