// Rules and events of door C, as the console's API speaks of them (internal/console/hooks.go).

export interface Count { at_least: number; within: string }
export interface Action { do: string; deliver?: string; flow?: string; caller?: string; attributes?: Record<string, string>; status?: string; roles?: string[]; type?: string; text?: string }
export interface Rule { id: string; name: string; off?: boolean; on: string[]; if?: string; count?: Count; do: Action[] }
export interface RulesVersion { version: number; author: string; comment?: string; at: string; rules: Rule[] | null }
export interface RuleProblem { path: string; code: string; message: string; warning?: boolean }
export interface Variable { name: string; type: string; help: string }
export interface RulesState {
  in_force: RulesVersion; versions: RulesVersion[]; actions: string[]; kinds: string[]; variables: Variable[]; attribute_variables: Variable[];
  limits: { rules: number; actions: number; dry_run: number };
}
export interface RuleReport { rule: string; name: string; off?: boolean; heard: number; matched: number; fired: number; persons: number; nobody: number; actions: { do: string; words: string; times: number }[]; examples: string[] }
export interface Report { events: number; unreadable: number; since?: string; until?: string; more?: boolean; rules: RuleReport[] }
export interface Work {
  id: string; event: string; rule: string; index: number; kind: string; effect: string; state: "waiting" | "done" | "failed" | "skipped" | "parked"; reason?: string; begun_at?: string;
  tries: number; subject?: string; created_at: string; ended_at?: string; action?: string; result?: string; may_retry: boolean; may_drop: boolean;
}
export interface Event {
  id: string; source: string; action: string; occurred_at: string; received_at: string; state: "waiting" | "done" | "parked"; reason?: string; rules: number;
  user?: string; hidden?: boolean; content?: Record<string, unknown>; work?: Work[];
}

const kindNames: Record<string, string> = {
  start_verification: "start a verification", start_challenge: "ask for a face", write_attributes: "write user attributes", write_status: "set the user's status", add_roles: "add roles",
  remove_roles: "remove roles", revoke_sessions: "log out everywhere", write_audit: "write to Descope's audit trail", erase: "erase the person here", notify: "notify endpoints",
};
export const kindName = (kind: string) => kindNames[kind] ?? kind;
export const sources: Record<string, string> = { webhook: "audit webhook", search: "audit search, after an outage", here: "ended here" };
export const workStates: Record<Work["state"], string> = { waiting: "waiting", done: "done", failed: "failed", skipped: "nothing to do", parked: "needs a look" };
export const workChips: Record<Work["state"], string> = { waiting: "step_up", done: "clear", failed: "deny", skipped: "", parked: "deny" };
export const authorName = (author: string) => author.replace(/^operator:/, "");

// slug makes an id of a name.
export const slug = (name: string) => name.toLowerCase().normalize("NFD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-+$/, "");
