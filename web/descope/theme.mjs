// Writes theme.json, which the web component asks for: the theme that
// @descope/web-components-ui gives its own elements, in the colours and sizes of the
// pages around them. A project's theme comes from Descope's console in the same form.
//
//	node theme.mjs FILE
//
// The package is made for browsers and defines its elements as it is loaded. Here
// only the functions of its theme are wanted, so that it gets just enough of a
// browser to be loaded: classes that do nothing.
import { writeFileSync } from "node:fs";

const [file] = process.argv.slice(2);
if (!file) {
  console.error("usage: node theme.mjs FILE");
  process.exit(2);
}

pretendToBeABrowser();
const ui = await import("@descope/web-components-ui");
writeFileSync(file, JSON.stringify({ light: theme("light"), dark: theme("dark") }) + "\n");

// theme is Descope's own with ours on top; its CSS is scoped to light or dark.
function theme(name) {
  const base = name === "dark" ? ui.darkTheme : ui.defaultTheme;
  const { font2 } = base.globals.fonts;
  const globals = {
    ...base.globals,
    colors: { ...base.globals.colors, ...colors()[name] },
    // The first font of the package is fetched from elsewhere, and all else uses it by
    // that name: both are the system's here.
    fonts: { font1: { family: font2.family, label: font2.label }, font2 },
    typography: { ...base.globals.typography, ...typography(base.globals.typography) },
    radius: { ...base.globals.radius, xs: "8px", sm: "8px" },
  };
  const vars = ui.themeVars.components;
  const components = {
    ...base.components,
    // Enough of a picture to scan, and never wider than the screen.
    image: { ...base.components.image, [vars.image.width]: "min(100%, 16rem)" },
    // A container in another one has its own padding, not the other's.
    container: { ...base.components.container, [vars.container.verticalPadding]: "0px", [vars.container.horizontalPadding]: "0px" },
    button: { ...base.components.button, [vars.button.fontWeight]: "600" },
    // What has the focus is seen without looking for it.
    inputWrapper: {
      ...base.components.inputWrapper,
      _focused: { ...base.components.inputWrapper._focused, [vars.inputWrapper.outlineColor]: "var(--descope-colors-primary-main)" },
    },
    // A link is a link also for who sees no colours.
    link: { ...base.components.link, [vars.link.textDecoration]: "underline" },
  };
  const style = ui.themeToStyle({ globals, components }, name);
  // Some elements, of which no screen here is made, have pictures that are elsewhere.
  style.components = Object.fromEntries(Object.entries(style.components).filter(([, css]) => !/url\(["']?(https?:)?\/\//.test(JSON.stringify(css))));
  return style;
}

// The colours of internal/pages, with contrasts of at least 4.5:1.
function colors() {
  return {
    light: {
      surface: { main: "#ffffff", dark: "#566273", light: "#79869a", highlight: "#f5f6f8", contrast: "#1b2430" },
      primary: { main: "#2a5bd7", dark: "#1e46ad", light: "#7c9df0", highlight: "#eef3ff", contrast: "#ffffff" },
      error: { main: "#a3211c", dark: "#7f1814", light: "#e5837e", highlight: "#fdeae8", contrast: "#ffffff" },
    },
    dark: {
      surface: { main: "#1a2029", dark: "#a5b1c1", light: "#6d7a8d", highlight: "#242c38", contrast: "#e8edf4" },
      primary: { main: "#8fb1ff", dark: "#b9ceff", light: "#5b83e0", highlight: "#1b2a4d", contrast: "#0c1a3a" },
      error: { main: "#ff9d96", dark: "#ffc1bc", light: "#c4544c", highlight: "#3d1a18", contrast: "#3d0c09" },
    },
  };
}

function typography(base) {
  const sizes = {
    h1: { size: "28px", weight: "700" },
    h2: { size: "24px", weight: "700" },
    h3: { size: "20px", weight: "600" },
    subtitle1: { size: "18px", weight: "600" },
    subtitle2: { size: "18px", weight: "400" },
  };
  return Object.fromEntries(Object.entries(sizes).map(([name, s]) => [name, { ...base[name], ...s }]));
}

function pretendToBeABrowser() {
  const nothing = function () {};
  const anything = new Proxy(nothing, {
    get: (_, key) => {
      if (key === Symbol.toPrimitive) return () => "";
      if (key === Symbol.iterator) return function* () {};
      if (key === "then") return undefined;
      return key === "prototype" ? nothing.prototype : anything;
    },
    set: () => true,
    has: () => true,
    apply: () => anything,
    construct: () => anything,
  });
  class Idle {
    static get observedAttributes() {
      return [];
    }
    attachShadow() {
      return anything;
    }
    addEventListener() {}
    observe() {}
    disconnect() {}
  }
  const classes = ["Element", "HTMLElement", "Node", "Document", "DocumentFragment", "ShadowRoot", "Text", "Comment", "CSSStyleSheet"];
  classes.push("HTMLTemplateElement", "HTMLInputElement", "HTMLSlotElement", "MutationObserver", "ResizeObserver", "IntersectionObserver", "DOMParser");
  for (const name of classes) globalThis[name] ??= class extends Idle {};
  const defined = new Map();
  globalThis.customElements = { define: (n, c) => defined.set(n, c), get: (n) => defined.get(n), whenDefined: () => new Promise(nothing) };
  globalThis.window = globalThis;
  globalThis.document = anything;
  globalThis.location = new URL("http://localhost/");
  for (const name of ["addEventListener", "removeEventListener", "matchMedia", "requestAnimationFrame", "getComputedStyle"]) {
    globalThis[name] ??= anything;
  }
}
