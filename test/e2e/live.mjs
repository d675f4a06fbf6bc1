// A camera for the live step that plays rendered frames: an injection, as whoever
// attacks such a page from inside a browser would do it. It has a head, or a flat
// picture, do what the page asks for at the moment.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const folder = "/frames-of-a-head/"; // at every origin, for those pages alone

// inject has every page of a context open this camera instead of one of the machine's:
// what it shows are the ACTION-NN.jpg of a folder.
export async function inject(context, dir, { label = "Integrated Camera" } = {}) {
  await context.route(`**${folder}*`, (route) => route.fulfill({ path: join(dir, route.request().url().split(folder)[1]) }));
  await context.addInitScript(play, { files: readdirSync(dir).sort(), folder, label });
}

// play runs in the page. An action is sixteen pictures, there and back, and repeated after
// them a bit differently. The head goes on when the page has taken a picture, one at a
// time: a machine that is slow to look sees the same as one that is fast. It goes back when
// it is told to, and takes back what was too fast.
function play({ files, folder, label }) {
  const once = 16;
  const begin = 3; // before that it waits
  const sets = {};
  const load = (action) => (sets[action] ??= Promise.all(files.filter((f) => f.startsWith(`${action}-`)).map(async (f) => createImageBitmap(await (await fetch(folder + f)).blob()))));
  let taken = false;
  const encode = HTMLCanvasElement.prototype.toBlob;
  HTMLCanvasElement.prototype.toBlob = function (...args) {
    taken = true;
    return encode.apply(this, args);
  };

  navigator.mediaDevices.getUserMedia = async () => {
    let [action, at, pictures] = ["look_straight", 0, await load("look_straight")];
    const canvas = document.createElement("canvas");
    canvas.width = 640;
    canvas.height = 480;
    const draw = canvas.getContext("2d");
    const stream = canvas.captureStream();
    const [track] = stream.getVideoTracks();
    Object.defineProperty(track, "label", { value: label });
    const tick = async () => {
      if (track.readyState === "ended") return;
      const { action: asked = action, drawing = asked, hint } = document.getElementById("live")?.dataset ?? {};
      if (asked !== action) [action, at, pictures] = [asked, begin, await load(asked)];
      else if (taken && !globalThis.frozen) at += hint === "slower" && at % once > begin ? -2 : 1;
      taken = false;
      const back = action === "blink" ? 6 : 11; // there the way back begins
      if (drawing !== action && at % once >= begin && at % once < back) at += back - (at % once);
      // Nobody holds quite still, and frames that are played twice must not be the same.
      const now = performance.now();
      const [dx, dy] = [3 * Math.sin(now / 700) + 2 * Math.random(), 3 * Math.sin(now / 900) + 2 * Math.random()];
      draw.drawImage(pictures[at % pictures.length], dx - 8, dy - 6, 656, 492);
      setTimeout(tick, 50);
    };
    await tick();
    for (const f of files) load(f.split("-")[0]).catch(() => {}); // before they are asked for
    return stream;
  };
}

// frozen has the head stay as it is while something is looked at.
export async function frozen(tab, look) {
  await tab.evaluate(() => (globalThis.frozen = true));
  await look();
  await tab.evaluate(() => (globalThis.frozen = false));
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
  await stopped.or(gone).first().waitFor({ timeout: 180_000 });
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
