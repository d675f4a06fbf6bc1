import type { PolicyDocument } from "./types.ts";

// Draft is what was edited and is not published. It survives that the page is loaded
// again, and is gone with the tab.
export interface Draft { document: PolicyDocument; base: number } // base: the latest version when it was begun

const key = (tenant: string, application: string) => `draft:${JSON.stringify([tenant, application])}`;

export function kept(tenant: string, application: string): Draft | null {
  try {
    const d = JSON.parse(sessionStorage.getItem(key(tenant, application)) ?? "null") as Draft | null;
    return d && Array.isArray(d.document.nodes) && Array.isArray(d.document.edges) && typeof d.base === "number" ? d : null;
  } catch {
    return null;
  }
}

export function keep(tenant: string, application: string, draft: Draft): void {
  try {
    sessionStorage.setItem(key(tenant, application), JSON.stringify(draft));
  } catch {
    // The browser keeps nothing, or is full: the draft lives as long as the page.
  }
}

export function forget(tenant: string, application: string): void {
  try {
    sessionStorage.removeItem(key(tenant, application));
  } catch {
    // As above.
  }
}
