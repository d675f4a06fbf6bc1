import { useId } from "react";
import { number } from "../words.ts";
import type { Attempt } from "./types.ts";

const gone: Record<string, string> = { erased: "What was sent is not kept: the person was erased.", data_purged: "What was sent is not kept any more." };

// AttemptView is one request: what was sent, what came back, and how long that took.
export function AttemptView({ attempt: a }: { attempt: Attempt }) {
  const id = useId();
  const x = a.exchange;
  return (
    <>
      <p>
        {a.status ? <b>Answered {a.status}</b> : <b>No answer</b>} {a.took_ms > 0 && `in ${number(a.took_ms)} ms`}
        {x && (x.first_byte_ms ?? 0) > 0 && <span className="soft"> (connected after {number(x.connected_ms ?? 0)} ms, the answer began after {number(x.first_byte_ms ?? 0)} ms)</span>}
        {a.error && <>. {a.error.charAt(0).toUpperCase() + a.error.slice(1)}.</>}
      </p>
      {a.hidden && <p className="soft">Operators alone see what was sent: it may be about a person.</p>}
      {a.gone && <p className="soft">{gone[a.gone] ?? a.gone}</p>}
      {x && (
        <div className="columns">
          <div>
            <h3 id={`${id}-sent`}>Sent</h3>
            <pre tabIndex={0} aria-labelledby={`${id}-sent`}>{`${x.method} ${x.url}\n${headers(x.request_headers)}\n\n${pretty(x.request_body)}`}</pre>
          </div>
          <div>
            <h3 id={`${id}-back`}>Came back</h3>
            {a.status ? <pre tabIndex={0} aria-labelledby={`${id}-back`}>{`${headers(x.response_headers ?? {})}\n\n${x.response_body ?? ""}${x.cut ? "\n…" : ""}`}</pre> : <p className="soft">Nothing.</p>}
          </div>
        </div>
      )}
    </>
  );
}

const headers = (h: Record<string, string>) => Object.entries(h).map(([n, v]) => `${n}: ${v}`).join("\n");

function pretty(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
