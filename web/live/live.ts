// The live step: the server says what a person is to do before the camera, looks
// at every frame, and says how it goes. The script shows what it says and sends
// what the camera sees; it judges nothing.
//
//	POST base/live           form: camera, and what the page adds   -> Answer
//	POST base/live/frame?n=INDEX&t=MS   image/jpeg, not mirrored    -> Answer
//
// One frame is on its way at a time, at most five a second, and no frame stays in
// the page. A frame is for the action n that was shown; t is the camera's clock.
//
//	idle -> opening -> on <-> paused
//	           |       |
//	           |       +-> done: the page as the server has it now
//	           +-------+-> stopped: a sentence, and a button that begins anew

import { available, Camera, type Limits } from "../camera/camera";
import { attempts, base, find, show } from "../camera/page";
import { instruction } from "./words";

export interface Answer {
  state: string; // of what the page is about
  reason: string;
  message: string; // plain sentence: what to do better, or what came of it
  attempts_left: number; // beside this one, once a second action is shown
  action?: string; // to be shown now
  index?: number; // its place, from 0
  actions?: number; // how many there are
  hint?: string;
  done?: boolean; // everything was done
  over?: boolean; // this sequence cannot pass any more
  nonce?: string; // the authenticator's, for what is sent next
}

// Owner is the page that the step is part of.
export interface Owner {
  open: string[]; // states in which there is something to do here
  fields(): Record<string, string> | null; // to begin with; null if something is missing, and the page has said so
  answered?(answer: Answer): void;
}

const limits: Limits = { side: 800, bytes: 0, quality: 0.85 };
const pace = 200; // ms from one frame to the next, at least
const patience = 15_000; // ms for one answer
const still = 4_000; // ms without a picture from the camera
const failures = 6; // in a row, before the person is asked what to do
const spoken = 2_000; // ms from one hint read aloud to the next

const unreachable = "The server could not be reached. Check your connection and try again.";
const phone = "You can also go on with a phone: the page that sent you here shows how.";

// Problems are what to do about a camera that does not open, by the browser's name for it.
const problems: Record<string, string> = {
  NotAllowedError: "The camera is blocked for this page. Allow it in the browser, next to the address, and try again.",
  NotFoundError: "No camera was found on this device. Connect one and try again.",
  OverconstrainedError: "No camera was found on this device. Connect one and try again.",
  NotReadableError: "The camera is used by another program. Close that program and try again.",
  AbortError: "The camera stopped. Try again.",
};

// Refused is an answer that says to try the same again later, and why.
class Refused extends Error {}

