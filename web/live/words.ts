// What a person is asked to do, in their words. Left and right are the person's
// own; the picture on the page is mirrored, so they are the page's as well.

export interface Instruction {
  words: string;
  drawing: string; // see live.html and capture.css
  back: boolean; // the way back
}

const words: Record<string, string> = {
  look_straight: "Look straight ahead",
  turn_left: "Turn your head slowly to the left",
  turn_right: "Turn your head slowly to the right",
  come_closer: "Come closer to the camera",
  blink: "Close your eyes for a second, then open them",
};

// Every action ends where it began. The hint says when it is time to go back.
const returns: Record<string, { hint: string; words: string; drawing: string }> = {
  turn_left: { hint: "look_straight", words: "Now look straight ahead again", drawing: "look_straight" },
  turn_right: { hint: "look_straight", words: "Now look straight ahead again", drawing: "look_straight" },
  come_closer: { hint: "too_near", words: "Now move back to where you were", drawing: "move_back" },
  blink: { hint: "open_eyes", words: "Now open your eyes", drawing: "look_straight" },
};

// instruction is what to show for an action and the server's hint for it. Once
// it was time to go back it stays so.
export function instruction(action: string, hint: string, back: boolean, again: boolean): Instruction {
  const way = returns[action];
  if (way && (back || hint === way.hint)) return { words: way.words, drawing: way.drawing, back: true };
  if (action === "look_straight" && again) return { words: "Look straight ahead once more", drawing: action, back: false };
  return { words: words[action] ?? action.replaceAll("_", " "), drawing: action, back: false };
}
