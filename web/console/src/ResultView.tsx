import type { Palette, PolicyDocument, Result } from "./types.ts";
import { number, outcomes, reason, verdicts } from "./words.ts";

// ResultView shows a decision: what, why, every signal, and the branch that was taken.
export function ResultView({ result, document, palette }: { result: Result; document: PolicyDocument; palette: Palette | null }) {
  const node = new Map(document.nodes.map((n) => [n.id, n]));
  const name = (id: string) => {
    const n = node.get(id);
    return n?.label || (n?.signal && reason(n.signal, palette)) || id;
  };
  const weight = (signal: string) => palette?.signals.find((s) => s.name === signal)?.weight;
  const path = (result.steps ?? []).filter((s) => s.on_path);
  return (
    <>
      <p className={`verdict ${result.decision}`}>
        <strong>{verdicts[result.decision]}</strong>
        {result.score !== null && <> · {number(result.score)} points</>}
        {(result.reasons ?? []).length > 0 && <> · {(result.reasons ?? []).map((r) => reason(r, palette)).join(", ")}</>}
      </p>
      {result.failed && <p className="trouble">The evaluation failed: {result.failed}</p>}
      <p>
        {result.rule ? <>Rule <b>{name(result.rule)}</b> decided.</> : "No rule held, so what holds otherwise decided."}
        {path.length > 0 && <> The path: {path.map((s) => name(s.node)).join(" → ")}.</>}
      </p>
      <div className="scroll" tabIndex={0} role="group" aria-label="Signals">
        <table>
          <thead>
            <tr><th scope="col">Signal</th><th scope="col">Outcome</th><th scope="col">Value</th><th scope="col">Points</th><th scope="col">Evidence</th></tr>
          </thead>
          <tbody>
            {(result.readings ?? []).map((r, i) => (
              <tr key={i} className={r.outcome}>
                <th scope="row">{reason(r.signal, palette)}</th>
                <td><span className={`chip ${r.outcome}`}>{outcomes[r.outcome]}</span></td>
                <td>{r.value === undefined ? "" : number(r.value)}</td>
                <td>{weight(r.signal) ?? ""}</td>
                <td>{r.evidence}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
