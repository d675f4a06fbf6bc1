// The capture page without this script is plain forms. The script adds the
// camera and the live step, looks at a photo while the person is still there, and
// follows the verdict. The server decides everything; the script only shows what
// it says.

import { available, Camera, sized, type Limits } from "../camera/camera";
import { attempts, base, find, show } from "../camera/page";
import { live } from "../live/live";

interface Answer {
  state: string;
  step: string;
  usable?: boolean;
  reason: string;
  message: string;
  attempts_left: number;
}

// The small print of a document must stay readable.
const limits: Limits = { side: 3000, bytes: 3_000_000, quality: 0.93 };

const form = find<HTMLFormElement>("upload");
if (form) upload(form);
live({ open: ["started", "captured"], fields: () => ({}) });
if (document.body.dataset["step"] === "wait") follow();

for (const once of document.querySelectorAll<HTMLFormElement>("form[data-once]")) {
  once.addEventListener("submit", () => {
    for (const button of once.querySelectorAll("button")) button.disabled = true;
  });
}

function upload(form: HTMLFormElement): void {
  const file = find<HTMLInputElement>("file");
  const useCamera = find<HTMLButtonElement>("use-camera");
  const take = find<HTMLButtonElement>("take");
  const retake = find<HTMLButtonElement>("retake");
  const choose = find("choose");
  const viewfinder = find("camera");
  const preview = find("preview");
  const status = find("status");
  const left = find("left");
  const next = find<HTMLAnchorElement>("continue");
  const video = viewfinder?.querySelector("video") ?? null;
  const picture = preview?.querySelector("img") ?? null;
  if (!file || !video || !picture || !status || !next) return; // no attempts left

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

  const open = async () => {
    fromCamera = true;
    show(preview, false);
    show(retake, false);
    show(next, false);
    show(left, false);
    say("Opening the camera…");
    try {
      await camera.open({ facingMode: form.dataset["camera"] ?? "environment", width: { ideal: 2560 }, height: { ideal: 1440 } });
      show(viewfinder, true);
      await video.play();
    } catch {
      stop();
      show(useCamera, false);
      show(choose, true);
      say("The camera could not be opened. Allow it in your browser, or choose a photo instead.", "bad");
      return;
    }
    say(form.dataset["camera"] === "user" ? "Put your face inside the oval." : "Fill the frame with the document and hold still. What can be read is said after the photo.");
    show(useCamera, false);
    show(choose, true); // a file stays possible
    show(take, true);
    take?.focus();
  };

  // Shows the photo at once, however long making it small takes.
  const send = async (shown: Blob, photo: Blob | Promise<Blob> = shown) => {
    stop();
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(shown);
    picture.src = url;
    show(preview, true);
    show(choose, false);
    show(retake, false);
    show(next, false);
    show(left, false);
    say("Looking at the photo…");
    const body = new FormData();
    const side = form.querySelector<HTMLInputElement>("input[name=side]");
    if (side) body.set("side", side.value);
    let answer: Answer;
    try {
      body.set("file", await photo, "photo");
      const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      answer = (await response.json()) as Answer;
    } catch {
      say("The photo could not be sent. Check your connection and try again.", "bad");
      retake?.classList.add("primary");
      show(retake, true);
      return;
    }
    if (!["started", "captured"].includes(answer.state)) {
      if (answer.state) location.replace(base);
      else {
        say(answer.message, "bad");
        show(retake, true);
      }
      return;
    }
    say(answer.message, answer.usable ? "good" : "bad");
    retake?.classList.toggle("primary", !answer.usable);
    if (answer.usable) {
      next.textContent = "Continue";
      next.href = base + "?step=" + encodeURIComponent(answer.step);
      show(next, true);
      show(retake, answer.attempts_left > 0);
      next.focus();
      return;
    }
    show(retake, answer.attempts_left > 0);
    show(next, answer.attempts_left <= 0);
    if (answer.attempts_left > 0) {
      if (left) left.textContent = attempts(answer.attempts_left);
      show(left, true);
      retake?.focus();
    } else {
      next.textContent = "Continue anyway";
      next.href = base + "?step=" + encodeURIComponent(answer.step);
      next.focus();
    }
  };

  show(useCamera, available());
  useCamera?.addEventListener("click", () => void open());
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    fromCamera = false;
    void send(chosen, sized(chosen, limits));
  });
  take?.addEventListener("click", () => {
    void camera.frame(limits).then((photo) => {
      if (photo) void send(photo);
      else say("The camera gave no picture. Try again.", "bad");
    });
  });
  retake?.addEventListener("click", () => {
    file.value = "";
    show(preview, false);
    show(retake, false);
    show(left, false);
    show(choose, true);
    say("");
    if (fromCamera) void open();
    else {
      show(useCamera, available());
      file.click();
    }
  });
}

// Asks until there is a verdict, then lets the server show it.
function follow(): void {
  let wait = 700;
  const ask = async () => {
    try {
      const response = await fetch(base + "/state", { headers: { Accept: "application/json" }, cache: "no-store" });
      const answer = (await response.json()) as Answer;
      if (response.ok && answer.state !== "judging") {
        location.replace(base);
        return;
      }
    } catch {
      // Offline for a moment; the check goes on without us.
    }
    wait = Math.min(wait * 1.3, 5000);
    setTimeout(() => void ask(), wait);
  };
  setTimeout(() => void ask(), wait);
}
