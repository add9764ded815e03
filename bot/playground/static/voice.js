// Voice messages as Discord's clients make them: any sound that the browser can open, as OGG Opus with its waveform.

import { oggOpus, RATE } from "./ogg.js";

const BITS_PER_SECOND = 32_000;
/** Discord shows up to 256 bars, each of a tenth of a second or more. */
const MOST_BARS = 256;
const BARS_PER_SECOND = 10;

/** Whether this browser can make voice messages. */
export const canEncode = () => "AudioEncoder" in window && "OfflineAudioContext" in window;

/**
 * A voice message with the sound in a file. Rejects with the sentence for the person.
 * @param {Blob} source
 */
export async function voiceMessage(source) {
  if (!canEncode()) throw new Error("This browser can't make voice messages. Try a current Chrome, Edge, Firefox or Safari.");
  const sound = await decoded(source);
  const packets = await encoded(sound);
  return { file: oggOpus(packets, sound.length), seconds: sound.length / RATE, waveform: waveformOf(sound) };
}

/** The sound in a file, as one channel. */
async function decoded(source) {
  let buffer;
  try {
    buffer = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await source.arrayBuffer());
  } catch {
    throw new Error("The browser found no sound in that. Try another recording.");
  }
  const mono = buffer.getChannelData(0);
  for (let channel = 1; channel < buffer.numberOfChannels; channel++) {
    const other = buffer.getChannelData(channel);
    for (let at = 0; at < mono.length; at++) mono[at] += (other[at] - mono[at]) / (channel + 1);
  }
  return mono;
}

/** @returns {Promise<Uint8Array[]>} */
async function encoded(sound) {
  const packets = [];
  let problem = null;
  const encoder = new AudioEncoder({
    output: (chunk) => {
      const packet = new Uint8Array(chunk.byteLength);
      chunk.copyTo(packet);
      packets.push(packet);
    },
    error: (error) => (problem = error),
  });
  try {
    encoder.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 1, bitrate: BITS_PER_SECOND });
    for (let at = 0; at < sound.length; at += RATE) {
      const data = sound.subarray(at, at + RATE);
      const piece = new AudioData({
        format: "f32-planar",
        sampleRate: RATE,
        numberOfFrames: data.length,
        numberOfChannels: 1,
        timestamp: (at / RATE) * 1e6,
        data,
      });
      encoder.encode(piece);
      piece.close();
    }
    await encoder.flush();
    encoder.close();
  } catch (error) {
    problem ??= error;
  }
  if (problem || !packets.length) throw new Error("The browser couldn't make a voice message of that. Try again.");
  return packets;
}

/** How loud it is from its beginning to its end: a byte for each bar, in base64. */
function waveformOf(sound) {
  const bars = Math.max(1, Math.min(MOST_BARS, Math.floor((sound.length / RATE) * BARS_PER_SECOND)));
  const loudness = Array.from({ length: bars }, (_, bar) => {
    const part = sound.subarray((bar * sound.length) / bars, ((bar + 1) * sound.length) / bars);
    return Math.sqrt(part.reduce((sum, sample) => sum + sample * sample, 0) / part.length);
  });
  const most = Math.max(...loudness) || 1;
  return btoa(String.fromCharCode(...loudness.map((each) => Math.round((each / most) * 255))));
}
