// The capture page without this script is plain forms. The script adds the
// camera, looks at a photo while the person is still there, and follows the
// verdict. The server decides everything; the script only shows what it says.

interface Answer {
  state: string;
  step: string;
  usable?: boolean;
  reason: string;
  message: string;
  attempts_left: number;
}

const base = document.body.dataset["base"] ?? "";

function find<T extends HTMLElement>(id: string): T | null {
  return document.getElementById(id) as T | null;
}

function show(element: HTMLElement | null, visible: boolean): void {
  if (element) element.hidden = !visible;
}

document.documentElement.classList.add("js");

const form = find<HTMLFormElement>("upload");
if (form) upload(form);
if (document.body.dataset["step"] === "wait") follow();

const back = document.querySelector<HTMLAnchorElement>("a[data-return]");
if (back) setTimeout(() => location.assign(back.href), 4000);

for (const once of document.querySelectorAll<HTMLFormElement>("form[data-once]")) {
  once.addEventListener("submit", () => {
    for (const button of once.querySelectorAll("button")) button.disabled = true;
  });
}
// A page taken from the back-forward cache may be behind the session.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

function upload(form: HTMLFormElement): void {
  const file = find<HTMLInputElement>("file");
  const useCamera = find<HTMLButtonElement>("use-camera");
  const take = find<HTMLButtonElement>("take");
  const retake = find<HTMLButtonElement>("retake");
  const choose = find("choose");
  const camera = find("camera");
  const preview = find("preview");
  const status = find("status");
  const left = find("left");
  const next = find<HTMLAnchorElement>("continue");
  const video = camera?.querySelector("video") ?? null;
  const picture = preview?.querySelector("img") ?? null;
  if (!file || !video || !picture || !status || !next) return; // no attempts left

  let stream: MediaStream | null = null;
  let fromCamera = false;
  let url = "";

  const say = (text: string, kind = "") => {
    status.className = "status " + kind;
    status.textContent = text;
  };
  const stop = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    show(camera, false);
    show(take, false);
  };
  addEventListener("pagehide", stop);

  const open = async () => {
    fromCamera = true;
    show(preview, false);
    show(retake, false);
    show(next, false);
    show(left, false);
    say("Opening the camera…");
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: form.dataset["camera"] ?? "environment", width: { ideal: 2560 }, height: { ideal: 1440 } },
      });
      video.srcObject = stream;
      show(camera, true);
      await video.play();
    } catch {
      stop();
      show(useCamera, false);
      show(choose, true);
      say("The camera could not be opened. Allow it in your browser, or choose a photo instead.", "bad");
      return;
    }
    say("");
    show(useCamera, false);
    show(choose, true); // a file stays possible
    show(take, true);
    take?.focus();
  };

  const send = async (photo: Blob) => {
    stop();
    if (url) URL.revokeObjectURL(url);
    url = URL.createObjectURL(photo);
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
      body.set("file", await sized(photo), "photo");
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
      if (left) left.textContent = answer.attempts_left === 1 ? "One attempt left." : `${answer.attempts_left} attempts left.`;
      show(left, true);
      retake?.focus();
    } else {
      next.textContent = "Continue anyway";
      next.href = base + "?step=" + encodeURIComponent(answer.step);
      next.focus();
    }
  };

  show(useCamera, !!navigator.mediaDevices?.getUserMedia);
  useCamera?.addEventListener("click", () => void open());
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    fromCamera = false;
    void send(chosen);
  });
  take?.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((photo) => {
      if (photo) void send(photo);
      else say("The camera gave no picture. Try again.", "bad");
    }, "image/jpeg", 0.93);
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
      show(useCamera, !!navigator.mediaDevices?.getUserMedia);
      file.click();
    }
  });
}

// Phones make photos far larger than needed. Large ones, and formats that the
// server does not take, are redrawn, which also turns them the right way up.
async function sized(photo: Blob): Promise<Blob> {
  if (photo.size <= 3_000_000 && ["image/jpeg", "image/png"].includes(photo.type)) return photo;
  try {
    const bitmap = await createImageBitmap(photo, { imageOrientation: "from-image" });
    const scale = Math.min(1, 3000 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return await new Promise((resolve) => canvas.toBlob((small) => resolve(small ?? photo), "image/jpeg", 0.93));
  } catch {
    return photo; // the server says what is wrong with it
  }
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

export {}; // a module, so that its names are its own
