// Screens of a flow, as Descope's web component shows them. When somebody goes on, it
// disables the screen some time after it has begun to ask the server. Some time after the
// answer it gives the same screen back, or puts another one in its place, or does the one
// and then the other. What is typed before all that is over is lost.
import assert from "node:assert/strict";
import { still } from "./still.mjs";

// number has every page of a context number the screens of its flow: a screen has a number
// while it can be used, and a higher one when it can be used again. That another one is
// on its way, the component says in its log alone.
export function number(context) {
  return context.addInitScript(() => {
    let screens = 0;
    let root;
    let coming = false;
    const usable = () => !coming && root.firstElementChild?.setAttribute("data-screen", ++screens);
    const { debug } = console;
    console.debug = (...said) => {
      if (String(said[0]).includes("Rendering a flow screen")) {
        coming = true;
        root?.firstElementChild?.removeAttribute("data-screen");
      }
      debug.apply(console, said);
    };
    const back = ({ target: button }) => button.isConnected && !button.hasAttribute("loading");
    const put = ({ target }) => {
      coming = false;
      const shown = target.shadowRoot.querySelector("#content-root");
      if (root !== shown) new MutationObserver((changes) => changes.some(back) && usable()).observe(shown, { subtree: true, attributeFilter: ["loading"] });
      root = shown;
      usable();
    };
    document.addEventListener("screen-updated", put, true); // it does not bubble
  });
}

const screen = "#content-root > [data-screen]";

// current is the number of the screen that is shown, 0 while there is none.
const current = (page) => page.evaluate((s) => Number(document.querySelector("descope-wc")?.shadowRoot?.querySelector(s)?.dataset.screen ?? 0), screen);

// usable waits for a screen with a higher number than an earlier one: until it is not
// disabled, its elements are all that they will be, and it has faded in.
export async function usable(page, earlier = 0) {
  await page.waitForFunction(
    ([s, number]) => {
      const shown = document.querySelector("descope-wc")?.shadowRoot?.querySelector(s);
      const whole = (at) => [...at.querySelectorAll("*")].every((e) => e.matches(":defined") && (!e.shadowRoot || whole(e.shadowRoot)));
      return Number(shown?.dataset.screen) > number && !shown.querySelector("[loading=true], [disabled=true]") && whole(shown);
    },
    [screen, earlier],
  );
  await still(page);
}

// shown waits for the screen with a text that the one before does not have.
export async function shown(page, text) {
  await page.locator("descope-wc").getByText(text, { exact: true }).waitFor();
  await usable(page);
}

// onward does what leads to another screen, or to the same one again, and waits for it.
export async function onward(page, act) {
  const before = await current(page);
  await act();
  await usable(page, before);
}

// button is Descope's, which has another one in it: that is the one to press.
export const button = (page, name) => page.getByRole("button", { name, exact: true }).last();

// holds waits until the element whose value is sent has what was typed.
export async function holds(page, name, value) {
  const now = () => page.evaluate((n) => document.querySelector("descope-wc").shadowRoot.querySelector(`#content-root [name="${n}"]`)?.value, name);
  for (const end = Date.now() + 30_000; (await now()) !== value && Date.now() < end; ) await page.waitForTimeout(20);
  assert.equal(await now(), value, `what ${name} sends`);
}

// address enters an e-mail address.
export async function address(page, who) {
  await page.getByLabel("E-mail address").fill(who);
  await holds(page, "email", who);
}

// digits enters a code, each digit into its box once the one before has arrived: the
// boxes lose what follows at once.
export async function digits(page, code) {
  const boxes = page.locator("descope-passcode input");
  for (const [i, digit] of [...code].entries()) {
    await boxes.nth(i).press(digit);
    await holds(page, "code", code.slice(0, i + 1));
  }
}
