import type { Change, PolicyDocument, Problem, Reading, Result, Verdict } from "./types.ts";

export interface Source { what: string; date: string; attribution: string; url: string; origin: string }
export interface Session { role: "viewer" | "operator"; name: string; csrf: string; version: string; tenants: string[]; sources: Source[]; doors: { federation: boolean; hooks: boolean; deliveries: boolean } }
export interface Slot { application: string; enforced: number; shadow: number; latest: number }
export interface VersionInfo { version: number; mode: "enforce" | "shadow"; author: string; comment: string; at: string }
export interface Holding extends VersionInfo { from: "own" | "tenant" | "preset"; document: PolicyDocument }
export interface Standing { application: string; base: number; enforced: Holding; shadow: Holding | null; versions: VersionInfo[] }
export interface Tally { allow: number; step_up: number; deny: number }
export interface Affected { user: string; decision_id: string; logins: number; now: Tally; draft: Tally }
export interface Replay { logins: number; unread: number; now: Tally; then: Tally; draft: Tally; stricter: number; milder: number; people: number; seconds: number; who: Affected[] | null }
export interface RunState<T> { done: number; total: number; finished: boolean; result?: T; error?: Trouble }
export interface Summary {
  id: string; at: string; user: string; application: string; decision: Verdict; score: number | null; reasons: string[] | null;
  policy_application: string; policy_version: number; shadow_version?: number; shadow_decision?: Verdict; outcome: string; outcome_at?: string;
}
export interface Explanation extends Summary { erased: boolean; observation?: Observation; result?: Result; policy?: PolicyDocument; shadow?: Result; differs?: boolean }
export type Observation = Record<string, unknown>;
export interface Trouble { reason: string; message: string; hint?: string; field?: string; latest?: number; problems?: Problem[]; fields?: Record<string, string> }
export type { Change, Reading };

// Failed is an answer that says no, in words for people.
export class Failed extends Error {
  constructor(readonly status: number, readonly trouble: Trouble) {
    super(trouble.hint ? `${sentence(trouble.message)} ${sentence(trouble.hint)}` : sentence(trouble.message));
  }
}

function sentence(text: string): string {
  const s = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(s) ? s : `${s}.`;
}

let csrf = "";

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  let res: Response;
  try {
    res = await fetch(`/console/api/${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(method === "GET" ? {} : { "X-Kosmoscope-Csrf": csrf }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Failed(0, { reason: "unreachable", message: "the server does not answer", hint: "Check the connection, then try again." });
  }
  if (res.status === 401) {
    location.reload(); // the server shows how to sign in
    throw new Failed(401, { reason: "signed_out", message: "the session has ended" });
  }
  if (res.status === 204) return undefined as T;
  const answer = await res.json().catch(() => ({ reason: "unreadable", message: "the server's answer cannot be read" }));
  if (!res.ok) throw new Failed(res.status, answer as Trouble);
  return answer as T;
}

export async function session(): Promise<Session> {
  const s = await call<Session>("GET", "session");
  csrf = s.csrf;
  return s;
}

export const of = (tenant: string, path: string) => `t/${encodeURIComponent(tenant)}/${path}`;
export const query = (fields: Record<string, string>) => {
  const q = new URLSearchParams(Object.entries(fields).filter(([, v]) => v !== ""));
  return q.size ? `?${q}` : "";
};
