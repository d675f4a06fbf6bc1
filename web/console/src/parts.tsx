import { Component, useCallback, useEffect, useId, useRef, useState, type ReactNode } from "react";
import type { Source } from "./api.ts";

// useLoad asks for something, again whenever key changes. What is asked for a key that is
// no longer wanted is dropped.
export function useLoad<T>(key: string, load: () => Promise<T>): { data: T | null; error: string; reload: () => void } {
  const [state, setState] = useState<{ key: string; data: T | null; error: string }>({ key: "", data: null, error: "" });
  const [turn, setTurn] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    let wanted = true;
    latest.current().then(
      (data) => wanted && setState({ key, data, error: "" }),
      (e: unknown) => wanted && setState((s) => ({ key, data: s.key === key ? s.data : null, error: e instanceof Error ? e.message : String(e) })),
    );
    return () => {
      wanted = false;
    };
  }, [key, turn]);
  const reload = useCallback(() => setTurn((t) => t + 1), []);
  return state.key === key ? { ...state, reload } : { data: null, error: "", reload };
}

export function Trouble({ children }: { children: ReactNode }) {
  return children ? <p className="trouble" role="alert">{children}</p> : null;
}

export function Loading({ what }: { what: string }) {
  return <p className="soft" role="status">Loading {what} …</p>;
}

// Dialog is the browser's own: it keeps the focus and gives it back.
export function Dialog({ title, open, onClose, children }: { title: string; open: boolean; onClose: () => void; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const d = ref.current;
    if (open && d && !d.open) d.showModal();
    if (!open && d?.open) d.close();
  }, [open]);
  return (
    <dialog ref={ref} aria-labelledby={id} onClose={onClose}>
      {open && (
        <>
          <h2 id={id}>{title}</h2>
          {children}
        </>
      )}
    </dialog>
  );
}

export function Tabs<T extends string>({ label, tabs, chosen, onChoose, children }: { label: string; tabs: [T, string][]; chosen: T; onChoose: (t: T) => void; children: ReactNode }) {
  const id = useId();
  const move = (by: number) => {
    const at = tabs.findIndex(([t]) => t === chosen);
    const next = tabs[(at + by + tabs.length) % tabs.length]?.[0];
    if (next) {
      onChoose(next);
      document.getElementById(`${id}-${next}`)?.focus();
    }
  };
  return (
    <>
      <div role="tablist" aria-label={label} className="tabs">
        {tabs.map(([t, text]) => (
          <button key={t} id={`${id}-${t}`} role="tab" type="button" aria-selected={t === chosen} aria-controls={`${id}-panel`} tabIndex={t === chosen ? 0 : -1}
            onClick={() => onChoose(t)} onKeyDown={(e) => (e.key === "ArrowRight" ? move(1) : e.key === "ArrowLeft" ? move(-1) : undefined)}>
            {text}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-${chosen}`}>{children}</div>
    </>
  );
}

// Sources must stand where places are shown.
export function Sources({ sources }: { sources: Source[] }) {
  if (!sources.length) return null;
  return (
    <p className="sources soft">
      {sources.map((s) => (
        <span key={s.what}>
          {s.what}: {s.url ? <a href={s.url} rel="noreferrer" target="_blank">{s.attribution || s.url}</a> : s.attribution}
          {s.date && `, ${s.date}`}.{" "}
        </span>
      ))}
    </p>
  );
}

// Guard shows what went wrong where a part of the page cannot be drawn, such as one that
// cannot be loaded because the program was replaced meanwhile.
export class Guard extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };
  static getDerivedStateFromError() {
    return { failed: true };
  }
  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <div className="trouble" role="alert">
        <p>This part of the page cannot be shown.</p>
        <div className="row"><button type="button" className="quiet" onClick={() => location.reload()}>Load the page again</button></div>
      </div>
    );
  }
}

interface NumberInputProps { value: number | undefined; min?: number; max?: number; whole?: boolean; label?: string; id?: string; describedBy?: string; onChange: (n: number | undefined) => void }

// NumberInput keeps what is being typed, which is not always a number yet, and gives out
// each number within its bounds; undefined, if it was left empty.
export function NumberInput({ value, min, max, whole, label, id, describedBy, onChange }: NumberInputProps) {
  const [text, setText] = useState<string | null>(null);
  const bad = text !== null && text !== "" && !fits(Number(text), min, max);
  return (
    <input type="number" className="short" id={id} aria-label={label} aria-describedby={describedBy} aria-invalid={bad || undefined} min={min} max={max} step={whole ? 1 : "any"}
      value={text ?? value ?? ""}
      onChange={(e) => {
        setText(e.target.value);
        const n = Number(e.target.value);
        if (e.target.value !== "" && fits(n, min, max)) onChange(n);
      }}
      onBlur={(e) => {
        if (e.target.value === "" && !e.target.validity.badInput) onChange(undefined);
        setText(null);
      }} />
  );
}

const fits = (n: number, min = -Infinity, max = Infinity) => Number.isFinite(n) && n >= min && n <= max;
