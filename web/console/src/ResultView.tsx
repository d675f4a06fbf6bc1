import type { Palette, PolicyDocument, PolicyNode, Result } from "./types.ts";
import { number, outcomes, reason, verdicts } from "./words.ts";

interface Props { result: Result; document: PolicyDocument; palette: Palette }

// ResultView shows a decision: what, why, every signal, and the branch that was taken.
export function ResultView({ result, document, palette }: Props) {
  const node = new Map(document.nodes.map((n) => [n.id, n]));
  const path = (result.steps ?? []).filter((s) => s.on_path);
  return (
    <>
      <p className={`verdict ${result.decision}`} role="status">
        <strong>{verdicts[result.decision]}</strong>
        {result.score !== null && <> · {number(result.score)} points</>}
        {(result.reasons ?? []).length > 0 && <> · {(result.reasons ?? []).map((r) => reason(r, palette)).join(", ")}</>}
      </p>
      {result.failed && <p className="trouble">The evaluation failed: {result.failed}</p>}
      <p>
        {result.rule ? <>Rule <b>{nameOf(node.get(result.rule), result.rule, palette)}</b> decided.</> : "No rule held, so what holds otherwise decided."}
      </p>
      {path.length > 0 && (
        <>
          <h3 id="path-title">The path</h3>
          <ol className="path" aria-labelledby="path-title">
            {path.map((s) => (
              <li key={s.node}>
                {nameOf(node.get(s.node), s.node, palette)}
                <span className="soft"> {s.number !== undefined ? `${number(s.number)} points` : s.holds ? "holds" : "does not hold"}{!s.sure && ", not for certain"}{s.message && `: ${s.message}`}</span>
              </li>
            ))}
          </ol>
        </>
      )}
      <Readings result={result} document={document} palette={palette} />
    </>
  );
}

function nameOf(n: PolicyNode | undefined, id: string, palette: Palette): string {
  return n?.label || (n?.signal && reason(n.signal, palette)) || n?.expression || id;
}

// pointsOf is what a signal's points are in this policy; undefined, if it weighs nothing.
function pointsOf(signal: string, document: PolicyDocument, palette: Palette): number | undefined {
  const ids = new Set(document.nodes.filter((n) => n.signal === signal).map((n) => n.id));
  const weight = document.nodes.find((n) => n.type === "weight" && document.edges.some((e) => e.to === n.id && ids.has(e.from)));
  return weight && (weight.weight ?? palette.signals.find((s) => s.name === signal)?.weight);
}

function Readings({ result, document, palette }: Props) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label="Signals">
      <table className="readings">
        <thead>
          <tr><th scope="col">Signal</th><th scope="col">Outcome</th><th scope="col" className="n">Value</th><th scope="col" className="n">Points</th><th scope="col">Evidence</th></tr>
        </thead>
        <tbody>
          {(result.readings ?? []).map((r, i) => {
            const signal = palette.signals.find((s) => s.name === r.signal);
            const points = pointsOf(r.signal, document, palette);
            return (
              <tr key={i} className={r.outcome}>
                <th scope="row">{reason(r.signal, palette)}</th>
                <td><span className={`chip ${r.outcome}`}>{outcomes[r.outcome]}</span></td>
                <td className="n" data-name="Value">{r.value !== undefined && <>{number(r.value)} <span className="soft">{signal?.unit}</span></>}</td>
                <td className="n" data-name="Points">{points !== undefined && number(points)}</td>
                <td>{r.evidence}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
