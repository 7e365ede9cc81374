import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { CustomerEngagement } from '../../infra/testbed/customer-engagement.ts';

/** PATCH of a user name over one kept-alive connection. */
export class RawEngagement implements Disposable {
  readonly #url: string;
  readonly #token: string;
  readonly #agent: Agent;

  private constructor(url: string, token: string, ca: Buffer) {
    this.#url = url;
    this.#token = token;
    this.#agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
  }

  static async open({ url, token, caFile }: CustomerEngagement): Promise<RawEngagement> {
    return new RawEngagement(`${url}/api/data/v9.1`, token, await readFile(caFile));
  }

  async setName(systemuserid: string, domainname: string): Promise<void> {
    const status = await this.#send('PATCH', `systemusers(${systemuserid})?$select=domainname`, JSON.stringify({ domainname }));
    if (status !== 200) throw new Error(`the stand-in answered ${status} to the name ${domainname}`);
  }

  /** A request that changes nothing. */
  async ask(): Promise<void> {
    await this.#send('GET', 'WhoAmI');
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, body?: string): Promise<number | undefined> {
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${this.#token}`,
      'odata-version': '4.0',
      'odata-maxversion': '4.0',
      ...(body === undefined
        ? { 'if-none-match': 'null' }
        : { 'content-type': 'application/json; charset=utf-8', 'if-match': '*', prefer: 'return=representation' }),
    };
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const sending = request(`${this.#url}/${path}`, { method, headers, agent: this.#agent }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    });
    sending.on('error', reject).end(body);
    return promise;
  }
}
