// A voice message in the log: its waveform, which fills while it is played. Only one is played at a time.

import { h, icon } from "./dom.js";
import { clockTime } from "./format.js";
import { toast } from "./toast.js";

const BARS = 40;
let playing = null;

/** @param {{ url: string, voice: { seconds: number, waveform: string } }} file */
export function voicePlayer({ url, voice }) {
  const length = clockTime(voice.seconds);
  const bars = heights(voice.waveform).map((height) => {
    const bar = h("i");
    bar.style.height = `${height}%`;
    return bar;
  });
  const time = h("span", { class: "voice-time" }, length);
  const button = h("button", { type: "button", class: "voice-button" }, icon("play"));
  const player = h(
    "div",
    { class: "voice", role: "group", "aria-label": `Voice message, ${length}` },
    button,
    h("span", { class: "voice-wave", "aria-hidden": "true" }, bars),
    time,
  );
  let audio = null;

  const draw = () => {
    const runs = audio !== null && !audio.paused;
    const at = audio?.currentTime ?? 0;
    const label = runs ? "Pause" : "Play";
    button.replaceChildren(icon(runs ? "pause" : "play"));
    button.setAttribute("aria-label", label);
    button.title = label;
    time.textContent = at ? clockTime(at) : length;
    for (const [index, bar] of bars.entries()) bar.classList.toggle("played", index < (at / voice.seconds) * BARS);
  };
  const follow = () => {
    // Nobody can stop one whose message is no longer shown.
    if (!player.isConnected) audio.pause();
    draw();
  };
  const press = () => {
    if (audio === null) {
      audio = new Audio(url);
      audio.addEventListener("ended", () => (audio.currentTime = 0));
      for (const event of ["play", "pause", "timeupdate", "seeked"]) audio.addEventListener(event, follow);
    }
    if (!audio.paused) return audio.pause();
    if (playing !== audio) playing?.pause();
    playing = audio;
    audio.play().catch((error) => {
      if (error.name !== "AbortError") toast("The browser can't play this voice message.");
    });
  };
  button.addEventListener("click", press);
  draw();
  return player;
}

/** The heights of the bars in percent, the loudest part of what each stands for. */
function heights(waveform) {
  const bytes = Uint8Array.from(atob(waveform), (letter) => letter.charCodeAt(0));
  return Array.from({ length: BARS }, (_, bar) => {
    const from = Math.floor((bar * bytes.length) / BARS);
    const part = bytes.subarray(from, Math.max(from + 1, ((bar + 1) * bytes.length) / BARS));
    return Math.max(8, Math.round((Math.max(...part) / 255) * 100));
  });
}
