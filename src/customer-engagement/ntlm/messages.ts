import { createHash, createHmac, randomBytes } from 'node:crypto';
import { md4 } from './md4.ts';

/** The three messages of NTLM (MS-NLMP 2.2.1), version 2 only: no other answer to a challenge is ever sent. */

export interface Credentials {
  /** sAMAccountName, or a UPN with an empty domain. */
  readonly user: string;
  /** NetBIOS name. */
  readonly domain: string;
  readonly password: string;
}

export interface Target {
  /** Service principal name, such as `HTTP/crm.example.test`. */
  readonly spn: string;
  /** Of the server, DER: binds the logon to this TLS connection (Extended Protection). */
  readonly certificate: Buffer | undefined;
}

const SIGNATURE = Buffer.from('NTLMSSP\0', 'latin1');
/** Version of Windows 10 and of the protocol revision, which servers only note down. */
const VERSION = Buffer.from([10, 0, 0x61, 0x4a, 0, 0, 0, 15]);

const FLAGS = {
  unicode: 0x1,
  requestTarget: 0x4,
  ntlm: 0x200,
  alwaysSign: 0x8000,
  extendedSessionSecurity: 0x80000,
  targetInfo: 0x800000,
  version: 0x2000000,
  key128: 0x20000000,
};
/** No key exchange: nothing is signed or sealed over HTTP, so no RC4 is needed. */
const WANTED = Object.values(FLAGS).reduce((all, flag) => all | flag, 0);

/** Of the pairs that describe a target (MS-NLMP 2.2.2.1). */
const AV = { end: 0, flags: 6, timestamp: 7, targetName: 9, channelBindings: 10 };
/** In the flags: a message integrity code is there. */
const MIC_PROVIDED = 2;

const NEGOTIATE_LENGTH = 40;
const AUTHENTICATE_LENGTH = 88;
const MIC_OFFSET = 72;

export function negotiateMessage(): Buffer {
  const message = Buffer.alloc(NEGOTIATE_LENGTH);
  SIGNATURE.copy(message);
  message.writeUInt32LE(1, 8);
  message.writeUInt32LE(WANTED, 12);
  VERSION.copy(message, 32);
  return message;
}

export interface Challenge {
  readonly message: Buffer;
  readonly nonce: Buffer;
  readonly pairs: ReadonlyMap<number, Buffer>;
}

/** @throws Error when it is none */
export function parseChallenge(message: Buffer): Challenge {
  if (message.length < 48 || !message.subarray(0, 8).equals(SIGNATURE) || message.readUInt32LE(8) !== 2) {
    throw new Error('the server sent something that is no NTLM challenge');
  }
  const length = message.readUInt16LE(40);
  const offset = message.readUInt32LE(44);
  if (offset + length > message.length) throw new Error('the NTLM challenge of the server is cut off');
  return { message, nonce: message.subarray(24, 32), pairs: parsePairs(message.subarray(offset, offset + length)) };
}

/**
 * The answer to a challenge.
 *
 * @param negotiate the first message, as it was sent
 */
export function authenticateMessage(negotiate: Buffer, challenge: Challenge, credentials: Credentials, target: Target): Buffer {
  const { user, domain } = credentials;
  const key = hmac(md4(utf16(credentials.password)), utf16(user.toUpperCase() + domain));
  const pairs = new Map(challenge.pairs);
  const time = pairs.get(AV.timestamp) ?? fileTime(Date.now());
  pairs.set(AV.flags, uint32(MIC_PROVIDED));
  pairs.set(AV.targetName, utf16(target.spn));
  if (target.certificate !== undefined) pairs.set(AV.channelBindings, channelBindings(target.certificate));
  const blob = Buffer.concat([
    Buffer.from([1, 1, 0, 0, 0, 0, 0, 0]),
    time,
    randomBytes(8),
    Buffer.alloc(4),
    joinPairs(pairs),
    Buffer.alloc(4),
  ]);
  const proof = hmac(key, Buffer.concat([challenge.nonce, blob]));
  const sessionKey = hmac(key, proof);
  // Where the server sends the time, the older answer is left empty (MS-NLMP 3.1.5.1.2).
  const parts = {
    lm: Buffer.alloc(24),
    nt: Buffer.concat([proof, blob]),
    domain: utf16(domain),
    user: utf16(user),
    workstation: Buffer.alloc(0),
    key: Buffer.alloc(0),
  };
  const message = Buffer.alloc(AUTHENTICATE_LENGTH);
  SIGNATURE.copy(message);
  message.writeUInt32LE(3, 8);
  const payload: Buffer[] = [];
  let offset = AUTHENTICATE_LENGTH;
  for (const [index, part] of [parts.lm, parts.nt, parts.domain, parts.user, parts.workstation, parts.key].entries()) {
    message.writeUInt16LE(part.length, 12 + 8 * index);
    message.writeUInt16LE(part.length, 14 + 8 * index);
    message.writeUInt32LE(offset, 16 + 8 * index);
    payload.push(part);
    offset += part.length;
  }
  message.writeUInt32LE(WANTED, 60);
  VERSION.copy(message, 64);
  const whole = Buffer.concat([message, ...payload]);
  hmac(sessionKey, Buffer.concat([negotiate, challenge.message, whole])).copy(whole, MIC_OFFSET);
  return whole;
}

/** The hash of a gss_channel_bindings_struct for `tls-server-end-point` (RFC 5929, RFC 2744 3.11). */
function channelBindings(certificate: Buffer): Buffer {
  const data = Buffer.concat([Buffer.from('tls-server-end-point:'), createHash('sha256').update(certificate).digest()]);
  return createHash('md5')
    .update(Buffer.concat([Buffer.alloc(16), uint32(data.length), data]))
    .digest();
}

function parsePairs(bytes: Buffer): Map<number, Buffer> {
  const pairs = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const id = bytes.readUInt16LE(at);
    const length = bytes.readUInt16LE(at + 2);
    if (id === AV.end) return pairs;
    if (at + 4 + length > bytes.length) break;
    pairs.set(id, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  throw new Error('the NTLM challenge of the server does not describe its target');
}

function joinPairs(pairs: ReadonlyMap<number, Buffer>): Buffer {
  const joined = [...pairs].flatMap(([id, value]) => [uint16(id), uint16(value.length), value]);
  return Buffer.concat([...joined, Buffer.alloc(4)]);
}

function hmac(key: Buffer, data: Buffer): Buffer {
  return createHmac('md5', key).update(data).digest();
}

function utf16(text: string): Buffer {
  return Buffer.from(text, 'utf16le');
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** Tenths of microseconds since 1601 (MS-DTYP 2.3.3). */
function fileTime(milliseconds: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE((BigInt(milliseconds) + 11_644_473_600_000n) * 10_000n);
  return bytes;
}
