// What the pages that take pictures share: a camera, and pictures of the size
// that a page wants. It knows nothing of the pages.

// Limits say how large a picture may be. Those of a page are in the page.
export interface Limits {
  side: number; // pixels of the longer side
  bytes: number; // a chosen file up to this size is sent as it is
  quality: number; // of JPEG, 0 to 1
}

// available reports whether a browser lets pages like this one use a camera.
export function available(): boolean {
  return !!navigator.mediaDevices?.getUserMedia;
}

// Camera shows what a camera sees in a video element of the page, and takes
// pictures of it, of which there may be many a second.
export class Camera {
  readonly #video: HTMLVideoElement;
  readonly #canvas = document.createElement("canvas");
  #stream: MediaStream | undefined;
  #turn = 0; // of open and stop

  constructor(video: HTMLVideoElement) {
    this.#video = video;
    addEventListener("pagehide", () => this.stop());
  }

  // open asks for a camera; facingMode says which way it looks. It rejects when
  // there is none, when the person says no, and when it was stopped meanwhile. The
  // page shows the video then, and plays it: some browsers do not play a hidden one.
  async open(want: MediaTrackConstraints): Promise<MediaStream> {
    this.stop();
    const turn = ++this.#turn;
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: want });
    if (turn !== this.#turn) {
      end(stream);
      throw new DOMException("The camera was stopped.", "AbortError");
    }
    this.#video.srcObject = stream;
    return (this.#stream = stream);
  }

  // frame is what the camera sees now, as JPEG; null if it sees nothing yet.
  frame(limits: Limits): Promise<Blob | null> {
    const { videoWidth, videoHeight } = this.#video;
    if (!this.#stream || !videoWidth || !videoHeight) return Promise.resolve(null);
    return jpeg(this.#canvas, this.#video, videoWidth, videoHeight, limits);
  }

  // fresh waits for the camera's next picture, and gives the time at which it
  // came, in milliseconds; null if none comes in time or the camera is stopped.
  async fresh(patience: number): Promise<number | null> {
    const turn = this.#turn;
    const time = await new Promise<number | null>((resolve) => {
      setTimeout(resolve, patience, null);
      if ("requestVideoFrameCallback" in this.#video) this.#video.requestVideoFrameCallback((now) => resolve(now));
      else setTimeout(() => resolve(performance.now()), 100); // most cameras have a new one by then
    });
    return turn === this.#turn ? time : null;
  }

  stop(): void {
    this.#turn++;
    if (this.#stream) end(this.#stream);
    this.#stream = undefined;
    this.#video.srcObject = null;
    this.#canvas.width = this.#canvas.height = 0; // nothing of a picture stays in the page
  }
}

function end(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

// sized makes a chosen file fit to be sent. Phones make photos far larger than
// needed. Large ones, and formats that the server does not take, are redrawn,
// which also turns them the right way up.
export async function sized(photo: Blob, limits: Limits): Promise<Blob> {
  if (photo.size <= limits.bytes && ["image/jpeg", "image/png"].includes(photo.type)) return photo;
  try {
    const bitmap = await createImageBitmap(photo, { imageOrientation: "from-image" });
    const small = jpeg(document.createElement("canvas"), bitmap, bitmap.width, bitmap.height, limits);
    bitmap.close(); // the canvas has its own
    return (await small) ?? photo;
  } catch {
    return photo; // the server says what is wrong with it
  }
}

function jpeg(canvas: HTMLCanvasElement, from: CanvasImageSource, width: number, height: number, limits: Limits): Promise<Blob | null> {
  const scale = Math.min(1, limits.side / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.getContext("2d")?.drawImage(from, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", limits.quality));
}
