import { vi } from 'vitest';
import { type DirectorySettings, ldapDirectorySource } from '../../src/directory/source.ts';
import type { ReadingSettings } from '../../streams/listener/reading.ts';
import { until } from '../support/chain-wait.ts';
import { FakeDirectory } from '../support/fake-directory.ts';
import { FakeDomainController } from '../support/fake-domain-controller.ts';
import { type Answer, type LdapClient, type LdapRequest, LdapServer } from '../support/ldap-server.ts';
import { MemoryChangeLog } from '../support/memory-change-log.ts';
import { Listening } from './listening.ts';
import { settingsFor } from './scripted-dc.ts';

/** A fake domain controller that serves, and listeners on it. */
export class FakeListening implements AsyncDisposable {
  readonly directory: FakeDirectory;
  readonly dc: FakeDomainController;
  readonly server: LdapServer;
  readonly warnings: string[] = [];
  /** Awaited before each request is answered. */
  interpose: (request: LdapRequest, client: LdapClient) => void | Promise<void> = () => {};
  /** Sends what the domain controller answers, or something else. */
  deliver: (request: LdapRequest, client: LdapClient, messages: readonly Buffer[]) => void = (_, client, messages) =>
    void client.send(...messages);
  readonly #mark: string;
  #marks = 0;

  private constructor(dc: FakeDomainController, start: { server: LdapServer; answer: Answer }) {
    this.dc = dc;
    this.directory = dc.directory;
    this.server = start.server;
    start.answer = async (request, client) => {
      await this.interpose(request, client);
      dc.respond(request, {
        get closed() {
          return client.closed;
        },
        send: (...messages) => this.deliver(request, client, messages),
      });
    };
    this.#mark = this.directory.addUser({ sAMAccountName: 'mark' });
  }

  static async start(directory = new FakeDirectory()): Promise<FakeListening> {
    const dc = new FakeDomainController(directory);
    const start: { answer: Answer } = { answer: dc.answer };
    const server = await LdapServer.start((request, client) => start.answer(request, client));
    return new FakeListening(dc, Object.assign(start, { server }));
  }

  listener(more: Partial<DirectorySettings> = {}, log = new MemoryChangeLog(), settings?: ReadingSettings): Promise<Listening> {
    const source = ldapDirectorySource(settingsFor(this.server, { warn: (warning) => this.warnings.push(warning), ...more }));
    const mark = async () => {
      const mail = `mark${++this.#marks}@example.test`;
      this.directory.modify(this.#mark, { mail });
      return ({ known }: Listening['log']) => known.identity(this.#mark)?.mail === mail;
    };
    return new Listening(source, this.#mark, mark, log, settings).start();
  }

  dn(cn: string): string {
    return `CN=${cn},${this.directory.namingContext}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }
}

/** For `untilSkipping`: time goes on by itself, and whoever looks at a clock sees the true one. */
export function fakeWaits(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'], shouldAdvanceTime: true });
}

/** Until that is so; where the listener waits before it tries again, no time passes. */
export async function untilSkipping(what: string, { reports }: Listening, isSo: () => boolean): Promise<void> {
  const skipped = new Set<unknown>();
  await until(what, async () => {
    const last = reports.at(-1);
    if (last?.type === 'waiting' && !skipped.has(last)) {
      skipped.add(last);
      await vi.advanceTimersByTimeAsync(last.milliseconds);
    }
    return isSo();
  });
}
