/**
 * Between text for people and byte strings, which have one character for each byte: what Node decoded on the way in goes back to the bytes it
 * came from, and what a message shows is decoded again.
 */
export function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

export function toText(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
