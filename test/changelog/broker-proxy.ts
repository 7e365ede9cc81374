import { type Inspection, TcpProxy } from '../support/tcp-proxy.ts';

/** Requests of the Kafka protocol, by their key on the wire. */
export const PRODUCE = 0;
export const END_TXN = 26;

/** Stands before one broker and knows which answer belongs to which request. */
export class BrokerProxy implements AsyncDisposable {
  /** `host:port` for clients. */
  readonly address: string;
  readonly tcp: TcpProxy;
  readonly #swallowed: Set<number>;

  private constructor(address: string, tcp: TcpProxy, swallowed: Set<number>) {
    this.address = address;
    this.tcp = tcp;
    this.#swallowed = swallowed;
  }

  /** @param broker `host:port` as the broker advertises itself */
  static async start(broker: string): Promise<BrokerProxy> {
    const [host = '', port = ''] = broker.split(':');
    const swallowed = new Set<number>();
    let own = 0;
    const advertised = () => ({ from: endpoint(host, Number(port)), to: endpoint(host, own) });
    const tcp = await TcpProxy.start({ host, port: Number(port) }, () => inspection(swallowed, advertised()));
    own = tcp.port;
    return new BrokerProxy(`${host}:${own}`, tcp, swallowed);
  }

  /** From now on answers to these requests do not reach the client; the broker has carried them out. */
  swallow(apiKey: number): void {
    this.#swallowed.add(apiKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tcp[Symbol.asyncDispose]();
  }
}

/** Passes whole frames only; the broker's own address in them becomes the proxy's, so that clients come back here. */
function inspection(swallowed: ReadonlySet<number>, advertised: { from: Buffer; to: Buffer }): Inspection {
  const apiKeys = new Map<number, number>();
  const requests = frames();
  const answers = frames();
  return {
    toServer: (chunk) => {
      for (const request of requests(chunk)) apiKeys.set(request.readInt32BE(8), request.readInt16BE(4));
      return chunk;
    },
    toClient: (chunk) => {
      const passed = answers(chunk).filter((answer) => {
        const correlation = answer.readInt32BE(4);
        const apiKey = apiKeys.get(correlation);
        apiKeys.delete(correlation);
        return apiKey === undefined || !swallowed.has(apiKey);
      });
      for (const answer of passed) {
        for (let at = answer.indexOf(advertised.from); at >= 0; at = answer.indexOf(advertised.from, at + 1))
          advertised.to.copy(answer, at);
      }
      return Buffer.concat(passed);
    },
  };
}

/** Cuts a stream into frames: four bytes of length, then that many. */
function frames(): (chunk: Buffer) => Buffer[] {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const whole: Buffer[] = [];
    while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE(0)) {
      const length = 4 + rest.readInt32BE(0);
      whole.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return whole;
  };
}

/** Host and port as metadata and coordinator answers have them. */
function endpoint(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(2 + host.length + 4);
  bytes.writeInt16BE(host.length, 0);
  bytes.write(host, 2);
  bytes.writeInt32BE(port, 2 + host.length);
  return bytes;
}
