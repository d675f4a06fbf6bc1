import type { Palette, Verdict } from "./types.ts";

export const verdicts: Record<Verdict, string> = { allow: "Let through", step_up: "Ask for a face", deny: "Refuse" };
export const decided: Record<Verdict, string> = { allow: "let through", step_up: "asked for a face", deny: "refused" };
export const outcomes: Record<string, string> = { fired: "fired", clear: "clear", cannot_tell: "cannot tell" };
export const endings: Record<string, string> = { "": "not known", success: "signed in", failure: "not signed in", match: "face matched", no_match: "face did not match" };

const codes: Record<string, string> = {
  policy_rule: "a rule of the policy", nothing_can_be_told: "nothing can be told", evaluation_failed: "the evaluation failed",
};

export function reason(code: string, palette: Palette | null): string {
  return palette?.signals.find((s) => s.name === code)?.title ?? codes[code] ?? code;
}

export const when = (iso: string) => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
export const number = (n: number) => n.toLocaleString(undefined, { maximumFractionDigits: 1 });
export const policyName = (application: string, version: number) =>
  version === 0 ? "preset" : application ? `version ${version} of ${application}` : `version ${version}`;
