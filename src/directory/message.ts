import { BerCursor, Tag } from './ber.ts';

/** Tags of what a server sends (RFC 4511 section 4). */
export const Response = {
  bind: 0x61,
  searchEntry: 0x64,
  searchDone: 0x65,
  add: 0x69,
  searchReference: 0x73,
  extended: 0x78,
  intermediate: 0x79,
} as const;

const CONTROLS = 0xa0;
const EXTENDED_RESPONSE_NAME = 0x8a;

export interface LdapMessage {
  readonly id: number;
  readonly operation: number;
  /** The content of the operation, not read yet. */
  readonly body: BerCursor;
  /** Values of the response controls by OID. */
  readonly controls: ReadonlyMap<string, Buffer>;
}

export interface LdapResult {
  readonly code: number;
  /** The server's own words, of any length and with anything in them: `inWords` makes them fit for a log. */
  readonly diagnostic: string;
}

/** One object as it came; "present without a value" is an attribute with no values. */
export interface LdapEntry {
  readonly dn: string;
  readonly attributes: readonly LdapAttribute[];
}

export interface LdapAttribute {
  readonly type: string;
  /** Views of the message: whatever is kept longer has to be copied. */
  readonly values: readonly Buffer[];
}

/** The values of an attribute, by its name in any case. */
export function valuesOf(entry: LdapEntry | undefined, name: string): readonly Buffer[] {
  return entry?.attributes.find(({ type }) => type.toLowerCase() === name.toLowerCase())?.values ?? [];
}

const NO_CONTROLS: ReadonlyMap<string, Buffer> = new Map();

/** @throws BerError */
export function readMessage(bytes: Buffer): LdapMessage {
  const message = new BerCursor(bytes).enter(Tag.sequence);
  const id = message.integer();
  const operation = message.tag ?? 0;
  const body = message.enter(operation);
  return { id, operation, body, controls: message.tag === CONTROLS ? readControls(message.enter(CONTROLS)) : NO_CONTROLS };
}

function readControls(list: BerCursor): Map<string, Buffer> {
  const controls = new Map<string, Buffer>();
  while (!list.done) {
    const control = list.enter(Tag.sequence);
    const oid = control.text();
    if (control.tag === Tag.boolean) control.skip();
    controls.set(oid, control.done ? Buffer.alloc(0) : control.bytes());
  }
  return controls;
}

/** @throws BerError */
export function readResult(body: BerCursor): LdapResult {
  const code = body.integer(Tag.enumerated);
  body.skip();
  return { code, diagnostic: body.text() };
}

/** The OID of an extended response, which a notice of disconnection is told by. */
export function readExtendedName(body: BerCursor): string | undefined {
  while (!body.done && body.tag !== EXTENDED_RESPONSE_NAME) body.skip();
  return body.done ? undefined : body.text(EXTENDED_RESPONSE_NAME);
}

/** @throws BerError */
export function readEntry(body: BerCursor): LdapEntry {
  const dn = body.text();
  const list = body.enter(Tag.sequence);
  const attributes: LdapAttribute[] = [];
  while (!list.done) {
    const attribute = list.enter(Tag.sequence);
    const type = attribute.text();
    const set = attribute.enter(Tag.set);
    const values: Buffer[] = [];
    while (!set.done) values.push(set.bytes());
    attributes.push({ type, values });
  }
  return { dn, attributes };
}
