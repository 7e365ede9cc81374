import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const Type = { a: 1, srv: 33 } as const;
const Code = { success: 0, serverFailure: 2, noSuchName: 3 } as const;

/** What a name has. */
export interface DnsRecords {
  readonly a?: readonly string[];
  readonly srv?: readonly { readonly priority?: number; readonly weight?: number; readonly port: number; readonly name: string }[];
}

/** A DNS server on loopback, over UDP, that knows what a test tells it, and may be told something else at any time. */
export class DnsServer implements AsyncDisposable {
  /** By lower-case name. */
  zone: Readonly<Record<string, DnsRecords>>;
  /** How it fails, if it does. */
  trouble: 'silent' | 'failing' | undefined;
  /** Names in the order in which they were asked for. */
  readonly asked: string[] = [];
  readonly #socket: Socket;

  private constructor(zone: DnsServer['zone'], socket: Socket) {
    this.zone = zone;
    this.#socket = socket;
    socket.on('message', (query, { port, address }) => {
      const answer = this.#answer(query);
      if (answer !== undefined) socket.send(answer, port, address);
    });
  }

  static async start(zone: DnsServer['zone'] = {}): Promise<DnsServer> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new DnsServer(zone, socket);
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await once(this.#socket, 'close');
  }

  /** RFC 1035 section 4. */
  #answer(query: Buffer): Buffer | undefined {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const type = query.readUInt16BE(at + 1);
    const question = query.subarray(12, at + 5);
    const name = labels.join('.').toLowerCase();
    this.asked.push(name);
    if (this.trouble === 'silent') return undefined;
    const records = this.zone[name];
    const data = this.trouble === undefined ? dataOf(records ?? {}, type) : [];
    const code = this.trouble !== undefined ? Code.serverFailure : records === undefined ? Code.noSuchName : Code.success;
    const flags = 0x8580; // an answer, with authority, recursion asked for and available
    const header = words(query.readUInt16BE(0), flags | code, 1, data.length, 0, 0);
    return Buffer.concat([header, question, ...data.map((each) => record(type, each))]);
  }
}

function dataOf({ a = [], srv = [] }: DnsRecords, type: number): Buffer[] {
  if (type === Type.a) return a.map((address) => Buffer.from(address.split('.').map(Number)));
  if (type !== Type.srv) return [];
  return srv.map(({ priority = 0, weight = 100, port, name }) => {
    return Buffer.concat([words(priority, weight, port), encoded(name)]);
  });
}

function record(type: number, data: Buffer): Buffer {
  // The name is the one of the question; class IN, not to be kept.
  return Buffer.concat([words(0xc00c, type, 1, 0, 0, data.length), data]);
}

function words(...numbers: readonly number[]): Buffer {
  return Buffer.from(Uint16Array.from(numbers).buffer).swap16();
}

function encoded(name: string): Buffer {
  const labels = name.split('.').filter((label) => label !== '');
  return Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), Buffer.from(label, 'latin1')]), Buffer.of(0)]);
}
