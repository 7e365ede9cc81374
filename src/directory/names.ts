import type { SrvRecord } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { DirectoryError } from '../../streams/directory-source.ts';
import { failed } from './failure.ts';

/** Whether this can be the address of a DNS server: an IP address, with a port or without. */
export function isDnsServer(text: string): boolean {
  try {
    new Resolver().setServers([text]);
    return true;
  } catch {
    return false;
  }
}

/** Asks DNS: the servers that were named, or those of this system. */
export class Names {
  readonly #servers: readonly string[] | undefined;
  readonly #deadline: number;

  /**
   * @param deadline milliseconds for an answer
   * @throws DirectoryError of kind 'configuration'
   */
  constructor(servers: readonly string[] | undefined, deadline: number) {
    const wrong = servers?.find((server) => !isDnsServer(server));
    if (wrong !== undefined) throw new DirectoryError('configuration', `Not the address of a DNS server: ${wrong}`);
    this.#servers = servers;
    this.#deadline = deadline;
  }

  /**
   * The SRV records of a name; none when there is no such name.
   *
   * @throws DirectoryError of kind 'unavailable'
   */
  async services(name: string, signal: AbortSignal): Promise<SrvRecord[]> {
    try {
      return await this.#ask((resolver) => resolver.resolveSrv(name), signal);
    } catch (error) {
      if (isNothing(error)) return [];
      const servers = this.#servers === undefined ? 'DNS' : `DNS (${this.#servers.join(', ')})`;
      throw failed('unavailable', `${servers} does not tell ${name}`, error);
    }
  }

  /** For sockets; undefined when this system looks names up. */
  get lookup(): LookupFunction | undefined {
    if (this.#servers === undefined) return undefined;
    return (host, { all = false }, callback) => {
      this.#addresses(host).then(
        ([first, ...rest]) => {
          if (first === undefined) callback(new Error(`DNS (${this.#servers?.join(', ')}) knows no address of ${host}`), []);
          else if (all) callback(null, [first, ...rest]);
          else callback(null, first.address, first.family);
        },
        (error: Error) => callback(error, []),
      );
    };
  }

  async #addresses(host: string): Promise<{ address: string; family: number }[]> {
    const answers = await Promise.allSettled([
      this.#ask((resolver) => resolver.resolve4(host)),
      this.#ask((resolver) => resolver.resolve6(host)),
    ]);
    const addresses = answers.flatMap((answer, index) =>
      answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family: index === 0 ? 4 : 6 })) : [],
    );
    const trouble = answers.find((answer) => answer.status === 'rejected' && !isNothing(answer.reason));
    if (addresses.length === 0 && trouble?.status === 'rejected') throw trouble.reason;
    return addresses;
  }

  /** With a resolver of its own, since ending one question ends all that a resolver was asked. */
  async #ask<Answer>(question: (resolver: Resolver) => Promise<Answer>, signal?: AbortSignal): Promise<Answer> {
    // Each server is asked twice, and the second time for twice as long.
    const resolver = new Resolver({ timeout: Math.ceil(this.#deadline / 6), tries: 2 });
    if (this.#servers !== undefined) resolver.setServers(this.#servers);
    const cancel = () => resolver.cancel();
    const timer = setTimeout(cancel, this.#deadline);
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await question(resolver);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  }
}

function isNothing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTFOUND' || error.code === 'ENODATA');
}
