// An Ogg file with one stream of Opus, as Discord's voice messages are. No DOM here.

/** Samples a second, in which Ogg counts Opus at whatever rate something was recorded. */
export const RATE = 48_000;
/** Samples of silence that an encoder of Opus puts before the sound. */
export const PRE_SKIP = 312;
const SERIAL = 1;
const FIRST = 2;
const LAST = 4;
const HEADER = 27;
/** Packets of 20 ms on a page. It has room for 255 pieces of 255 bytes, and at 32 kbit/s a packet is one of them. */
const ON_A_PAGE = 50;

const CHECKSUMS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = (value << 1) ^ (value < 0 ? 0x04c11db7 : 0);
  return value;
});

/**
 * A file with these packets of mono Opus, each of 20 ms. `samples` is how much of them is sound.
 * @param {Uint8Array[]} packets
 * @param {number} samples
 */
export function oggOpus(packets, samples) {
  const head = new Uint8Array(19);
  head.set(ascii("OpusHead\x01\x01"));
  const view = new DataView(head.buffer);
  view.setUint16(10, PRE_SKIP, true);
  view.setUint32(12, RATE, true);
  const tags = new Uint8Array(16);
  tags.set(ascii("OpusTags"));
  const pages = [page([head], 0, 0, FIRST), page([tags], 1, 0, 0)];
  for (let at = 0; at < packets.length; at += ON_A_PAGE) {
    const some = packets.slice(at, at + ON_A_PAGE);
    const isLast = at + ON_A_PAGE >= packets.length;
    const position = isLast ? samples + PRE_SKIP : ((at + some.length) * RATE) / 50;
    pages.push(page(some, pages.length, position, isLast ? LAST : 0));
  }
  return new Blob(pages, { type: "audio/ogg" });
}

const ascii = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

function page(packets, number, position, flags) {
  const table = packets.flatMap((packet) => [...Array(Math.floor(packet.length / 255)).fill(255), packet.length % 255]);
  const size = packets.reduce((sum, packet) => sum + packet.length, 0);
  const bytes = new Uint8Array(HEADER + table.length + size);
  bytes.set(ascii("OggS\0"));
  bytes[5] = flags;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(6, BigInt(position), true);
  view.setUint32(14, SERIAL, true);
  view.setUint32(18, number, true);
  bytes[26] = table.length;
  bytes.set(table, HEADER);
  let at = HEADER + table.length;
  for (const packet of packets) {
    bytes.set(packet, at);
    at += packet.length;
  }
  let checksum = 0;
  for (const byte of bytes) checksum = (checksum << 8) ^ CHECKSUMS[(checksum >>> 24) ^ byte];
  view.setUint32(22, checksum >>> 0, true);
  return bytes;
}
