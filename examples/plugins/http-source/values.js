// Values of the protocol: MessagePack with unknowns, or JSON. See docs/plugin-protocol.md.
import { decode, encode, ExtData, ExtensionCodec } from '@msgpack/msgpack';

// Unknown stands for a value that is known after apply only.
export const Unknown = Symbol('unknown');

const codec = new ExtensionCodec();
codec.register({ type: 0, encode: (v) => (v === Unknown ? new Uint8Array([0]) : null), decode: () => Unknown });
codec.register({ type: 12, encode: () => null, decode: () => Unknown }); // what is known of it is not needed here

// read decodes a value into plain JavaScript. No value is null.
export function read(value) {
  if (!value || !value.encoding) return null;
  return value.encoding === 'json' ? JSON.parse(value.json.toString()) : decode(value.msgpack, { extensionCodec: codec });
}

// write encodes a plain object.
export function write(value) {
  return { msgpack: Buffer.from(encode(replaceUnknown(value), { extensionCodec: codec })) };
}

// The encoder asks extensions about objects only, and Unknown is a symbol.
function replaceUnknown(v) {
  if (v === Unknown) return new ExtData(0, new Uint8Array([0]));
  if (Array.isArray(v)) return v.map(replaceUnknown);
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, replaceUnknown(x)]));
  return v;
}

// hasUnknown tells whether something in a value is not known.
export function hasUnknown(v) {
  if (v === Unknown) return true;
  return v !== null && typeof v === 'object' && Object.values(v).some(hasUnknown);
}
