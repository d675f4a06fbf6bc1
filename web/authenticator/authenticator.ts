// The authenticator page without this script is a plain form. The script adds
// the camera or, where a living person is asked for, the live step, and says at
// once what came of it. The server compares the face and decides; the script only
// shows what it says.

import { available, Camera, sized, type Limits } from "../camera/camera";
import { attempts, base, find, show } from "../camera/page";
import { live } from "../live/live";

interface Answer {
  state: string;
  reason: string;
  message: string;
  nonce: string;
  attempts_left: number;
}

// Several pictures in a row, all of which must show the person.
const frames = 3;
const between = 180; // milliseconds

const limits: Limits = { side: 1600, bytes: 1_500_000, quality: 0.92 };

const opened = performance.now();

const form = find<HTMLFormElement>("upload");
const who = find<HTMLFormElement>("who");
let sending = false;
if (form) capture(form);
if (who) inPerson(who);
if (form || who) countDown();

// The live step asks for the name with a browser's own words.
function inPerson(form: HTMLFormElement): void {
  form.addEventListener("submit", (event) => {
    event.preventDefault(); // Enter, in the name
    find("live-start")?.click();
  });
  const nonce = form.querySelector<HTMLInputElement>("input[name=nonce]");
  live({
    open: ["open"],
    fields: () => (form.reportValidity() ? (Object.fromEntries(new FormData(form)) as Record<string, string>) : null),
    answered: ({ nonce: next }) => {
      if (nonce && next) nonce.value = next;
    },
  });
}

// Shows how long the request lasts, and then what became of it.
function countDown(): void {
  const seconds = Number(document.body.dataset["seconds"]);
  const time = find("time");
  const tick = () => {
    const left = Math.ceil(seconds - (performance.now() - opened) / 1000);
    if (left <= 0 && !sending) {
      location.replace(base);
      return;
    }
    if (time) {
      time.textContent = left > 90 ? `${Math.round(left / 60)} minutes left` : `${Math.max(0, left)} seconds left`;
    }
    setTimeout(tick, 1000);
  };
  show(time, true);
  tick();
}

function capture(form: HTMLFormElement): void {
  const nonce = form.querySelector<HTMLInputElement>("input[name=nonce]");
  const account = find<HTMLInputElement>("account");
  const file = find<HTMLInputElement>("file");
  const useCamera = find<HTMLButtonElement>("use-camera");
  const take = find<HTMLButtonElement>("take");
  const retake = find<HTMLButtonElement>("retake");
  const choose = find("choose");
  const viewfinder = find("camera");
  const preview = find("preview");
  const status = find("status");
  const left = find("left");
  const video = viewfinder?.querySelector("video") ?? null;
  const picture = preview?.querySelector("img") ?? null;
  const hint = find("account-hint");
  if (!nonce || !file || !video || !picture || !status) return;

  const camera = new Camera(video);
  let fromCamera = false;
  let url = "";

  const say = (text: string, kind = "") => {
    status.className = "status " + kind;
    status.textContent = text;
  };
  const stop = () => {
    camera.stop();
    show(viewfinder, false);
    show(take, false);
  };

  // The name belongs to the upload, so it must be there first.
  const named = (): boolean => {
    if (!account || account.value.trim() !== "") return true;
    say("Enter the name of your account first.", "bad");
    account.focus();
    return false;
  };

  const open = async () => {
    if (!named()) return;
    fromCamera = true;
    show(preview, false);
    show(retake, false);
    show(left, false);
    say("Opening the camera…");
    try {
      await camera.open({ facingMode: "user", width: { ideal: 1280 }, height: { ideal: 960 } });
      show(viewfinder, true);
      await video.play();
    } catch {
      stop();
      show(useCamera, false);
      show(choose, true);
      say("The camera could not be opened. Allow it in your browser, or choose a photo instead.", "bad");
      return;
    }
    say("Put your face inside the oval, look at the camera and hold still.");
    show(choose, false);
    show(hint, false); // room for the picture
    show(take, true);
    take?.focus();
  };

  const failed = (text: string) => {
    say(text, "bad");
    show(retake, true);
    retake?.focus();
  };

  // Shows the first photo at once, however long making it small takes.
  const send = async (first: Blob, photos: (Blob | Promise<Blob>)[]) => {
    stop();
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(first);
    picture.src = url;
    show(preview, true);
    show(choose, false);
    show(left, false);
    say("Comparing your face…");
    const body = new FormData();
    body.set("nonce", nonce.value); // what is said comes before the files
    if (account) body.set("account", account.value.trim());
    let answer: Answer;
    sending = true;
    try {
      for (const photo of photos) body.append("file", await photo, "face");
      const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      answer = (await response.json()) as Answer;
    } catch {
      failed("The photo could not be sent. Check your connection and try again.");
      return;
    } finally {
      sending = false;
    }
    if (answer.state !== "open") {
      if (answer.state) location.replace(base);
      else failed(answer.message); // nothing is known about the request now
      return;
    }
    nonce.value = answer.nonce;
    if (left) left.textContent = attempts(answer.attempts_left);
    show(left, true);
    failed(answer.message);
  };

  show(useCamera, available());
  useCamera?.addEventListener("click", () => void open());
  account?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // there is no photo to send yet
    if (useCamera && !useCamera.hidden) useCamera.click();
  });
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    if (!named()) {
      file.value = "";
      return;
    }
    fromCamera = false;
    void send(chosen, [sized(chosen, limits)]);
  });
  take?.addEventListener("click", () => {
    take.disabled = true;
    void (async () => {
      const photos: Blob[] = [];
      for (let i = 0; i < frames; i++) {
        if (i > 0) await new Promise((resolve) => setTimeout(resolve, between));
        const photo = await camera.frame(limits);
        if (photo) photos.push(photo);
      }
      take.disabled = false;
      if (photos[0]) await send(photos[0], photos);
      else say("The camera gave no picture. Try again.", "bad");
    })();
  });
  retake?.addEventListener("click", () => {
    file.value = "";
    show(preview, false);
    show(retake, false);
    show(choose, true);
    say("");
    if (fromCamera) void open();
    else {
      show(useCamera, available());
      file.click();
    }
  });
}
