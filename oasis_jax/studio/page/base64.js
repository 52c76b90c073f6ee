/** Encoding and decoding of base64. */

/** Encodes bytes (Uint8Array) as base64 text. */
export function base64Of(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

/** Decodes base64 text to a Uint8Array; throws if it is not valid base64. */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
}
