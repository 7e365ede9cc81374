import type { DirectorySettings } from '../../src/directory/source.ts';
import { Position, type PositionInput } from '../../streams/position.ts';
import { type Answer, bindResponse, LdapServer } from '../support/ldap-server.ts';
import { domainController, INVOCATION_ID, NC, type Script, urlOf } from './scripted-dc.ts';

/** The invocationId of the n-th scripted domain controller, as it stands in the directory and as text. */
export function invocationId(n: number): { bytes: Buffer; text: string } {
  if (n === 1) return { bytes: Buffer.from([...Array(16).keys()]), text: INVOCATION_ID };
  const hex = n.toString(16).padStart(2, '0').repeat(16);
  return { bytes: Buffer.from(hex, 'hex'), text: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') };
}

/** The n-th domain controller of a domain; what it answers can be changed at any time. */
export class ScriptedDc implements AsyncDisposable {
  readonly name: string;
  readonly server: LdapServer;
  readonly #answer: { now: Answer };
  readonly #well: Answer;

  private constructor(name: string, server: LdapServer, answer: { now: Answer }) {
    this.name = name;
    this.server = server;
    this.#answer = answer;
    this.#well = answer.now;
  }

  static async start(n: number, script: Script = {}): Promise<ScriptedDc> {
    const name = `dc${n}.corp.example.test`;
    const rootDse = { dnsHostName: [name], ...script.rootDse };
    const answer = { now: domainController({ invocationId: invocationId(n).bytes, ...script, rootDse }) };
    const server = await LdapServer.start((request, client) => answer.now(request, client));
    return new ScriptedDc(name, server, answer);
  }

  get url(): string {
    return urlOf(this.server);
  }

  /** Connections at this moment. */
  get connections(): number {
    return this.server.clients.filter((client) => !client.closed).length;
  }

  get logons(): number {
    return this.server.requests.filter(({ operation }) => operation === 0x60).length;
  }

  /** Answers like this from now on. */
  answer(answer: Answer): void {
    this.#answer.now = answer;
  }

  /** Ends what is there and refuses logons, with this result. */
  refuse(code = 52): void {
    this.answer(({ id }, client) => void client.send(bindResponse(id, code)));
    for (const client of this.server.clients) client.destroy();
  }

  /** Answers nothing any more. */
  hang(): void {
    this.answer(() => {});
  }

  /** Gives each answer so many milliseconds late. */
  slow(milliseconds: number): void {
    this.answer((request, client) => void setTimeout(() => client.closed || void this.#well(request, client), milliseconds));
  }

  recover(): void {
    this.answer(this.#well);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}

export function settingsOf(urls: readonly string[], more: Partial<DirectorySettings> = {}): DirectorySettings {
  return { urls, bindDn: 'svc@corp.example.test', password: () => 'correct horse', allowClearText: true, deadline: 2_000, ...more };
}

/** A position of the first domain controller. */
export function storedPosition(more: Partial<PositionInput> = {}): Position {
  return Position.parse({
    namingContext: NC,
    dc: 'dc1.corp.example.test',
    invocationId: INVOCATION_ID,
    highestCommittedUSN: '4000',
    filter: '(objectClass=user)',
    attributes: [],
    cookie: 'AAAA',
    ...more,
  });
}

/** replUpToDateVector, in seconds as Windows has it or in tenths of microseconds as Samba does. */
export function vectorOf(cursors: readonly { n: number; usn: number; at: number }[], unit: 'seconds' | 'ticks' = 'seconds'): Buffer {
  const value = Buffer.alloc(16 + 32 * cursors.length);
  value.writeUInt32LE(2, 0);
  value.writeUInt32LE(cursors.length, 8);
  cursors.forEach(({ n, usn, at }, index) => {
    const start = 16 + 32 * index;
    invocationId(n).bytes.copy(value, start);
    value.writeBigUInt64LE(BigInt(usn), start + 16);
    const seconds = BigInt(Math.round(at / 1_000)) + 11_644_473_600n;
    value.writeBigUInt64LE(unit === 'seconds' ? seconds : seconds * 10_000_000n, start + 24);
  });
  return value;
}
