// A camera for the live step that plays rendered frames: an injection, as whoever
// attacks such a page from inside a browser would do it. It has a head, or a flat
// picture, do what the page asks for at the moment.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

// frames reads a folder of NAME-NN.jpg, by name and in order: one action from
// front to peak and back.
export function frames(dir) {
  const out = {};
  for (const file of readdirSync(dir).sort()) {
    const [, action] = file.match(/^(.+)-\d+\.jpg$/) ?? [];
    if (action) (out[action] ??= []).push(readFileSync(join(dir, file)).toString("base64"));
  }
  return out;
}

// inject has every page of a context open this camera instead of one of the
// machine's. A folder's frames are spread over lasts milliseconds.
export function inject(context, dir, { label = "Integrated Camera", lasts = 4000 } = {}) {
  return context.addInitScript(play, { pictures: frames(dir), label, lasts });
}

// play runs in the page.
function play({ pictures, label, lasts }) {
  const bytes = (b64) => Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
  const decoded = {};
  const load = async () => {
    for (const [action, list] of Object.entries(pictures)) {
      decoded[action] ??= await Promise.all(list.map((p) => createImageBitmap(new Blob([bytes(p)], { type: "image/jpeg" }))));
    }
  };

  navigator.mediaDevices.getUserMedia = async () => {
    await load();
    const canvas = document.createElement("canvas");
    canvas.width = 640;
    canvas.height = 480;
    const draw = canvas.getContext("2d");
    let action = "look_straight";
    let since = performance.now();
    const stream = canvas.captureStream();
    const [track] = stream.getVideoTracks();
    Object.defineProperty(track, "label", { value: label });
    const tick = () => {
      if (track.readyState === "ended") return;
      const now = performance.now();
      const asked = document.getElementById("live")?.dataset.action ?? "look_straight";
      if (asked !== action) [action, since] = [asked, now];
      const list = decoded[action] ?? decoded.look_straight;
      const frame = list[Math.floor((((now - since) % lasts) / lasts) * list.length)];
      // Nobody holds quite still, and frames that are played twice must not be the same.
      const [dx, dy] = [3 * Math.sin(now / 700) + 2 * Math.random(), 3 * Math.sin(now / 900) + 2 * Math.random()];
      draw.drawImage(frame, dx - 8, dy - 6, 656, 492);
      setTimeout(tick, 50);
    };
    tick();
    return stream;
  };
}

const id = (name) => `[data-testid="${name}"]`;

// perform does one sequence; it returns what the page says if it is to be done
// again, and null once the page has gone on.
export async function perform(tab) {
  await tab.locator(id("live-start")).press("Enter");
  return ended(tab);
}

export async function ended(tab) {
  const stopped = tab.locator("#live[data-phase=stopped]");
  const gone = tab.locator(`${id("submit")}, ${id("result")}, ${id("waiting")}`);
  await stopped.or(gone).first().waitFor({ timeout: 90_000 });
  return (await stopped.count()) ? tab.locator(id("live-status")).innerText() : null;
}

// persist begins anew as long as the page allows it: it is in the nature of
// sequences that some are seen too incompletely to say anything.
export async function persist(tab, first) {
  for (let said = await (first ?? perform(tab)), tries = 1; said !== null; tries++) {
    assert.ok(tries < 3, said);
    said = await perform(tab);
  }
}