export function live(owner: Owner): void {
  const root = find("live");
  const video = root?.querySelector("video");
  const start = find<HTMLButtonElement>("live-start");
  const stage = find("live-stage");
  const intro = find("live-intro");
  const act = find("live-action");
  const hint = find("live-hint");
  const status = find("live-status");
  const aloud = find("live-aloud");
  const count = find("live-count");
  const left = find("live-left");
  const bar = find<HTMLProgressElement>("live-progress");
  const cannot = find<HTMLDetailsElement>("live-cannot");
  if (!root || !video || !start || !stage || !act || !hint || !status || !aloud || !count || !left || !bar) return;

  const camera = new Camera(video);
  const title = document.title;
  let turn = 0; // of begin
  let now: Answer | undefined; // the last that named an action
  let back = false; // the peak of the action is behind the person

  const phase = (name: "idle" | "opening" | "on" | "paused" | "stopped") => {
    root.dataset["phase"] = name;
    const on = name === "on" || name === "paused";
    document.documentElement.classList.toggle("living", on);
    show(stage, on);
    show(intro, name === "idle");
    show(start, name === "idle" || name === "stopped");
    document.title = name === "paused" ? "Paused: " + title : title;
  };

  let said = ""; // aloud
  let last = -Infinity; // when
  let later: ReturnType<typeof setTimeout> | undefined;

  // Ends what is going on, and says why.
  const stop = (text: string) => {
    turn++;
    camera.stop();
    clearTimeout(later);
    phase("stopped");
    status.className = "status bad";
    status.textContent = text;
    start.textContent = "Try again";
    start.focus();
  };

  // What changes many times a second is shown at once and read aloud seldom.
  const tell = (text: string, kind: string) => {
    root.dataset["hint"] = kind;
    if (hint.textContent !== text) hint.textContent = text;
    clearTimeout(later);
    if (text === said) return;
    later = setTimeout(() => {
      aloud.textContent = said = text;
      last = performance.now();
    }, Math.max(0, last + spoken - performance.now()));
  };

  const display = (answer: Answer) => {
    const before = now;
    if (answer.action !== undefined && answer.index !== undefined) now = { ...answer, actions: answer.actions ?? now?.actions };
    if (!now?.action || now.index === undefined) return;
    if (before?.index !== now.index || before.action !== now.action) {
      back = false;
      if (before) navigator.vibrate?.(60); // felt with closed eyes, or turned away
    }
    const how = instruction(now.action, answer.hint ?? "", back, now.index > 0);
    back = how.back;
    root.dataset["action"] = now.action; // what is asked for
    root.dataset["drawing"] = how.drawing;
    if (act.textContent !== how.words) {
      act.textContent = how.words; // read aloud by itself, and before any hint
      last = performance.now();
    }
    const of = now.actions ?? now.index + 1;
    count.textContent = `Step ${now.index + 1} of ${of}`;
    bar.max = of;
    bar.value = now.index;
    left.textContent = now.index === 0 ? "" : answer.attempts_left > 0 ? `${answer.attempts_left} more after this try` : "Last try";
    tell(answer.hint === "good" && !answer.message ? "Good" : answer.message, answer.hint ?? "");
  };

  // The server has the page as it is now.
  const leave = () => {
    turn++;
    camera.stop();
    location.replace(base);
  };

  // ended reports that there is nothing to do here any more.
  const ended = (code: number, { state, attempts_left }: Answer) =>
    !!state && (!owner.open.includes(state) || (code === 409 && attempts_left <= 0));

  // goesOn reports whether the sequence does.
  const goesOn = (answer: Answer): boolean => {
    owner.answered?.(answer);
    if (answer.done && !answer.reason) leave();
    else if (answer.over || answer.done) stop(`${answer.message} ${attempts(answer.attempts_left)}`);
    else return true;
    return false;
  };

  const post = async (path: string, body: BodyInit, headers: Record<string, string> = {}) => {
    const response = await fetch(base + path, {
      method: "POST", body, headers: { Accept: "application/json", ...headers }, cache: "no-store", signal: AbortSignal.timeout(patience),
    });
    return { status: response.status, answer: (await response.json()) as Answer };
  };

  const begin = async () => {
    const fields = owner.fields();
    if (!fields) return;
    const mine = ++turn;
    if (cannot) cannot.open = false;
    status.className = "status";
    status.textContent = "Opening the camera…";
    phase("opening");
    let track: MediaStreamTrack | undefined;
    try {
      const stream = await camera.open({ facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } });
      track = stream.getVideoTracks()[0];
    } catch (err) {
      const name = err instanceof DOMException ? err.name : "";
      if (mine === turn) stop(`${problems[name] ?? "The camera could not be opened. Try again."} ${phone}`);
      return;
    }
    track?.addEventListener("ended", () => {
      if (mine === turn) stop(`The camera was disconnected. Connect it and try again. ${phone}`);
    });
    try {
      const { status: code, answer } = await post("/live", new URLSearchParams({ ...fields, camera: track?.label ?? "" }));
      if (mine !== turn) return;
      owner.answered?.(answer);
      if (code !== 200 || !answer.action) {
        if (ended(code, answer)) leave();
        else stop(answer.message);
        return;
      }
      now = undefined;
      status.textContent = "";
      status.className = "status";
      phase("on");
      display(answer);
      act.focus({ preventScroll: true });
      scrollTo(0, 0); // what was above is hidden
    } catch {
      if (mine === turn) stop(unreachable);
      return;
    }
    video.play().catch(() => {}); // that no picture comes is seen soon enough
    await run(mine);
  };

  const waiting = () => document.hidden || !!cannot?.open;

  const run = async (mine: number) => {
    const started = performance.now();
    let failed = 0;
    while (mine === turn) {
      if (waiting()) {
        phase("paused");
        tell("Paused. The time for this step goes on.", "paused");
        await resumed();
        if (mine !== turn) return;
        phase("on");
        tell("Go on with what is shown.", "good");
      }
      const sent = performance.now();
      const came = await camera.fresh(still);
      if (mine !== turn) return;
      if (waiting()) continue;
      const photo = came === null ? null : await camera.frame(limits);
      if (mine !== turn) return;
      if (came === null || !photo) {
        if (++failed >= failures) return stop(`The camera gives no picture. Close other programs that use it, and try again. ${phone}`);
        tell("The camera gives no picture. One moment…", "trouble");
        continue;
      }
      let wait = pace - (performance.now() - sent);
      const slow = setTimeout(tell, 1500, "One moment…", "wait");
      try {
        const n = now?.index ?? 0;
        const { status: code, answer } = await post(`/live/frame?n=${n}&t=${Math.max(0, Math.round(came - started))}`, photo, { "Content-Type": "image/jpeg" });
        if (mine !== turn) return;
        wait = pace - (performance.now() - sent);
        const known = owner.open.includes(answer.state);
        if (code === 404 || code === 410 || ended(code, answer)) leave();
        else if (code === 409 && !known) tell("One moment…", "wait"); // the frame before is still being looked at
        else if (code === 429 || code >= 500) throw new Refused(answer.message);
        else if (code !== 200) stop(answer.message);
        else if (goesOn(answer)) display(answer);
        failed = 0;
      } catch (err) {
        if (mine !== turn) return;
        const why = err instanceof Refused ? err.message : "";
        if (++failed >= failures) return stop(why || unreachable);
        tell(why || "The connection was lost. Trying again…", "trouble");
        wait = Math.min(4000, 300 * 2 ** failed);
      } finally {
        clearTimeout(slow);
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, wait)));
    }
  };

  const resumed = () =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (waiting()) return;
        document.removeEventListener("visibilitychange", look);
        cannot?.removeEventListener("toggle", look);
        resolve();
      };
      document.addEventListener("visibilitychange", look);
      cannot?.addEventListener("toggle", look);
    });

  if (!available()) {
    phase("stopped");
    show(start, false);
    status.className = "status bad";
    status.textContent = `This browser gives pages no camera, and this check needs one. Open the page in another browser. ${phone}`;
    return;
  }
  phase("idle");
  start.addEventListener("click", () => void begin());
}
