// Fields of the side panel.

import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import type { Problem } from "../types.ts";

interface Common {
  label: string;
  help?: string;
  problems?: Problem[];
}

// useAbout gives a field its id, and what describes it: its help and what is wrong with it.
function useAbout({ help, problems = [] }: Common) {
  const id = useId();
  const described = [help ? `${id}-help` : "", problems.length > 0 ? `${id}-wrong` : ""].filter(Boolean).join(" ");
  const attributes = { id, "aria-describedby": described || undefined, "aria-invalid": problems.length > 0 || undefined };
  const below: ReactNode = (
    <>
      {help && (
        <small className="graph-note" id={`${id}-help`}>
          {help}
        </small>
      )}
      {problems.length > 0 && (
        <small className="graph-wrong" id={`${id}-wrong`}>
          {problems.map((p) => p.message).join(" ")}
        </small>
      )}
    </>
  );
  return { id, attributes, below };
}

export function TextField(
  props: Common & { value: string; most: number; onChange: (v: string) => void; lines?: number; code?: boolean; placeholder?: string },
) {
  const { id, attributes, below } = useAbout(props);
  const shared = {
    ...attributes,
    value: props.value,
    maxLength: props.most,
    placeholder: props.placeholder,
    autoComplete: "off",
    spellCheck: !props.code,
    onChange: (e: { target: { value: string } }) => props.onChange(e.target.value),
  };
  return (
    <div className="graph-field">
      <label htmlFor={id}>{props.label}</label>
      {props.lines ? (
        <textarea {...shared} rows={props.lines} className={props.code ? "is-code" : undefined} autoCapitalize={props.code ? "off" : undefined} />
      ) : (
        <input type="text" {...shared} />
      )}
      {below}
    </div>
  );
}

// NumberField tells of every number that is written. Emptied, it tells of none (undefined); one
// that needs a number goes back to the usual one, or to the one that it had, when it is left.
export function NumberField(
  props: Common & {
    value: number | undefined;
    unit?: string;
    min?: number;
    max?: number;
    whole?: boolean;
    needed?: boolean;
    usual?: number;
    onChange: (v: number | undefined) => void;
  },
) {
  const { id, attributes, below } = useAbout(props);
  const [text, setText] = useState(props.value === undefined ? "" : String(props.value));
  const told = useRef(props.value);
  useEffect(() => {
    // What was changed elsewhere, as by undo, is shown; not what this field itself has told.
    if (props.value === told.current) return;
    told.current = props.value;
    setText(props.value === undefined ? "" : String(props.value));
  }, [props.value]);
  return (
    <div className="graph-field">
      <label htmlFor={id}>
        {props.label}
        {props.unit && <span className="graph-unit"> ({props.unit})</span>}
      </label>
      <input
        type="number"
        inputMode={props.whole ? "numeric" : "decimal"}
        {...attributes}
        step={props.whole ? 1 : "any"}
        min={props.min}
        max={props.max}
        placeholder={props.usual === undefined ? undefined : String(props.usual)}
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          const n = e.target.value === "" ? undefined : e.target.valueAsNumber;
          if (n === undefined ? props.needed : !Number.isFinite(n)) return;
          told.current = n;
          props.onChange(n);
        }}
        onBlur={() => {
          if (!props.needed || text !== "") return;
          const back = props.usual ?? props.value;
          setText(back === undefined ? "" : String(back));
          told.current = back;
          if (back !== props.value) props.onChange(back);
        }}
      />
      {below}
    </div>
  );
}

// ListField is a list of texts, one a line.
export function ListField(props: Common & { value: string[]; onChange: (v: string[]) => void }) {
  const { id, attributes, below } = useAbout(props);
  const [text, setText] = useState(props.value.join("\n"));
  const told = useRef(JSON.stringify(props.value));
  const now = JSON.stringify(props.value);
  useEffect(() => {
    if (now === told.current) return;
    told.current = now;
    setText((JSON.parse(now) as string[]).join("\n"));
  }, [now]);
  return (
    <div className="graph-field">
      <label htmlFor={id}>{props.label}, one a line</label>
      <textarea
        {...attributes}
        rows={Math.min(Math.max(text.split("\n").length, 2), 8)}
        className="is-code"
        spellCheck={false}
        autoCapitalize="off"
        value={text}
        onChange={(e) => {
          setText(e.target.value);
          const list = e.target.value.split("\n").map((s) => s.trim()).filter(Boolean);
          told.current = JSON.stringify(list);
          props.onChange(list);
        }}
      />
      {below}
    </div>
  );
}

export function ChoiceField<T extends string>(props: Common & { value: T | undefined; options: [T, string][]; onChange: (v: T) => void }) {
  const { id, attributes, below } = useAbout(props);
  const known = props.options.some(([v]) => v === props.value);
  return (
    <div className="graph-field">
      <label htmlFor={id}>{props.label}</label>
      <select {...attributes} value={known ? props.value : ""} onChange={(e) => props.onChange(e.target.value as T)}>
        {!known && (
          <option value="" disabled>
            {props.value ?? "Choose one"}
          </option>
        )}
        {props.options.map(([v, text]) => (
          <option key={v} value={v}>
            {text}
          </option>
        ))}
      </select>
      {below}
    </div>
  );
}
