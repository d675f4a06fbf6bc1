import type { Change } from "./types.ts";

const kinds = { added: "+", removed: "−", changed: "±" };

// Changes are those between two policies, in words.
export function Changes({ list, none }: { list: Change[] | null; none: string }) {
  if (!list) return <p className="soft">Comparing …</p>;
  if (!list.length) return <p>{none}</p>;
  return (
    <ul className="changes" tabIndex={0} aria-label="Changes">
      {list.map((c, i) => <li key={i} className={c.kind}><span aria-hidden="true">{kinds[c.kind]}</span> {c.text}</li>)}
    </ul>
  );
}
