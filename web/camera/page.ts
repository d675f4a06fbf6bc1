// What the capture page and the authenticator do alike, whatever they show.

export function find<T extends HTMLElement>(id: string): T | null {
  return document.getElementById(id) as T | null;
}

export function show(element: HTMLElement | null, visible: boolean): void {
  if (element) element.hidden = !visible;
}

// base is the path of what the page is about.
export const base = document.body.dataset["base"] ?? "";

document.documentElement.classList.add("js");

const back = document.querySelector<HTMLAnchorElement>("a[data-return]");
if (back) setTimeout(() => location.assign(back.href), 4000);

// A page taken from the back-forward cache may be behind what it is about.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

// attempts says how many are left.
export function attempts(left: number): string {
  return left === 1 ? "One attempt left." : `${left} attempts left.`;
}
