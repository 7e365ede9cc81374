/**
 * The text form of a GUID as a domain controller stores it: the first three fields little-endian (MS-DTYP 2.3.4.3).
 *
 * @returns lower-case text; undefined when the value is no GUID
 */
export function guidText(value: Buffer | undefined): string | undefined {
  if (value?.length !== 16) return undefined;
  const hex = value.toString('hex');
  const byte = (index: number) => hex.slice(2 * index, 2 * index + 2);
  const first = byte(3) + byte(2) + byte(1) + byte(0);
  return `${first}-${byte(5)}${byte(4)}-${byte(7)}${byte(6)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const GUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The value of that text form. */
export function guidBytes(text: string): Buffer {
  if (!GUID_TEXT.test(text)) throw new TypeError(`Not a GUID: ${text}`);
  const value = Buffer.from(text.replaceAll('-', ''), 'hex');
  value.subarray(0, 4).reverse();
  value.subarray(4, 6).reverse();
  value.subarray(6, 8).reverse();
  return value;
}

/** @returns the S-1-... form (MS-DTYP 2.4.2.1); undefined when the value is no SID */
export function sidText(value: Buffer | undefined): string | undefined {
  if (value === undefined || value.length < 8 || value[0] !== 1) return undefined;
  const count = value.readUInt8(1);
  if (count > 15 || value.length !== 8 + 4 * count) return undefined;
  const authority = value.readUIntBE(2, 6);
  // Authorities of 2^32 and more are written in hexadecimal, all twelve digits of them.
  let text = authority < 2 ** 32 ? `S-1-${authority}` : `S-1-0x${authority.toString(16).toUpperCase().padStart(12, '0')}`;
  for (let offset = 8; offset < value.length; offset += 4) text += `-${value.readUInt32LE(offset)}`;
  return text;
}
