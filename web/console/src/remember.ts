// What somebody chose, in this tab or in this browser. A browser that keeps nothing
// forgets it when the page is loaded again.
type Where = "tab" | "browser";

const store = (where: Where) => (where === "tab" ? sessionStorage : localStorage); // to look at either may throw

export function remember(what: string, value: string, where: Where = "tab"): void {
  try {
    store(where).setItem(what, value);
  } catch {
    // As said above.
  }
}

export function remembered(what: string, where: Where = "tab"): string {
  try {
    return store(where).getItem(what) ?? "";
  } catch {
    return "";
  }
}
